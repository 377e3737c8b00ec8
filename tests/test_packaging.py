"""pyproject.toml, environment.yml and requirements.lock say the same; the lock names no host."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {
    "matplotlib-base": "matplotlib",
    "seaborn-base": "seaborn",
    "snakemake-minimal": "snakemake",
    "pytorch": "torch",
    "typst-py": "typst",
}


def wanted() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [
        Requirement(r)
        for r in sum(project["optional-dependencies"].values(), project["dependencies"])
    ]
    return {r.name: str(r.specifier) for r in requirements} | {"python": project["requires-python"]}


def locked() -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(
        r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    ):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def test_environment_yml_has_the_ranges_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *listed, pip, others = environment["dependencies"]
    conda = dict(entry.split(" ", 1) for entry in [*listed, *others[pip]])
    assert {CONDA_NAMES.get(name, name): spec for name, spec in conda.items()} == wanted()


def test_the_lock_holds_every_dependency_within_its_range():
    versions = locked()
    for name, specifier in wanted().items():
        if name == "python":
            continue
        assert canonicalize_name(name) in versions, (
            f"{name} is not in requirements.lock: compile it again (docs/development.md)"
        )
        for version in versions[canonicalize_name(name)]:
            assert Requirement(f"x{specifier}").specifier.contains(
                Version(version), prereleases=True
            )


def test_every_locked_package_has_a_hash_and_no_host_is_named():
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == sum(map(len, locked().values()))
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text and "index-url" not in text


def test_version_and_changes_are_told_once_and_alike():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    changes = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[:1] == ["Unreleased"] or changes[0] == project["version"]
    assert project["version"] in changes


def test_the_workflow_files_can_be_read():
    files = [*(ROOT / ".github/workflows").glob("*.yml"), ROOT / ".snakemake-workflow-catalog.yml"]
    assert len(files) == 4 and all(yaml.safe_load(file.read_text()) for file in files)
