"""What the report says of reconstruction terms."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import count, joined, number, plural, short, span_of
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label
from . import keys_of
from .numbers import cases
from .samples import COMPONENTS
from .terms import NOISE_SD, TERMS

BLOCKS = [
    ("text", "reconstruction-question"),
    ("list", []),
    ("figure", "reconstruction_images"),
    ("figure", "reconstruction_tradeoff"),
    ("table", "reconstruction_terms"),
    ("text", "reconstruction-variance"),
    ("figure", "reconstruction_variances"),
    ("details", ("More numbers", [("table", "reconstruction_more")])),
]
#: columns of the tables: heading -> column and decimals
FIRST = {"RMSE": ("rmse", 3), "own bound": ("test", 0), "common bound": ("common", 0)}
FIRST |= {"samples": ("frechet", 1)}
MORE = {"noisy input": ("noisy_rmse", 3), "from codes": ("frechet_codes", 1)}
MORE |= {"in features": ("features", 0), "features from codes": ("features_codes", 1)}
MORE |= {"code sd": ("code_sd", 2)}
MEANS = {"training bound": ("train", 1), "KL": ("kl", 1), "σ": ("sigma", 4)}
MEANS |= {"high frequencies": ("sharpness", 3)}


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """Each term's errors, bounds and samples; then what a learned variance does."""
    table = numbers["reconstruction_terms"]
    if table.empty:
        return Part()
    facts = _facts(gathered)
    said = _sentences(gathered, table, numbers["reconstruction_bernoulli"])
    blocks = [(kind, said if kind == "list" else what) for kind, what in BLOCKS]
    facts["reconstruction_variances"] = _variances(gathered, numbers["reconstruction_variances"])
    tables = {
        "reconstruction_terms": _table(table, FIRST, {}),
        "reconstruction_more": _table(table, MORE, MEANS),
    }
    section = Section("reconstruction-terms", "What an image is compared by", blocks, 260)
    return Part(facts, tables, [section])


def _facts(gathered: Gathered) -> dict:
    part = gathered.study.reconstruction_terms
    models = [
        f"{label(model.experiment)} (N_z = {model.latent_dim}, {short(model.samples)} training "
        "samples)"
        for model in part.models
    ]
    return {
        "reconstruction_models": " and ".join(models),
        "reconstruction_seeds": plural(len(gathered.study.seeds), "seed"),
        "reconstruction_noise": f"{NOISE_SD:g}",
        "reconstruction_components": COMPONENTS,
        "reconstruction_shown": _shown(gathered),
    }


def _sentences(gathered: Gathered, table: pd.DataFrame, crossed: pd.DataFrame) -> list[str]:
    """For each data set: the extremes, the autoencoder, and the continuous Bernoulli."""
    said = []
    for experiment, rows in table.groupby("experiment", sort=False):
        by = {row.term: row for row in rows.itertuples()}
        name, best = label(experiment), {}
        for column in ("rmse", "frechet"):
            best[column] = min(by.values(), key=lambda row: getattr(row, column))
        bounds = [row for row in by.values() if TERMS[row.term].variational]
        high = max(bounds, key=lambda row: row.common, default=None)
        common = high and (
            f"the best bound under the common likelihood that of {_title(high)}, "
            f"{span_of(high, 'common', 1)} nats; "
        )
        said.append(
            f"{name}: the smallest error is that of {_title(best['rmse'])}, RMSE "
            f"{span_of(best['rmse'], 'rmse', 4)}; {common or ''}the samples nearest "
            f"to test images are those of {_title(best['frechet'])}, distance "
            f"{span_of(best['frechet'], 'frechet', 3)} (training images: "
            f"{number(best['frechet'].frechet_data, 3)})."
        )
        if "autoencoder" in by:
            own = by["autoencoder"]
            said.append(
                f"{name}: the autoencoder has RMSE {span_of(own, 'rmse', 4)}. Its samples of the "
                f"prior are at {span_of(own, 'frechet', 3)}, those of a Gaussian fitted to its "
                f"codes at {span_of(own, 'frechet_codes', 3)}; the root mean square of its codes "
                f"is {span_of(own, 'code_sd', 2)}, where the prior has 1."
            )
        said += _diverged(gathered, experiment, by)
    for row in crossed.itertuples():
        said.append(
            f"{label(row.experiment)}: under the continuous Bernoulli the model trained with it "
            f"has {span_of(row, 'continuous', 1)} nats; the model trained with the plain one has "
            f"{span_of(row, 'lost_logits', 1)} nats less at its logits, and "
            f"{span_of(row, 'lost_mean', 1)} less at logits with its means."
        )
    return said


def _diverged(gathered: Gathered, experiment: str, ended: dict) -> list[str]:
    """Which terms have no model that came to the end, and which have fewer than seeds; `ended` has
    the row of the table of each term."""
    part = gathered.study.reconstruction_terms
    [model] = [each for each in part.models if each.experiment == experiment]
    gone = [TERMS[key].title for key in keys_of(part, model) if key not in ended]
    name, seeds = label(experiment), len(gathered.study.seeds)
    said = [f"{name}: every seed diverged of {joined(gone)}."] if gone else []
    for row in ended.values():
        if row.seeds < seeds:
            said.append(
                f"{name}: {plural(seeds - row.seeds, 'seed')} of {seeds} diverged of "
                f"{_title(row)}; what is said of it are means over the others."
            )
    return said


def _shown(gathered: Gathered) -> str:
    """Which seed the images are of: 'seed 0', and where it is another one."""
    first, said = gathered.study.seeds[0], []
    for case in cases(gathered):
        ended = list(case.last.index)
        if ended and ended[0] != first:
            said.append(f"seed {ended[0]:.0f} of “{case.term.title}” on {label(case.experiment)}")
    return f"seed {first}" + (f", but {joined(said)}" if said else "")


def _title(row) -> str:
    return f"“{TERMS[row.term].title}”"


def _variances(gathered: Gathered, table: pd.DataFrame) -> list[str]:
    """The smallest variances at the end, in sentences."""
    said = []
    for experiment, rows in table.groupby("experiment", sort=False):
        level = 1 / gathered.study.experiments[experiment].scale
        ends = rows.loc[rows.groupby("term", sort=False)["samples"].idxmax()]
        last = rows["samples"].max()
        parts = [
            f"{_times(row, 12 / level**2)} times for {_title(row)} ("
            f"{'' if row.samples == last else f'after {count(row.samples)} samples, then lost: '}"
            f"test bound {_bound(row)} nats, {number(100 * row.above, 0)} % of the test "
            "images above the ceiling)"
            for row in ends.itertuples()
        ]
        said.append(
            f"{label(experiment)}, the smallest variance at the end over that of rounding to a "
            f"grey level: {'; '.join(parts)}."
        )
    return said


def _times(row, factor: float) -> str:
    """'0.2 [0.1, 0.3]': the smallest variance times `factor`, with its interval."""
    mean, low, high = (
        f"{factor * getattr(row, f'smallest{end}'):.2g}" for end in ("", "_low", "_high")
    )
    return f"{mean} [{low}, {high}]" if np.isfinite(row.smallest_low) else mean


def _bound(row) -> str:
    """The test bound, with its interval."""
    mean, low, high = (_large(getattr(row, f"test{end}")) for end in ("", "_low", "_high"))
    return f"{mean} [{low}, {high}]" if np.isfinite(row.test_low) else mean


def _large(value: float) -> str:
    """A bound, which may have been thrown far down."""
    return number(value, 1) if abs(value) < 1e6 else f"{value:.1e}".replace("-", "−", 1)


def _table(table: pd.DataFrame, spans: dict, means: dict) -> Tabular:
    rows = [
        {
            "data": label(row.experiment),
            "term": TERMS[row.term].title,
            "seeds": count(row.seeds),
            **{head: span_of(row, name, digits) for head, (name, digits) in spans.items()},
            **{head: number(getattr(row, name), digits) for head, (name, digits) in means.items()},
        }
        for row in table.itertuples()
    ]
    return tabular(rows, "data")
