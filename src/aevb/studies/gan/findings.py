"""What the report says of VAE and GAN."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number, plural, short, span
from ...models.quality import classifier
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label
from .columns import METHODS
from .numbers import LEAST, SPREAD, WHERE

DIGITS = {"detail": 2, "frechet": 1, "covered": 1, "entropy": 2, "doubt": 2, "seconds": 1}
HEADS = {
    "detail": "high frequencies",
    "frechet": "Fréchet distance",
    "covered": "classes",
    "entropy": "entropy",
    "doubt": "doubt",
    "seconds": "seconds",
}

RADFORD = (2e-4, 0.5)  # step size and beta_1 of Radford et al. (2015)


def within(row, name: str = "value", digits: int = 2, ends: tuple[str, str] = ("low", "high")):
    """'1.23 [1.10, 1.36]': mean and interval over seeds."""
    return span(*(row[key] for key in (name, *ends)), digits)


def _of(row, name: str) -> str:
    return within(row, name, DIGITS[name], (f"{name}_low", f"{name}_high"))


def _spread(row) -> str:
    """The standard deviation over seeds of the log of the Frechet distance, in per cent."""
    per_cent = {name: 100 * row[name] for name in ("spread", "spread_low", "spread_high")}
    said = within(per_cent, "spread", 0, ("spread_low", "spread_high"))
    return f"{said} %" if np.isfinite(row["spread"]) else "–"


def _lectures(at: dict[str, pd.Series]) -> Tabular:
    """The lectures' table, with what was measured for each row."""
    means, draws, gan = (at[key] for key in ("vae_mean", "vae_draw", "gan"))
    rows = [
        {
            "": "principle",
            "VAE": "climbs a lower bound on log p(x) (equation 7)",
            "GAN": "a game: a discriminator tells data from samples, a generator deceives it",
            "measured": f"seconds of one core: VAE {_of(means, 'seconds')}, GAN "
            f"{_of(gan, 'seconds')}",
        },
        {
            "": "strength",
            "VAE": "stable; a code and a bound for every x",
            "GAN": "sharp samples, near to the data",
            "measured": f"spread of the Fréchet distance over seeds: VAE {_spread(means)}, GAN "
            f"{_spread(gan)}; the distance: means {_of(means, 'frechet')}, draws "
            f"{_of(draws, 'frechet')}, GAN {_of(gan, 'frechet')}",
        },
        {
            "": "weakness",
            "VAE": "blurred samples",
            "GAN": "loses modes; no density",
            "measured": f"high frequencies, relative to data: means {_of(means, 'detail')}, draws "
            f"{_of(draws, 'detail')}, GAN {_of(gan, 'detail')}; entropy of classes: means "
            f"{_of(means, 'entropy')}, GAN {_of(gan, 'entropy')}, data "
            f"{number(at['data']['entropy'])}",
        },
    ]
    return tabular(rows)


def _methods(table: pd.DataFrame) -> Tabular:
    rows = []
    for row in table.to_dict("records"):
        cells = {"": METHODS[row["method"]]}
        for name, head in HEADS.items():
            none = row["method"] == "data" and name == "seconds"
            cells[head] = "–" if none else _of(row, name)
        rows.append(cells | {"spread": _spread(row)})
    return tabular(rows)


def _differences(differences: pd.DataFrame) -> Tabular:
    rows = [
        {"VAE": METHODS[row["vae"]].split()[-1], "quantity": row["quantity"], "": within(row)}
        for row in differences.to_dict("records")
    ]
    return tabular(rows, "VAE")


def _said(at: dict[str, pd.Series], differences: pd.DataFrame) -> list[str]:
    """Blur, classes, distance, time: a sentence or two each."""
    means, draws, gan, data = (at[key] for key in ("vae_mean", "vae_draw", "gan", "data"))
    moved = differences.set_index(["vae", "quantity"])
    ratio = {
        (vae, where): within(moved.loc[vae, f"Frechet distance, VAE over GAN, {where}"])
        for vae in ("vae_mean", "vae_draw")
        for where in WHERE
    }
    less = within(moved.loc["vae_mean", "entropy of classes, VAE less GAN"])
    apart = f"{within(moved.loc['vae_mean', SPREAD])} times as large [95 % interval, F]"
    apart = apart if gan["seeds"] >= LEAST else "not compared: it takes three seeds"
    return [
        f"Blur: means of p(x|z) have {_of(means, 'detail')} of the data's share of high "
        f"frequencies, the GAN's samples {_of(gan, 'detail')}. Draws of p(x|z) have "
        f"{_of(draws, 'detail')}: noise of single pixels, not detail.",
        f"Classes: their entropy is {_of(means, 'entropy')} nats for the means and "
        f"{_of(gan, 'entropy')} for the GAN (data: {number(data['entropy'])}); means less GAN "
        f"{less}. {_of(means, 'covered')} and {_of(gan, 'covered')} of 10 classes have 1 % of the "
        f"samples or more. Standard deviation of the entropy over seeds, the GAN's against that of "
        f"the means: {apart}.",
        f"Distance: the VAE's Fréchet distance is that of the GAN times "
        f"{ratio['vae_mean', WHERE[0]]} for means and {ratio['vae_draw', WHERE[0]]} for draws at "
        f"equal training samples, {ratio['vae_mean', WHERE[1]]} and {ratio['vae_draw', WHERE[1]]} "
        f"at equal seconds. Training images themselves are at {number(data['frechet'], 1)}.",
        f"Spread over seeds: the standard deviation of the log of the Fréchet distance is "
        f"{_spread(means)} for means, {_spread(draws)} for draws and {_spread(gan)} for the GAN "
        "[95 % interval, chi-square].",
    ]


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The lectures' table, samples, curves and numbers."""
    study = gathered.study
    own, experiment = study.gan, study.experiments[study.gan.experiment]
    accuracy = classifier.load(experiment.dataset).accuracy
    facts = {
        "gan": own,
        "gan_data": label(own.experiment),
        "gan_hidden": experiment.hidden,
        "gan_samples": short(own.samples),
        "gan_images": f"{own.images:,}",
        "gan_seeds": plural(len(own.seeds), "seed"),
        "gan_accuracy": number(100 * accuracy, 1),
        "gan_published": (own.gan_step_size, own.beta_1) == RADFORD,
    }
    table, differences = numbers["gan"], numbers["gan_differences"]
    if table.empty:
        return Part(facts)
    at = {row["method"]: row for _, row in table.iterrows()}
    for fact, name in (("gan_detail", "detail"), ("gan_distance", "frechet")):
        facts[fact] = {method: number(row[name], DIGITS[name]) for method, row in at.items()}
    tables = {
        "gan_lectures": _lectures(at),
        "gan": _methods(table),
        "gan_differences": _differences(differences),
    }
    blocks = [
        ("text", "gan-question"),
        ("table", "gan_lectures"),
        ("list", _said(at, differences)),
        ("figure", "gan_samples"),
        ("figure", "gan"),
        ("text", "gan-measures"),
        ("details", ("All numbers", [("table", "gan"), ("table", "gan_differences")])),
    ]
    return Part(facts, tables, [Section("gan", "VAE and GAN", blocks, 260)])
