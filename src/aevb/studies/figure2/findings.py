"""What the report says of Figure 2."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ...config import Config
from ...core.run import Run
from ...core.words import count, joined, number, plural, short
from ...learners import LEARNERS
from ...models.likelihoods import LIKELIHOODS
from ...paper.comparison import (
    closeness,
    comparison,
    done_curves,
    missing_curves,
    paper_cells,
    shared,
)
from ...paper.curves import accuracy, paper_curve
from ...paper.distance import differences, rms
from ...paper.facts import PAPER_SAMPLES, PAPER_WINDOW
from ...report.conventions import departures
from ...report.parts import NOTHING, Part, Section, Tabular, tabular
from ...report.style import SEEDS_FOR_SD, in_words
from ...results import Gathered, RunResult
from ...results.curves import at, ignoring_z, last_shared, lasting, replicas
from ...results.words import label
from . import live

# Below this mean KL(q(z|x) || p(z)) the latent variables carry next to nothing about the image.
IGNORES_Z = 0.1


def _crossing(curve: pd.DataFrame, value: float, near: float) -> float:
    """The sample count, nearest to `near` on a log axis, at which the paper's curve takes
    `value`; NaN if nowhere."""
    x, y = np.log(curve["samples"].to_numpy(float)), curve["value"].to_numpy(float) - value
    steps = np.flatnonzero((y[:-1] * y[1:] <= 0) & (y[:-1] != y[1:]))
    if not len(steps):
        return np.nan
    found = x[steps] - y[steps] * (x[steps + 1] - x[steps]) / (y[steps + 1] - y[steps])
    return float(np.exp(found[np.argmin(np.abs(found - np.log(near)))]))


def explained(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame) -> str:
    """What may explain the differences from the paper on one experiment (`table`: its rows of
    `comparison`), as a paragraph; '' where nothing is beside the paper's."""
    if not table["paper"].notna().any():
        return ""
    study, name = gathered.study, table["experiment"].iloc[0]
    sentences = [closeness(table, study, "Test bounds"), *_beyond(table, gathered, paper)]
    runs = {
        (algorithm, int(latent_dim)): replicas(gathered, name, algorithm, int(latent_dim))
        for algorithm, latent_dim in _curves(table)
    }
    sentences += [_ignoring(runs, study), _trains(table), _steps(gathered, name, list(runs))]
    if changed := departures(study, name):
        sentences.append(
            f"Settings that depart from the default reading of the paper: {'; '.join(changed)}."
        )
    lost = sum(len(part) - len(lasting(study, part)) for part in runs.values())
    if lost:
        all_of_them = plural(sum(map(len, runs.values())), "replica")
        verb = "is" if lost == 1 else "are"
        sentences.append(f"{lost} of {all_of_them} diverged and {verb} left out of the means.")
    return " ".join(filter(None, sentences))


def _curves(table: pd.DataFrame) -> list[tuple[str, int]]:
    """(algorithm, N_z) in the order of the rows."""
    return list(dict.fromkeys(zip(table["algorithm"], table["latent_dim"], strict=True)))


def _listed(curves: Iterable[tuple[str, int]]) -> str:
    """Curves in words: "AEVB with N_z = 3 and 5, wake-sleep with N_z = 10"."""
    dims: dict[str, list[int]] = {}
    for algorithm, latent_dim in curves:
        dims.setdefault(algorithm, []).append(latent_dim)
    return ", ".join(f"{LEARNERS[key].label} with N_z = {joined(dims[key])}" for key in dims)


def _beyond(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame) -> list[str]:
    """The test bounds that noise does not explain, as a shift along the axis, in sentences."""
    study, name = gathered.study, table["experiment"].iloc[0]
    tests = table[(table["split"] == "test") & table["paper"].notna()]
    rows = tests[tests["difference"].abs() > tests["tolerance"]]
    rows = rows[rows["target"] == shared(tests)] if len(rows) else rows
    digits, parts = LIKELIHOODS[study.experiments[name].likelihood].decimals, []
    for row in rows.to_dict("records"):
        theirs = paper_curve(paper, study, name, row["latent_dim"], row["algorithm"], "test")
        text = f"{_listed([(row['algorithm'], row['latent_dim'])])} by "
        text += f"{number(row['difference'], digits, sign=True)} nats"
        percent = 100 * (_crossing(theirs, row["ours"], row["samples"]) / row["samples"] - 1)
        if abs(percent) >= 0.5:
            side = "later" if percent > 0 else "earlier"
            text += f" (the paper's curve has our value {number(abs(percent), 0)} % {side})"
        parts.append(text)
    if not parts:
        return []
    sentences = [
        f"Beyond the noise: {'; '.join(parts)}. A setting that the paper does not print for each "
        "curve (step size, start, warm-up) may explain it."
    ]
    if study.experiments[name].dataset == "frey":
        sentences.append("Its division of Frey Face into train and test is not known either.")
    return sentences


def _ignoring(runs: dict[tuple[str, int], list[RunResult]], study: Config) -> str:
    """The curves that end as models without latent variables, in a sentence; '' if none does."""
    ends = {curve: last_shared(study, part)["test_kl"].mean() for curve, part in runs.items()}
    silent = [curve for curve, kl in ends.items() if kl < IGNORES_Z]
    if not silent:
        return ""
    most = number(max(ends[curve] for curve in silent), 3)
    return (
        f"Ignoring z, with a KL of at most {most} nats on the test set: {_listed(silent)}; their "
        "bound is that of a model without latent variables, and N_z hardly matters."
    )


def _trains(table: pd.DataFrame) -> str:
    """Whether the paper's train curves look like running averages or like the bound at that
    moment, in a sentence; '' where there is none."""
    rows = table[(table["split"] == "train") & table["paper"].notna()]
    if not len(rows):
        return ""
    rows = rows[rows["target"] == shared(rows)]
    reading = accuracy(rows["experiment"].iloc[0])
    averaged = (rows["averaged"] - rows["paper"]).abs()
    moment = rows["difference"].abs()
    alike = (averaged - moment).abs() <= reading
    said = f"At {count(rows['samples'].max())} samples the paper's train value is nearer to our "
    said += f"averaged bound in {sum((averaged < moment) & ~alike)} of {plural(len(rows), 'curve')}"
    said += f", to our bound at that moment in {sum((averaged > moment) & ~alike)}"
    return said + (f"; {sum(alike)} do not tell." if any(alike) else ".")


def _steps(gathered: Gathered, name: str, curves: list[tuple[str, int]]) -> str:
    """How much depended on the choice of step size, in a sentence: how far apart the pilots' two
    best were."""
    pilots = [gathered.pilots[Run(name, *curve, 0).curve] for curve in curves]
    if all(len(pilot.step_sizes) == 1 for pilot in pilots):
        return "The step size was given; no pilot chose it."
    margins = []
    for pilot in pilots:
        ends = np.sort(pilot.bounds[:, -1][np.isfinite(pilot.bounds[:, -1])])
        margins += [ends[-1] - ends[-2]] if len(ends) > 1 else []
    if not margins:
        return "Only one step size of each curve came through its pilot."
    digits = LIKELIHOODS[gathered.study.experiments[name].likelihood].decimals
    return (
        f"The pilots separated their two best step sizes by {number(min(margins), digits)} to "
        f"{number(max(margins), digits)} nats."
    )


def _order(gathered: Gathered, paper: pd.DataFrame, study: Config) -> str:
    """In how many panels AEVB is above wake-sleep, here and in the paper, in a sentence; ''
    without both algorithms."""
    ours, theirs, steady = [], [], []
    for row in study.figure2:
        for latent_dim in row.latent_dims if {"aevb", "wake_sleep"} <= set(row.algorithms) else ():
            means, at_end = [], []
            for algorithm in ("aevb", "wake_sleep"):
                runs = done_curves(gathered, row.experiment, algorithm, latent_dim)
                means += [_mean(runs, "test")] if runs else []
                curve = paper_curve(paper, study, row.experiment, latent_dim, algorithm, "test")
                at_end.append(np.nan if curve is None else at(curve, "value", study.samples))
            if len(means) == 2:
                means = pd.concat(means, axis=1, join="inner").to_numpy().T
                ours.append(means[0][-1] > means[1][-1])
                steady.append((means[0] > means[1]).all())
                theirs += [at_end[0] > at_end[1]] if np.isfinite(at_end).all() else []
    if not ours:
        return ""
    text = "At the last evaluation that all seeds have, AEVB's test bound is above wake-sleep's in "
    text += f"{sum(ours)} of {plural(len(ours), 'panel')}, "
    text += f"and at every such evaluation in {sum(steady)}"
    text += (
        f"; the paper's, at {short(study.samples)} samples, in {sum(theirs)} of {len(theirs)}"
        if theirs
        else ""
    )
    return text + "."


def _collapsed(gathered: Gathered, paper: pd.DataFrame) -> list[str]:
    """Where the paper's wake-sleep ends at the bound of a model that ignores z, as sentences."""
    study, sentences = gathered.study, []
    for row in study.figure2:
        curves = [
            paper_curve(paper, study, row.experiment, latent_dim, "wake_sleep", "test")
            for latent_dim in row.latent_dims
        ]
        ends = [
            float(curve[curve["samples"] <= PAPER_SAMPLES]["value"].iloc[-1])
            for curve in curves
            if curve is not None
        ]
        alone = ignoring_z(gathered, row.experiment).get("test", np.nan)
        reading = accuracy(study.experiments[row.experiment].dataset)
        if ends and max(abs(end - alone) for end in ends) <= 2 * reading:
            sentences.append(
                f"The paper's wake-sleep on {label(row.experiment)} ends at a test bound of "
                f"{number(float(np.median(ends)), 1)} nats for every N_z, where a model that "
                f"ignores z has {number(alone, 1)}: better than it means better than a collapsed "
                "baseline there."
            )
    return sentences


def _mean(curves: list[pd.DataFrame], column: str) -> pd.Series:
    """Mean over replicas, by samples, at the evaluations that all of them have."""
    values = pd.concat(curves).groupby("samples")[column].agg(["mean", "count"])
    return values.loc[values["count"] == len(curves), "mean"]


def _readings(gathered: Gathered, paper: pd.DataFrame) -> str:
    """Which of our train values the paper's train curve of Figure 2 is nearer to, over all
    curves along the samples of all seeds."""
    rows = differences(gathered, paper)
    rows = rows[(rows["figure"] == 2) & (rows["split"] == "train")]
    if rows.empty:
        return ""
    curve = ["experiment", "latent_dim", "algorithm", "reading"]
    rows = rows[rows["seeds"] == rows.groupby(curve)["seeds"].transform("max")]
    away = pd.Series({key: rms(part) for key, part in rows.groupby(curve)}).unstack()
    nearer = away["average"] < away["moment"]
    return (
        "Along the samples that all seeds have, the paper's train curve is nearer (root mean "
        "square) to our averaged bound "
        f"(over {short(PAPER_WINDOW)} samples) than to our bound at that moment in "
        f"{int(nearer.sum())} of {plural(len(nearer), 'curve')}."
    )


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What page and paper show of Figure 2: bounds beside the paper's, and what may explain the
    differences."""
    study, table = gathered.study, comparison(gathered, paper)
    baselines = {row.experiment: ignoring_z(gathered, row.experiment) for row in study.figure2}
    values = {
        name: ", ".join(f"{split} {number(value, 1)}" for split, value in bounds.items())
        for name, bounds in baselines.items()
        if bounds
    }
    algorithms = [algorithm for row in study.figure2 for algorithm in row.algorithms]
    names = list(baselines)
    mine = {name: table[table["experiment"] == name] for name in names}
    why = {name: explained(mine[name], gathered, paper) for name in names}
    facts = {
        "bounds_of": names,
        "explained": why,
        "compared": bool(table["paper"].notna().any()),
        "by_sd": len(study.seeds) >= SEEDS_FOR_SD,
        "ignoring_z": "; ".join(f"{label(name)}: {value}" for name, value in values.items()),
        "window": short(PAPER_WINDOW),
        "legend2": in_words(algorithms),
    }
    tables = {f"bounds-{name}": _bounds(mine[name], study, name) for name in names}
    blocks = [("text", "bounds")]
    for name in names:
        blocks += [("table", f"bounds-{name}"), *([("text", f"why-{name}")] * bool(why[name]))]
    said = [_readings(gathered, paper), *_collapsed(gathered, paper)]
    blocks += [("list", [sentence for sentence in said if sentence]), ("file", "bounds")]
    title = "Bounds beside the paper's" if facts["compared"] else "Bounds"
    return Part(
        facts,
        tables,
        [Section("bounds", title, blocks, 20)],
        missing_curves(study, paper, 2),
        {"figure2": live.figure2(gathered, paper)},
        findings={"figure2": _order(gathered, paper, study)},
    )


def _bounds(table: pd.DataFrame, study: Config, name: str) -> Tabular:
    """The test bounds of one experiment where its seeds end (`table`: its rows of `comparison`),
    beside the paper's if it has any."""
    compared = bool(table["paper"].notna().any())
    rows = table[table["split"] == "test"]
    rows = rows[rows["target"].isin({shared(rows), rows["target"].max()})] if len(rows) else rows
    digits, cells = LIKELIHOODS[study.experiments[name].likelihood].decimals, []
    for row in rows.to_dict("records"):
        cells.append(
            {"N_z": str(row["latent_dim"]), "algorithm": LEARNERS[row["algorithm"]].label}
            | {"samples": count(row["samples"]), "seeds": str(row["replicas"])}
            | ({"the paper": ""} if compared else {})  # its place, before ours
            | {"ours": number(row["ours"], digits), "± sd": number(row["sd"], digits)}
            | (paper_cells(row, digits) if compared else {})
        )
    return tabular(cells or [{"N_z": "–", "algorithm": NOTHING}], "N_z")
