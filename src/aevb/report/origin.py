"""Where the results come from: commits, code, versions, machines, settings; how to repeat them."""

from __future__ import annotations

import json

import pandas as pd

from ..config import Config
from ..core import provenance
from ..core.words import short
from ..results import Gathered
from ..studies.planning import codes

# A person needs none of these to judge or repeat the results, and folders name the machine they are
# on.
UNPRINTED = ("results", "data", "states", "mirror", "redraw", "replace", "job_seconds", "plugins")


def _sources(gathered: Gathered) -> list[tuple[str, str, dict]]:
    """(kind, name, attributes) of every result."""
    kinds = {"runs": gathered.runs, **gathered.tables}
    return [
        (k, name, made.attributes) for k, found in kinds.items() for name, made in found.items()
    ]


def distinct(gathered: Gathered, *names: str, text=str) -> list[str]:
    """`text` of the attributes `names`: the distinct ones over all results that have them."""
    sources = [made for _, _, made in _sources(gathered) if all(name in made for name in names)]
    return list(dict.fromkeys(text(*(made[name] for name in names)) for made in sources))


def origins(gathered: Gathered) -> list[tuple[str, list[str]]]:
    """What made the results: name, and the distinct values over all of them."""

    def commit(name: str, dirty: bool) -> str:
        return name + (" with uncommitted changes" if dirty else "")

    def versions(text: str) -> str:
        return ", ".join(map(" ".join, json.loads(text).items()))

    return [
        ("git commit", distinct(gathered, "git_commit", "git_dirty", text=commit)),
        ("fingerprint of the deciding code (SHA-256)", distinct(gathered, "code_sha256")),
        ("data (SHA-256)", distinct(gathered, "dataset", "data_sha256", text="{}: {}".format)),
        ("versions", distinct(gathered, "versions", text=versions)),
        ("device", distinct(gathered, "device")),
        ("processor", distinct(gathered, "processor")),
        ("threads per job", distinct(gathered, "threads")),
    ]


def code(gathered: Gathered) -> tuple[list[dict], str]:
    """Which code made the results: rows of texts; and whether it is still the same: a sentence."""
    groups: dict[tuple, int] = {}
    roots = codes(gathered.study)
    for kind, name, made in _sources(gathered):
        if "code_sha256" in made:
            now = provenance.fingerprint(roots[kind, name]) if (kind, name) in roots else None
            same = now is not None and provenance.same(made["code_sha256"], now)
            commit = made["git_commit"] + (" with changes" if made["git_dirty"] else "")
            by = (kind, commit, made["code_sha256"][:12], "the same" if same else "changed")
            groups[by] = groups.get(by, 0) + 1
    columns = ("results", "commit", "code", "since")
    rows = [dict(zip(columns, by, strict=True)) | {"files": f"{n:,}"} for by, n in groups.items()]
    rows = [
        {key: row[key] for key in ("results", "files", "commit", "code", "since")} for row in rows
    ]
    total = sum(groups.values())
    changed = sum(files for by, files in groups.items() if by[3] == "changed")
    if not changed:
        return rows, f"All {total:,} results were made by code that is still the same."
    return rows, f"{changed:,} of {total:,} results were made by code that has changed since."


def settings(study: Config) -> list[dict]:
    """The resolved configuration, one row for each setting that bears on the results."""
    flat = pd.json_normalize(study.model_dump(mode="json", exclude=set(UNPRINTED))).iloc[0]
    return [
        {"setting": name, "value": ", ".join(map(str, v)) if isinstance(v, list) else str(v)}
        for name, v in flat.items()
    ]


def commands(study: Config) -> dict[str, str]:
    """The command that repeats this study and the one that draws its figures again; FILE for a
    study of the user's own."""
    known = study.name in ("quick", "paper", "reference", "figure3", "ablation")
    start = f"./run --cores all --configfile {f'config/{study.name}.yaml' if known else 'FILE'}"
    budget = [] if study.results else [f"samples={short(study.samples)}"]
    return {
        "known": known,
        "study": " ".join([start, *(["--config", *budget] if budget else [])]),
        "redraw": " ".join([start, "--config", *budget, "redraw=true", "--forceall"]),
    }
