"""A fingerprint of code that forgives words: of what a run executes, and of nothing else.

The unit is the definition: a function, a class or an assignment at the top level of a module. Roots
are named "module:name", or "module" for all of it. From them every name is followed to the
definition of ours that it stands for, through imports, aliases and re-exports. Each definition has
a normal form without comments, docstrings, annotations, messages and places: a reference to ours is
its bare name, a reference to a library is its full dotted name. The fingerprint is the SHA-256 over
all normal forms that are reached. So these change nothing: a comment, a format, a moved definition,
a moved or renamed module, another way to import, and whatever no root reaches.

What this cannot see:

* A method is not resolved on an instance. Its class has to be reached by name, and is then taken
  whole, with its base classes.
* What is found by a key, as entries of a catalogue are, is not reached: pass it as a root. A text
  "module:name" with the whole name of a module is followed.
* The arguments with which an entry was made are not reached, where its class or function is the
  root: what decides belongs into that.
* A name that is bound elsewhere than at the top level (by globals() or setattr) is not seen.
* What is not entered (QUIET and sections of the configuration, see below) may change unseen.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import UserError
from .syntax import Definition, Form, Module, Outside, Target, Whole, short_hash

PACKAGE = Path(__file__).parent.parent

#: What only finds, talks or stores decides no number: modules, and packages with all in them, that
#: are not entered. A new name of one of them belongs here; a test holds that each exists.
QUIET = (
    "core/catalogue",
    "core/errors",
    "core/files",
    "core/fingerprint",
    "core/lazy",
    "core/plugins",
    "core/progress",
    "core/provenance",
    "core/syntax",
    "core/words",
    "engine/progress",
    "engine/roots",
    "marginal/provenance",
    "pipeline",
    "results/schema",
    "results/store",
    "studies/estimators/columns",
    "studies/figure3/columns",
    "studies/figure4/columns",
    "studies/variance/columns",
)


def _of_lines(lines: Iterable[str]) -> str:
    return short_hash("\n".join(sorted(lines)))


class Code(NamedTuple):
    """What a result was made by."""

    sha256: str  # the fingerprint
    # module, relative to the package with slashes -> short hash of its definitions that are reached
    modules: dict[str, str]


class Sources:
    """The sources of the package in the folder `package`, each parsed once and when it is reached.

    Modules elsewhere that a root names (plug-ins) are found as Python finds them.
    """

    def __init__(self, package: Path = PACKAGE):
        self.folder, self.name = package, package.name
        self.ours = {self.name}
        self.modules: dict[str, Module] = {}
        self.files: dict[str, Path | None] = {}
        self.resolved: dict[tuple[str, str], Target] = {}
        self.forms: dict[Definition, tuple[str, list[Definition]]] = {}

    def code(self, roots: Iterable[str]) -> Code:
        """The code that `roots` execute. Raises UserError when there is no such root."""
        roots = list(roots)
        ours = self.ours | {root.partition(":")[0].partition(".")[0] for root in roots}
        if ours != self.ours:  # what was outside until now may be ours
            self.ours = ours
            self.resolved.clear()
            self.forms.clear()
        reached: dict[Definition, None] = {}
        due = [definition for root in roots for definition in self._root(root)]
        while due:
            definition = due.pop()
            if definition in reached or not self._enters(definition):
                continue
            reached[definition] = None
            due += self.form(definition)[1]
            if "" in self._module(definition.module).statements:
                due.append(Definition(definition.module, ""))
        lines, modules = set(), {}
        for definition in reached:
            form, references = self.form(definition)
            # Two definitions may have one name: to which of them a name refers is told by its form.
            others = [self.form(other)[0] for other in references if other in reached]
            lines.add(f"{definition.name} {form} {' '.join(others)}")
            modules.setdefault(definition.module, []).append(f"{definition.name} {form}")
        return Code(
            hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(),
            {self.relative(name): _of_lines(modules[name]) for name in sorted(modules)},
        )

    def relative(self, module: str) -> str:
        """aevb.learners.aevb -> learners/aevb; that of a plug-in as it is."""
        return module.removeprefix(f"{self.name}.").replace(".", "/")

    def form(self, definition: Definition) -> tuple[str, list[Definition]]:
        """Hash of the normal form of `definition`, and to what it refers, in order."""
        if definition not in self.forms:
            module = self._module(definition.module)
            form = Form(self, module, module.statements[definition.name])
            self.forms[definition] = short_hash("".join(form.text)), form.references
        return self.forms[definition]

    def definitions(self, module: str) -> list[Definition]:
        """All definitions of a module of ours."""
        return [Definition(module, name) for name in self._module(module).statements]

    def resolve(self, module: str, name: str) -> Target:
        """What `name` stands for at the top level of `module`, one of ours."""
        key = module, name
        if key not in self.resolved:
            self.resolved[key] = None  # should two modules import it from each other
            self.resolved[key] = self._resolve(self._module(module), name)
        return self.resolved[key]

    def _resolve(self, module: Module, name: str) -> Target:
        if name in module.statements:
            return Definition(module.name, name)
        if name in module.imports:
            return self.target(*module.imports[name])
        if self._find(f"{module.name}.{name}") is not None:
            return Whole(f"{module.name}.{name}")
        found = (self.resolve(star, name) for star in module.stars if self._is_ours(star))
        return next(filter(None, found), None)

    def target(self, module: str, name: str | None) -> Target:
        """What is imported as `name` from `module`, or `module` itself."""
        if not self._is_ours(module):
            return Outside(module if name is None else f"{module}.{name}")
        return Whole(module) if name is None else self.resolve(module, name)

    def place(self, text: str) -> Definition | None:
        """The definition of ours that a text "module:name" names; None if it names none."""
        module, colon, name = text.partition(":")
        if not colon or not self._is_ours(module) or self._find(module) is None:
            return None
        target = self.resolve(module, name)
        return target if isinstance(target, Definition) else None

    def is_catalogue(self, target: Target) -> bool:
        """Whether it is the class of catalogues, or one that is made of it."""
        return self._is_a(target, Definition(f"{self.name}.core.catalogue", "Catalogue"))

    def found(self, root: str) -> list[Definition]:
        """The definitions that `root` names. Raises UserError when there is no such root."""
        return list(self._root(root))

    def _root(self, root: str) -> Iterator[Definition]:
        module, _, name = root.partition(":")
        if self._find(module) is None:
            raise UserError(f"there is no module {module}, whose code is asked for; mend its name")
        if not name:
            yield from self.definitions(module)
            return
        target = self.resolve(module, name.partition(".")[0])
        if not isinstance(target, Definition):
            raise UserError(f"there is no {name} in {module}, whose code is asked for; mend it")
        yield target

    def _enters(self, definition: Definition) -> bool:
        if not self._is_ours(definition.module):
            return False
        name = self.relative(definition.module)
        if any(name == quiet or name.startswith(f"{quiet}/") for quiet in QUIET):
            return False
        # The values of a section of the configuration are stored with each result, and compared
        # as such: a new key makes no code another.
        return not self._is_a(definition, Outside("pydantic.BaseModel"))

    def _is_a(self, target: Target, base: Definition | Outside) -> bool:
        """Whether a class is `base`, or derived from it."""
        if target == base or not isinstance(target, Definition):
            return target == base
        module = self._module(target.module)
        form = Form(self, module)
        bases = [b for s in module.statements[target.name] for b in getattr(s, "bases", [])]
        bases = [b.value if isinstance(b, ast.Subscript) else b for b in bases]
        return any(self._is_a(form.follow(b)[0], base) for b in bases)

    def _is_ours(self, module: str) -> bool:
        first = module.partition(".")[0]
        return first in self.ours or first.startswith("aevb_plugin_")

    def _module(self, name: str) -> Module:
        if name not in self.modules:
            path = self._find(name)
            if path is None:
                raise UserError(f"the module {name} is imported and has no source; mend the import")
            self.modules[name] = Module(name, path)
        return self.modules[name]

    def _find(self, name: str) -> Path | None:
        """The source file of a module of ours."""
        if name not in self.files:
            self.files[name] = self._look_for(name)
        return self.files[name]

    def _look_for(self, name: str) -> Path | None:
        first, *rest = name.split(".")
        if first == self.name:
            place = self.folder.joinpath(*rest)
            candidates = [place / "__init__.py", place.with_name(f"{place.name}.py")]
            return next(filter(Path.is_file, candidates if rest else candidates[:1]), None)
        if name in sys.modules:
            file = getattr(sys.modules[name], "__file__", None)
        else:
            try:
                spec = importlib.util.find_spec(name)
            except ModuleNotFoundError:  # of a package above it
                spec = None
            file = spec and spec.origin
        return Path(file) if file and file.endswith(".py") else None


def exists(place: str) -> bool:
    """Whether there is a module "module" of ours, or "module:name" in it. Imports nothing."""
    try:
        return bool(_sources().found(place))
    except UserError:
        return False


@functools.cache
def _sources() -> Sources:
    return Sources()


@functools.cache
def fingerprint(roots: tuple[str, ...]) -> Code:
    """The code that `roots` ("module:name", or "module" for all of it) execute.

    It is read once per process, see above.

    Raises UserError when there is no such root.
    """
    return _sources().code(roots)
