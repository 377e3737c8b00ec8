"""The catalogue of claims: docs/claims.md."""

from __future__ import annotations

import argparse

from .claims import Claim, catalogue

HEAD = """# The claims and their rules

Each claim is judged by a rule that was written before the reference run (method.md says which of
them were changed after earlier ones). A *check* is one comparison (a panel, a model, a point of
training) with an effect and its 95 % interval: Student's t or a
bootstrap over seeds, or the Monte Carlo error where one model is measured, unless the claim's rule
names another. It agrees if the interval lies on the claim's side of the threshold, disagrees if on
the other, leans if every seed is on one side but the interval reaches across, and is open
otherwise.

| verdict | when |
|---|---|
| ✓ holds | no check disagrees, more than half agree or lean towards it, and one agrees |
| ± mixed | some checks agree and others disagree; the report says where |
| ✗ does not hold | some disagree and none agrees |
| ? undecided | tested, with too little power to tell |
| – not tested | what it needs was not run |

The sentence beside a verdict is of the *weakest case*, the check that supports the claim least.
Verdicts of a study are in its report, in `claims.csv` and, check by check, in `checks.csv`. A
claim of your own is a function with a decorator: [extending.md](extending.md).

Written by `PYTHONPATH=src python -m aevb claims > docs/claims.md` from the modules `claims` of
src/aevb/studies."""
AROUND = """## Studies around the paper

These are not the paper's; they show in a report where their studies are run."""


def _entry(claim: Claim) -> str:
    """One claim as a paragraph each of what is said, measured and judged."""
    name = claim.name[0].upper() + claim.name[1:]
    source = "The paper" if claim.paper else "The source"
    return "\n".join(
        [
            f"### {claim.number}. {name}",
            "",
            f"* {source}: {claim.says}",
            f"* Measured: {claim.statement}",
            f"* Rule: {claim.rule}",
            f"* It needs {claim.needs}.",
        ]
    )


def page() -> str:
    """The text of docs/claims.md."""
    claims = catalogue()
    own = [_entry(claim) for claim in claims if claim.paper]
    around = [_entry(claim) for claim in claims if not claim.paper]
    return "\n\n".join([HEAD, "## The paper's claims", *own, AROUND, *around])


def main(arguments: list[str]) -> None:
    """Print the claims and their rules as Markdown, as in docs/claims.md."""
    parser = argparse.ArgumentParser(prog="python -m aevb claims", description=main.__doc__)
    parser.parse_args(arguments)
    print(page())
