"""What the report says of conditional models."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number, plural, short, span
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label
from .labels import CLASSES
from .numbers import NAMES

BLOCKS = [
    ("text", "conditional-question"),
    ("list", "label"),
    ("figure", "conditional"),
    ("table", "conditional"),
    ("figure", "conditional_styles"),
    ("text", "conditional-completion"),
    ("list", "quadrants"),
    ("figure", "conditional_quadrants"),
    ("table", "conditional_quadrants"),
]


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The label, then the quadrants."""
    given, completed = numbers["conditional"], numbers["conditional_quadrants"]
    if given.empty or completed.empty:
        return Part()
    lists = {"label": _label_said(given), "quadrants": _completed_said(completed)}
    blocks = [(kind, lists[what] if kind == "list" else what) for kind, what in BLOCKS]
    tables = {"conditional": _label(given), "conditional_quadrants": _quadrants(completed)}
    section = Section("conditional", "Conditional models", blocks, 260)
    return Part(_facts(gathered, given, completed), tables, [section])


def _facts(gathered: Gathered, given: pd.DataFrame, completed: pd.DataFrame) -> dict:
    """What the paragraphs and captions say."""
    part = gathered.study.conditional
    last = given[given["label"] == 1].iloc[-1]
    cvae = completed[completed["method"].eq("cvae") & completed["measure"].eq("importance")]
    return {
        "conditional": part,
        "conditional_data": label(part.experiment),
        "conditional_hidden": gathered.study.experiments[part.experiment].hidden,
        "conditional_samples": short(part.samples),
        "conditional_seeds": plural(len(gathered.study.seeds), "seed"),
        "conditional_chance": _percent(last["chance"]),
        "conditional_most": number(np.log(CLASSES)),
        "conditional_last": f"N_z = {last['latent_dim']:.0f}",
        "conditional_gain": _span(last, "gain_bound", 1),
        "conditional_tells": _span(last, "tells", 1),
        "conditional_linear": f"{_span(last, 'linear', 0, 100)} %",
        "conditional_better": ", ".join(_span(row, "ahead", 1) for row in cvae.to_dict("records")),
        "conditional_published": bool(completed["published"].notna().any()),
    }


def _span(row, name: str, digits: int, scale: float = 1.0) -> str:
    """'-180.1 [-184.2, -176.0]'."""
    return span(*(scale * row[f"{name}{end}"] for end in ("", "_low", "_high")), digits)


def _label_said(given: pd.DataFrame) -> list[str]:
    """A sentence for each N_z."""
    said = []
    for latent_dim, rows in given.groupby("latent_dim"):
        without, own = (rows[rows["label"] == value].iloc[0] for value in (0, 1))
        said.append(
            f"N_z = {latent_dim}: the label raises the test bound by "
            f"{_span(own, 'gain_bound', 1)} nats. With the label summed out log p(x) is higher by "
            f"{_span(own, 'gain_log_p', 1)} (± {number(1.96 * own['gain_se'], 1)} over test "
            "images), where the last tenfold of draws added "
            f"{_span(own, 'added', 2)} without the label; the label tells "
            f"{_span(own, 'tells', 2)}. p(y|x) has the right class first on "
            f"{_span(own, 'accuracy', 0, 100)} % of test images. A linear discriminant on the mean "
            f"of q tells {_span(own, 'linear', 0, 100)} % of classes with the label, "
            f"{_span(without, 'linear', 0, 100)} % without, where the most frequent class is "
            f"{100 * own['chance']:.0f} %; nearest neighbours {_span(own, 'near', 0, 100)} % and "
            f"{_span(without, 'near', 0, 100)} %."
        )
    return said


def _completed_said(completed: pd.DataFrame) -> list[str]:
    """A sentence for each number of observed quadrants."""
    said = []
    for observed, rows in completed.groupby("observed"):
        own = rows[rows["points"] == rows["points"].min()].set_index(["method", "measure"])
        cvae, network = own.loc[("cvae", "importance")], own.loc[("baseline", "exact")]
        single, several = (own.loc[(name, "exact")] for name in ("neighbour", "neighbours"))
        said.append(
            f"{plural(observed, 'quadrant')} observed: −log p of what is missing is "
            f"{_loss(cvae)} for the conditional model, {_loss(network)} for the deterministic "
            f"network, {_loss(single)} for the nearest neighbour and {_loss(several)} for the "
            f"mean of {several['neighbours']:.0f}."
        )
    return said


def _loss(row) -> str:
    return span(row["nll"], row["low"], row["high"], 1)


def _label(given: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N_z": f"{row['latent_dim']}",
            "label": ("without", "with")[row["label"]],
            "bound": _span(row, "bound", 1),
            "log p(x)": _span(row, "log_p", 1),
            "linear, %": _span(row, "linear", 0, 100),
            "neighbours, %": _span(row, "near", 0, 100),
        }
        for row in given.to_dict("records")
    ]
    return tabular(rows, "N_z")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if np.isfinite(value) else "–"


def _quadrants(completed: pd.DataFrame) -> Tabular:
    rows = [
        {
            "observed": f"{row['observed']}",
            "method": NAMES[row["method"], row["measure"]],
            "images": f"{row['points']:,.0f}",
            "−log p": _loss(row),
            "± images": number(1.96 * row["points_se"], 1),
            "± draws": number(1.96 * row["mc_se"], 2),
            "published": number(row["published"], 1),
        }
        for row in completed.to_dict("records")
    ]
    return tabular(rows, "observed")
