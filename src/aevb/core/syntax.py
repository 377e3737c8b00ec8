"""Modules as what they import and define, and the normal form of a definition: see fingerprint.py,
which follows the names."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .fingerprint import Sources

#: What a class or an entry says about itself, for people: as an attribute of a class, or by keyword
#: to what is defined here, it decides no number.
SHOWN = frozenset(
    (
        "caption",
        "colour",
        "colour_word",
        "dashes",
        "decimals",
        "description",
        "label",
        "marker",
        "title",
    )
)

#: Fields of a syntax tree that are not executed, as annotations are with `from __future__ import
#: annotations`, or that not every version of Python has.
IGNORED = frozenset(("annotation", "returns", "ctx", "kind", "type_comment", "type_params"))

Names = dict[str, tuple[str, str | None] | None]
OUTER = "not here: "  # before a name that a function takes from a scope around it
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Definition(NamedTuple):
    """A definition of ours: `name` in `module`. The name '' stands for what importing `module`
    does beside defining."""

    module: str
    name: str


class Outside(NamedTuple):
    """A name of a library or of Python's own modules, in full."""

    name: str


class Whole(NamedTuple):
    """A module of ours."""

    module: str


Target = Definition | Outside | Whole | None  # None: local, built in, or not to be resolved


def short_hash(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _imported(statement: ast.Import | ast.ImportFrom, package: str) -> Names:
    """Local name -> (module, name in it, or None for the module itself) of an import inside
    `package`. The name '*' stands for all."""
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: (
                alias.name if alias.asname else alias.name.partition(".")[0],
                None,
            )
            for alias in statement.names
        }
    module = statement.module or ""
    if statement.level:
        parts = package.split(".")
        above = ".".join(parts[: len(parts) - statement.level + 1])
        module = f"{above}.{module}".rstrip(".")
    return {alias.asname or alias.name: (module, alias.name) for alias in statement.names}


def _bound(node: ast.AST, package: str, names: Names) -> None:
    """Add to `names` what `node` binds in the scope that it is in: None, or what is imported."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        names[node.name] = None
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        names |= {f"{OUTER}{name}": None for name in node.names}
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for name, target in _imported(node, package).items():
            names.setdefault(name, target)
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        names[node.id] = None
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        names[node.name] = None
    elif isinstance(node, ast.MatchMapping) and node.rest:
        names[node.rest] = None
    if isinstance(node, ast.comprehension):  # its variables are its own
        children = [node.iter, *node.ifs]
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        _bound(child, package, names)


def _scope(body: Iterable[ast.AST], package: str, arguments: Iterable[str] = ()) -> Names:
    """The names of a function or of a class's body."""
    names: Names = dict.fromkeys(arguments)
    for statement in body:
        _bound(statement, package, names)
    for name in [name for name in names if name.startswith(OUTER)]:
        names.pop(name)
        names.pop(name.removeprefix(OUTER), None)
    return names


class Module:
    """One source file: what it imports and what it defines."""

    def __init__(self, name: str, path: Path):
        self.name = name
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.imports: Names = {}
        self.stars: list[str] = []
        #: name -> the statements that bind or change it, in order; '': those that do neither
        self.statements: dict[str, list[ast.stmt]] = {}
        for statement in ast.parse(path.read_bytes()).body:
            self._add(statement)

    def _add(self, statement: ast.stmt) -> None:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._import(_imported(statement, self.package))
            return
        if isinstance(statement, ast.Expr):
            if not isinstance(statement.value, ast.Constant) and not _registers(statement.value):
                self.statements.setdefault("", []).append(statement)
            return
        test = ast.unparse(statement.test) if isinstance(statement, ast.If) else ""
        if test.startswith("__name__ =="):
            return
        if waiting := self._lazy(statement):
            self.imports |= waiting
            return
        names: Names = {}
        _bound(statement, self.package, names)
        self._import({name: target for name, target in names.items() if target})
        if test.endswith("TYPE_CHECKING"):
            return
        bound = [name for name, target in names.items() if not target]
        if isinstance(statement, (ast.Assign, ast.AugAssign)) and not bound:
            bound = [self._changed(statement)]  # X[...] = ..., X.y = ...
        for name in bound or [""]:
            self.statements.setdefault(name, []).append(statement)

    def _import(self, names: Names) -> None:
        for name, target in names.items():
            if name == "*":
                self.stars.append(target[0])
            else:
                self.imports[name] = target

    def _lazy(self, statement: ast.stmt) -> Names:
        """What `name = lazy("module")` imports (core.lazy)."""
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id=called), args=[ast.Constant(value=str(module))]),
            ) if (self.imports.get(called) or ("", ""))[1] == "lazy":
                return {name: (module, None)}
        return {}

    def _changed(self, statement: ast.Assign | ast.AugAssign) -> str:
        node = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        while isinstance(node, (ast.Subscript, ast.Attribute)):
            node = node.value
        return node.id if isinstance(node, ast.Name) and node.id in self.statements else ""


def _registers(call: ast.expr) -> bool:
    """Whether a statement adds an entry to a catalogue, which others do not reach by it."""
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "register"
    )


class Form:
    """The normal form of a definition, as text, and the definitions that it refers to."""

    def __init__(self, sources: Sources, module: Module, statements: Iterable[ast.stmt] = ()):
        self.sources, self.module = sources, module
        self.text: list[str] = []
        self.references: list[Definition] = []
        self.scopes: list[tuple[bool, Names]] = []  # whether of a class, and its names
        for statement in statements:
            self.visit(statement)

    def lookup(self, name: str) -> Target:
        """What `name` stands for at the place that is visited."""
        for depth, (of_class, names) in enumerate(reversed(self.scopes)):
            if name in names and not (of_class and depth):  # methods do not see a class's names
                return self.sources.target(*names[name]) if names[name] else None
        return self.sources.resolve(self.module.name, name)

    def follow(self, node: ast.expr) -> tuple[Target, list[str]]:
        """What a name or a dotted name stands for, and the attributes that are left of it."""
        attributes = []
        while isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
            node = node.value
        target = self.lookup(node.id) if isinstance(node, ast.Name) else None
        while attributes and isinstance(target, Whole):
            inside = self.sources.resolve(target.module, attributes[0])
            if inside is None:
                break
            target = inside
            attributes.pop(0)
        if isinstance(target, Outside):
            target, attributes = Outside(".".join([target.name, *attributes])), []
        return target, attributes

    def visit(self, node: ast.AST) -> None:
        """Add the normal form of `node` to the text."""
        special = getattr(self, f"_{type(node).__name__}", None)
        if special:
            special(node)
        else:
            self._open(type(node).__name__, **{name: getattr(node, name) for name in node._fields})

    def _open(self, kind: str, /, **fields) -> None:
        """(kind field=... ...), without the fields that are empty."""
        self.text.append(f"({kind}")
        for name, value in fields.items():
            if name in IGNORED or value is None:
                continue
            if isinstance(value, list):
                value = [item for item in value if not self._says_nothing(item)]
                if not value:
                    continue
            self.text.append(f" {name}=")
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.visit(item)
                else:
                    self.text.append(f"{item!r},")
        self.text.append(")")

    def _says_nothing(self, node) -> bool:
        """Whether a statement executes nothing, or nothing but words."""
        in_class = bool(self.scopes) and self.scopes[-1][0]
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return True
            case ast.Import() | ast.ImportFrom():  # every use of the name says what is imported
                return bool(self.scopes)
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
                return self.lookup("print") is None
            case ast.AnnAssign(value=None) if not in_class:
                return True
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name))
            ) if in_class:
                return name in SHOWN
        return False

    def _refer(self, node: ast.expr) -> None:
        target, attributes = self.follow(node)
        if isinstance(target, Definition):
            self.references.append(target)
            self.text.append(f"@{target.name}")
        elif isinstance(target, Whole):  # as a value, or for an attribute that it gets otherwise
            self.references += self.sources.definitions(target.module)
            self.text.append("@")
        elif isinstance(target, Outside):
            self.text.append(f"<{target.name}>")
        else:
            for _ in attributes:
                node = node.value
            if isinstance(node, ast.Name):
                self.text.append(node.id)
            else:
                self.visit(node)
        self.text.append("".join(f".{name}" for name in attributes) + " ")

    _Name = _Attribute = _refer

    def _Constant(self, node: ast.Constant) -> None:
        target = self.sources.place(node.value) if isinstance(node.value, str) else None
        if target is None:
            self._open("Constant", value=node.value)
        else:  # "module:name", imported where it is used
            self.references.append(target)
            self.text.append(f"@{target.name} ")

    def _Assign(self, node: ast.Assign) -> None:
        """In a class, `key, title = "a", "A"` without what is only shown."""
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if (
                self.scopes and self.scopes[-1][0] and len(names) == len(values)
            ):
                pairs = zip(names, values, strict=True)
                kept = [p for p in pairs if getattr(p[0], "id", None) not in SHOWN]
                for name, value in kept:
                    self._open("Assign", targets=[name], value=value)
            case _:
                self._open("Assign", targets=node.targets, value=node.value)

    def _Import(self, node) -> None:  # at the top level, in an `if` or a `try`
        outside = [self.sources.target(*t) for t in _imported(node, self.module.package).values()]
        self.text.append(f"(import {[t.name for t in outside if isinstance(t, Outside)]})")

    _ImportFrom = _Import

    def _Raise(self, node: ast.Raise) -> None:  # that it is raised and as what, not in what words
        self._open("Raise", exc=node.exc.func if isinstance(node.exc, ast.Call) else node.exc)

    def _Assert(self, node: ast.Assert) -> None:
        self._open("Assert", test=node.test)

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        if not (self.scopes and self.scopes[-1][0]):
            self._open("Assign", targets=[node.target], value=node.value)
            return
        # In a class it makes a field of a dataclass or a named tuple, unless it says otherwise.
        words = ast.unparse(node.annotation)
        other = next((word for word in ("ClassVar", "InitVar") if word in words), None)
        self._open("Field", target=node.target, value=node.value, other=other)

    def _Call(self, node: ast.Call) -> None:
        func = node.func.value if isinstance(node.func, ast.Subscript) else node.func
        if self.sources.is_catalogue(self.follow(func)[0]):
            self._open("Call", func=func)  # where its entries lie is no matter; they are roots
        else:
            ours = isinstance(self.follow(func)[0], Definition)  # numpy's `decimals` decides
            keywords = [k for k in node.keywords if not (ours and k.arg in SHOWN)]
            self._open("Call", func=node.func, args=node.args, keywords=keywords)

    def _FunctionDef(self, node) -> None:
        self._function(node, type(node).__name__, node.name, node.decorator_list)

    _AsyncFunctionDef = _FunctionDef

    def _Lambda(self, node: ast.Lambda) -> None:
        self._function(node, "Lambda", None, [])

    def _function(self, node, kind: str, name: str | None, decorators: list) -> None:
        names = node.args
        plain = [*names.posonlyargs, *names.args, *names.kwonlyargs]
        every = [a.arg for a in (*plain, names.vararg, names.kwarg) if a]
        self._open(
            kind,
            name=name,
            decorators=decorators,
            arguments=[
                [a.arg for a in names.posonlyargs],
                [a.arg for a in names.args],
                [a.arg for a in names.kwonlyargs],
                names.vararg and names.vararg.arg,
                names.kwarg and names.kwarg.arg,
            ],
            defaults=names.defaults,
            by_name=names.kw_defaults,
        )
        body = node.body if isinstance(node.body, list) else [node.body]
        self.scopes.append((False, _scope(body, self.module.package, every)))
        self._open("Body", body=body)
        self.scopes.pop()

    def _ClassDef(self, node: ast.ClassDef) -> None:
        self._open(
            "ClassDef",
            name=node.name,
            decorators=node.decorator_list,
            bases=node.bases,
            keywords=node.keywords,
        )
        self.scopes.append((True, _scope(node.body, self.module.package)))
        self._open("Body", body=node.body)
        self.scopes.pop()

    def _comprehension_of(self, node) -> None:
        first, *others = node.generators
        self.text.append(f"({type(node).__name__} ")
        self.visit(first.iter)  # outside of the scope of the variables
        names: Names = {}
        for generator in node.generators:
            _bound(generator.target, self.module.package, names)
        self.scopes.append((False, names))
        self._open("for", target=first.target, ifs=first.ifs, is_async=first.is_async)
        for generator in others:
            self._open("for", **{name: getattr(generator, name) for name in generator._fields})
        parts = ("key", "value", "elt")
        self._open("Item", **{name: getattr(node, name, None) for name in parts})
        self.scopes.pop()
        self.text.append(")")

    _ListComp = _SetComp = _DictComp = _GeneratorExp = _comprehension_of
