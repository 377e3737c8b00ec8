"""What the report says of Figure 2."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...config import Config
from ...core.run import Run
from ...core.words import count, joined, number, plural, short
from ...learners import LEARNERS
from ...models.likelihoods import LIKELIHOODS
from ...paper.comparison import (
    beside_cells,
    closeness,
    comparison,
    done_curves,
    missing_curves,
    shared,
    tells,
)
from ...paper.curves import accuracy, paper_curve
from ...paper.distance import differences, rms
from ...paper.facts import PAPER_SAMPLES, PAPER_WINDOW
from ...report.conventions import departures
from ...report.parts import NOTHING, Part, Section, Tabular, plain, tabular
from ...report.style import SEEDS_FOR_SD, in_words
from ...results import Gathered, Pilot
from ...results.curves import at, ignoring_z, last_shared, lasting, replicas
from ...results.words import label, named
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


def explanations(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame) -> list[str]:
    """What may explain the differences in one panel (`table`: its rows of `comparison`), as
    sentences."""
    study = gathered.study
    name, latent_dim = table["experiment"].iloc[0], int(table["latent_dim"].iloc[0])
    experiment = study.experiments[name]
    digits, changed = LIKELIHOODS[experiment.likelihood].decimals, departures(study, name)
    sentences = (
        [f"The settings depart from the default reading of the paper: {'; '.join(changed)}."]
        if changed
        else []
    )
    for algorithm in dict.fromkeys(table["algorithm"]):
        rows = table[(table["algorithm"] == algorithm) & table["paper"].notna()]
        runs = replicas(gathered, name, algorithm, latent_dim)
        title = LEARNERS[algorithm].label[0].upper() + LEARNERS[algorithm].label[1:]
        test, train = rows[rows["split"] == "test"], rows[rows["split"] == "train"]
        if len(test):
            theirs = paper_curve(paper, study, name, latent_dim, algorithm, "test")
            for target in sorted({shared(test), test["target"].max()}):
                row = test[test["target"] == target].iloc[-1]
                sentences.append(f"{title}, test {_explain_test(row, theirs, digits)}")
            last = test[test["target"] == shared(test)].iloc[-1]
            if experiment.dataset == "frey" and not abs(last["difference"]) <= last["tolerance"]:
                sentences.append(
                    "The paper's division of Frey Face into train and test is not known; ours is "
                    "likely another."
                )
            pilot = gathered.pilots[Run(name, algorithm, latent_dim, 0).curve]
            sentences.append(f"{title}: {_explain_pilot(pilot, digits)}")
        else:
            sentences.append(f"{title}: the paper has no test curve at these sample counts.")
        kl = last_shared(study, runs)["test_kl"].mean()
        if kl < IGNORES_Z:
            sentences.append(
                f"{title} ignores z here: its KL on the test set is {number(kl, 3)} nats at the "
                "end, "
                "so its bound is that of a model without latent variables, and N_z hardly matters."
            )
        if len(train):
            reading = accuracy(experiment.dataset)
            last = train[train["target"] == shared(train)].iloc[-1]
            sentences.append(f"{title}, train {_explain_train(last, digits, reading)}")
        lost = len(runs) - len(lasting(study, runs))
        if lost:
            sentences.append(
                f"{title}: {lost} of {plural(len(runs), 'replica')} diverged and "
                f"{'is' if lost == 1 else 'are'} left out of the mean."
            )
    return list(dict.fromkeys(sentences))


def _explain_test(row: pd.Series, theirs: pd.DataFrame, digits: int) -> str:
    """One test bound beside the paper's: inside the 95 % interval of noise, or a shift along the
    axis."""
    difference, tolerance = row["difference"], row["tolerance"]
    side = "above" if difference > 0 else "below"
    text = f"at {count(row['samples'])}: {number(abs(difference), digits)} nats {side} the paper"
    if abs(difference) <= tolerance:
        within = "within the noise" if tells(tolerance, row["paper"]) else "too few seeds to tell"
        return f"{text}; {within} (± {number(tolerance, digits)})."
    text += (
        f", beyond the noise (± {number(tolerance, digits)})."
        if np.isfinite(tolerance)
        else "; one seed gives no measure of the noise."
    )
    crossing = _crossing(theirs, row["ours"], row["samples"])
    percent = 100 * (crossing / row["samples"] - 1)
    if abs(percent) >= 0.5:
        text += f" The paper's curve has our value at {count(crossing)} samples, "
        text += f"{number(abs(percent), 0)} % {'later' if percent > 0 else 'earlier'}."
    if np.isfinite(tolerance):
        text += " A setting that the paper does not print for each curve (step size, start, "
        text += "warm-up) may explain it."
    return text


def _explain_pilot(pilot: Pilot, digits: int) -> str:
    """How far apart the pilot's two best step sizes were: how much depends on a choice that the
    paper does not print."""
    final = sorted(
        (
            (bound, step)
            for step, bound in zip(pilot.step_sizes, pilot.bounds[:, -1], strict=True)
            if np.isfinite(bound)
        )
    )
    if len(pilot.step_sizes) == 1:
        return f"the step size, {pilot.step_size:g}, was given; the pilot had no choice."
    if len(final) == 1:
        return f"only one step size, {pilot.step_size:g}, came through the pilot."
    (second, other), (first, best) = final[-2:]
    if first == second:
        tied = joined(f"{step:g}" for bound, step in final if bound == first)
        return f"the pilot's best step sizes, {tied}, tie, so that its choice says nothing."
    return (
        f"the pilot separated its two best step sizes, {best:g} and {other:g}, by "
        f"{number(first - second, digits)} nats "
        f"at {count(pilot.samples[-1])} samples."
    )


def _explain_train(row: pd.Series, digits: int, reading: float) -> str:
    """Whether the paper's train curve looks like a running average or like the bound at that
    moment."""
    averaged, moment = abs(row["averaged"] - row["paper"]), abs(row["difference"])
    where = (
        f"at {count(row['samples'])}: the paper is {number(averaged, digits)} nats from our "
        "averaged bound, "
        f"{number(moment, digits)} from our bound at that moment"
    )
    if abs(averaged - moment) <= reading:
        return f"{where}: these two readings cannot be told apart."
    nearer = "a running average" if averaged < moment else "the bound at that moment"
    if min(averaged, moment) > max(averaged, moment) / 2:
        return f"{where}: nearer to {nearer}, but neither reading explains it."
    return f"{where}: its train curve looks like {nearer}."


def _panels(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame) -> list[dict]:
    """The comparison table by experiments, their panels and their rows."""
    study = gathered.study
    experiments = []
    for row in study.figure2:
        mine = table[table["experiment"] == row.experiment]
        compared = bool(mine["paper"].notna().any())
        panels = []
        for latent_dim in row.latent_dims:
            part = mine[mine["latent_dim"] == latent_dim]
            why = explanations(part, gathered, paper) if compared and len(part) else []
            panels.append(
                {"latent_dim": latent_dim, "rows": part.to_dict("records"), "explanations": why}
            )
        digits = LIKELIHOODS[study.experiments[row.experiment].likelihood].decimals
        experiments.append(
            {"id": row.experiment, "panels": panels, "compared": compared, "digits": digits}
        )
    return experiments


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
    experiments = _panels(table, gathered, paper)
    baselines = {row.experiment: ignoring_z(gathered, row.experiment) for row in study.figure2}
    values = {
        name: ", ".join(f"{split} {number(value, 1)}" for split, value in bounds.items())
        for name, bounds in baselines.items()
        if bounds
    }
    algorithms = [algorithm for row in study.figure2 for algorithm in row.algorithms]
    facts = {
        "experiments": experiments,
        "compared": bool(table["paper"].notna().any()),
        "by_sd": len(study.seeds) >= SEEDS_FOR_SD,
        "ignoring_z": "; ".join(f"{label(name)}: {value}" for name, value in values.items()),
        "window": short(PAPER_WINDOW),
        "legend2": in_words(algorithms),
    }
    summary = [
        closeness(table, study, "Test bounds"),
        _order(gathered, paper, study),
        _readings(gathered, paper),
        *_collapsed(gathered, paper),
    ]
    tables = {f"bounds-{part['id']}": _bounds(part) for part in experiments}
    if "units" in numbers:
        tables["units"] = plain(numbers["units"])
    return Part(
        facts,
        tables,
        [_section(facts)],
        [sentence for sentence in summary if sentence],
        missing_curves(study, paper, 2),
        {"figure2": live.figure2(gathered, paper)},
    )


def _bounds(part: dict) -> Tabular:
    """One experiment of Figure 2 (an entry of `_panels`)."""
    about = {"digits": part["digits"], "compared": part["compared"]}
    rows = []
    for panel in part["panels"]:
        for row in panel["rows"] or [{}]:
            cells = {"N_z": str(panel["latent_dim"])}
            cells["samples"] = count(row["samples"]) if row else "–"
            rows.append(cells | (beside_cells(row, **about) if row else {"algorithm": NOTHING}))
    return tabular(rows, "N_z")


def _section(facts: dict) -> Section:
    blocks = [("text", "bounds")]
    for part in facts["experiments"]:
        blocks.append(("table", f"bounds-{part['id']}"))
        why = [
            block
            for panel in part["panels"]
            if panel["explanations"]
            for block in (
                ("heading", named(part["id"], panel["latent_dim"])),
                ("list", panel["explanations"]),
            )
        ]
        if why:
            title = f"What most likely explains the differences on {label(part['id'])}"
            blocks.append(("open", (title, why)))
    title = "Bounds beside the paper's" if facts["compared"] else "Bounds"
    return Section("bounds", title, blocks, 20)
