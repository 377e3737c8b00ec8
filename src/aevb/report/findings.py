"""What the report says: this study's results beside the paper's, as numbers and sentences.

What this study found is computed, and the words follow from the numbers; what is written down here
as it stands is what the paper shows or how something is defined. The page and the paper that say it
are made by pages.py.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from .. import results
from ..config import FIGURE3_SAMPLES, Config, Run, Strict, load
from ..core import provenance
from ..core.words import count, joined, number, plural, short
from ..paper.claims import PAPER_HIDDEN, PAPER_MINUTES, PAPER_RELIABLE, PAPER_SAMPLES
from ..paper.distance import (
    CURVE,
    PAPER_WINDOW,
    averaged_bound,
    completed,
    distances,
    in_figure3,
    last_shared,
    lasting,
    paper_curve,
    replicas,
    run_name,
    seeds_of,
    shown,
    sound,
    training_points,
)
from ..paper.distance import at as _at
from ..paper.distance import panels_of as _curves_of
from ..results import Gathered, Pilot, RunResult, of_figures
from .figures import (
    ALGORITHMS,
    DATA,
    ESTIMATORS,
    PAPER_DRAWS,
    SEEDS_FOR_SD,
    further,
    label,
    trained,
)

# Sample counts near which the values of Figures 2 and 3 are set beside the paper's, as far as the
# budget goes.
COMPARE_AT = {2: (3e5, 1e6, 1e7, 1e8), 3: (1e6, 3e6, 1e7, 3e7, 6e7)}

PAPER_FIGURE3 = {"hidden": 100, "latent_dim": 3, "dataset": "mnist"}
PAPER_MCEM = (10, 5)  # leapfrog steps and updates of an iteration (appendix E)
PAPER_FIGURE4 = {"frey": 10, "mnist": 20}
PAPER_FIGURE5 = (2, 5, 10, 20)

# A point of the paper's curve this many steps of our evaluation grid from a wanted count takes its
# place.
NEAR = 1.5
# Where the paper's curve begins later than the wanted count, by this factor at most, its first
# point does.
FIRST = 2

# How precisely the paper's curves could be read, nats per datapoint, and decimals worth printing.
READING = {"mnist": 0.1, "frey": 1.0}
DECIMALS = {"bernoulli": 2, "gaussian": 1}

# Below this mean KL(q(z|x) || p(z)) the latent variables carry next to nothing about the image.
IGNORES_Z = 0.1

# The modules that decide each kind of results.
CODE = {
    "runs": provenance.DECISIVE,
    "evidence": provenance.ESTIMATING,
    "estimators": provenance.ESTIMATING,
    "encoded": provenance.ENCODING,
    "variance": provenance.MEASURING,
}

# A person needs none of these to judge or repeat the results, and folders name the machine they are
# on.
UNPRINTED = ("results", "data", "mirror", "redraw", "job_seconds")


COLUMNS = [
    "experiment",
    "latent_dim",
    "target",
    "algorithm",
    "split",
    "samples",
    "ours",
    "sd",
    "standard_error",
    "replicas",
    "averaged",
]
COLUMNS += ["hmc", "paper", "difference", "tolerance", "interpolated"]


def _done(
    gathered: Gathered, experiment: str, algorithm: str, latent_dim: int
) -> list[pd.DataFrame]:
    """What figures show of the replicas that did not diverge."""
    return list(completed(gathered, experiment, algorithm, latent_dim).values())


def comparison(gathered: Gathered, paper: pd.DataFrame, figure: int = 2) -> pd.DataFrame:
    """Values of Figure 2 or 3 beside the paper's at the same number of training samples, one row
    for each value.

    Columns: experiment, latent_dim, target (the count asked for: COMPARE_AT and the last
    evaluation), algorithm, split, samples (the count compared at, see `_meeting_point`); ours (mean
    over the replicas that did not diverge: the bound, in Figure 3 log p(x) by importance sampling),
    sd (over them; NaN for one), standard_error (Monte Carlo error of ours), replicas; averaged
    (Figure 2, train only: see `averaged_bound`, mean over the replicas); hmc (Figure 3 only: as
    ours, by the paper's estimator); paper (NaN where it has no curve), difference (ours - paper),
    tolerance (see `_tolerance`), interpolated (whether `paper` lies between two points of the
    paper's curve). Nats per datapoint.
    """
    study = load(gathered.config)
    rows = []
    for experiment, latent_dim, algorithms in _curves_of(study, figure):
        panel = []
        for algorithm in algorithms:
            done = _done(gathered, experiment, algorithm, latent_dim)
            for split in ("train", "test") if done else ():
                theirs = paper_curve(paper, study, experiment, latent_dim, algorithm, split)
                reading = READING.get(study.experiments[experiment].dataset, 0.0)
                place = {
                    "experiment": experiment,
                    "latent_dim": latent_dim,
                    "algorithm": algorithm,
                    "split": split,
                }
                lasts = {
                    float(curve["samples"].iloc[-1]) for curve in done
                }  # several where some seeds go on
                first = done[0]["samples"].iloc[0]
                for target in sorted(
                    lasts | {near for near in COMPARE_AT[figure] if first <= near < max(lasts)}
                ):
                    reaching = [curve for curve in done if curve["samples"].iloc[-1] >= target]
                    grid = min((curve["samples"] for curve in reaching), key=len)
                    samples, at_point = _meeting_point(
                        grid, theirs, target, study.evaluation.points_per_decade
                    )
                    values = _beside(reaching, split, samples, theirs, reading)
                    interpolated = not at_point and np.isfinite(values["paper"])
                    panel.append(
                        {
                            **place,
                            "target": target,
                            "samples": samples,
                            **values,
                            "interpolated": interpolated,
                        }
                    )
        rows += sorted(panel, key=lambda line: line["target"])
    return pd.DataFrame(rows, columns=COLUMNS)


def _meeting_point(
    grid: pd.Series, theirs: pd.DataFrame | None, target: float, points_per_decade: int
) -> tuple[float, bool]:
    """The sample count near `target` to compare at, and whether it is a point of the paper's curve.

    Ours is evaluated more often, so it is ours that is interpolated, at the nearest point of the
    paper's curve, if that is near `target` or the curve only begins there. Otherwise: our
    evaluation nearest `target`.
    """
    if theirs is not None:
        point = _nearest(theirs["samples"], target)
        begins = target < theirs["samples"].iloc[0] <= FIRST * target
        near = abs(np.log10(point / target)) <= NEAR / points_per_decade or begins
        if near and grid.iloc[0] <= point <= grid.iloc[-1]:
            return point, True
    return _nearest(grid, target), False


def _nearest(samples: pd.Series, target: float) -> float:
    return float(samples.iloc[np.argmin(np.abs(np.log(samples.to_numpy(float) / target)))])


def _beside(
    done: list[pd.DataFrame],
    split: str,
    samples: float,
    theirs: pd.DataFrame | None,
    reading: float,
) -> dict:
    """The replicas' curves `done` at one sample count, and the paper's value there."""
    values = [_at(curve, split, samples) for curve in done]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    # Between two evaluations the interpolated error is a little more than that of the interpolated
    # bound.
    error = np.sqrt(sum(_at(curve, f"{split}_se", samples) ** 2 for curve in done)) / len(done)
    bounds, estimates = "running" in done[0], f"{split}_hmc" in done[0]
    averaged = (
        float(np.mean([averaged_bound(curve, samples) for curve in done]))
        if split == "train" and bounds
        else np.nan
    )
    hmc = (
        float(np.mean([_at(curve, f"{split}_hmc", samples) for curve in done]))
        if estimates
        else np.nan
    )
    reference = np.nan if theirs is None else _at(theirs, "value", samples)
    ours = {
        "ours": float(np.mean(values)),
        "sd": sd,
        "standard_error": error,
        "replicas": len(done),
    }
    ours |= {"averaged": averaged, "hmc": hmc}
    return {
        **ours,
        "paper": reference,
        "difference": ours["ours"] - reference,
        "tolerance": _tolerance(sd, len(done), reading),
    }


def _tolerance(sd: float, replicas: int, reading: float) -> float:
    """Half-width of the 95 % interval for the paper's one run minus the mean of ours; NaN for one
    replica.

    Student's t for the spread of a further run about the mean of `replicas`, plus the accuracy of
    reading the paper.
    """
    return (
        reading + stats.t.ppf(0.975, replicas - 1) * sd * np.sqrt(1 + 1 / replicas)
        if replicas > 1
        else np.nan
    )


def _crossing(curve: pd.DataFrame, value: float, near: float) -> float:
    """The sample count, nearest to `near` on a log axis, at which the paper's curve takes
    `value`; NaN if nowhere."""
    x, y = np.log(curve["samples"].to_numpy(float)), curve["value"].to_numpy(float) - value
    steps = np.flatnonzero((y[:-1] * y[1:] <= 0) & (y[:-1] != y[1:]))
    if not len(steps):
        return np.nan
    found = x[steps] - y[steps] * (x[steps + 1] - x[steps]) / (y[steps + 1] - y[steps])
    return float(np.exp(found[np.argmin(np.abs(found - np.log(near)))]))


def _changed(model: Strict, names=None) -> list[str]:
    """Settings (all, or those of `names`) that are not the default, as 'name = value (default)'."""
    names = list(type(model).model_fields) if names is None else names
    defaults = {name: type(model).model_fields[name].default for name in names}
    return [
        f"{name} = {getattr(model, name)} (default {defaults[name]})"
        for name in names
        if getattr(model, name) != defaults[name]
    ]


def departures(study: Config, name: str) -> list[str]:
    """Settings of experiment `name` that are not the project's default reading of the paper, as
    'name = value (default)'."""
    experiment, third = study.experiments[name], in_figure3(study, name)
    hidden = PAPER_HIDDEN.get(experiment.dataset, experiment.hidden)
    if third and experiment.dataset == PAPER_FIGURE3["dataset"]:
        hidden = PAPER_FIGURE3["hidden"]
    found = (
        [f"hidden = {experiment.hidden} (the paper: {hidden})"]
        if experiment.hidden != hidden
        else []
    )
    if experiment.n_train and not third:
        found.append(f"n_train = {experiment.n_train} (the paper: all)")
    names = (
        ["binarise", "dequantise"]
        if experiment.dataset == "digits"
        else ["scale", "binarise", "dequantise"]
    )
    return found + _changed(experiment, names) + _changed(study.training_of(name))


def explanations(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame) -> list[str]:
    """What may explain the differences in one panel (`table`: its rows of `comparison`), as
    sentences."""
    study = load(gathered.config)
    name, latent_dim = table["experiment"].iloc[0], int(table["latent_dim"].iloc[0])
    experiment = study.experiments[name]
    digits, changed = DECIMALS[experiment.likelihood], departures(study, name)
    sentences = (
        [f"The settings depart from the default reading of the paper: {'; '.join(changed)}."]
        if changed
        else []
    )
    for algorithm in dict.fromkeys(table["algorithm"]):
        rows = table[(table["algorithm"] == algorithm) & table["paper"].notna()]
        runs = replicas(gathered, name, algorithm, latent_dim)
        title = ALGORITHMS[algorithm][0].upper() + ALGORITHMS[algorithm][1:]
        test, train = rows[rows["split"] == "test"], rows[rows["split"] == "train"]
        if len(test):
            theirs = paper_curve(paper, study, name, latent_dim, algorithm, "test")
            for target in sorted({_shared(test), test["target"].max()}):
                row = test[test["target"] == target].iloc[-1]
                sentences.append(f"{title}, test {_explain_test(row, theirs, digits)}")
            last = test[test["target"] == _shared(test)].iloc[-1]
            if experiment.dataset == "frey" and not abs(last["difference"]) <= last["tolerance"]:
                sentences.append(
                    "The paper's division of Frey Face into train and test is not known; ours is "
                    "likely another."
                )
            sentences.append(
                f"{title}: {_explain_pilot(gathered.pilots[Run(name, algorithm, latent_dim, 0).curve], digits)}"
            )
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
            reading = READING[experiment.dataset]
            last = train[train["target"] == _shared(train)].iloc[-1]
            sentences.append(f"{title}, train {_explain_train(last, digits, reading)}")
        lost = len(runs) - len(lasting(study, runs))
        if lost:
            sentences.append(
                f"{title}: {lost} of {plural(len(runs), 'replica')} diverged and "
                f"{'is' if lost == 1 else 'are'} left out of the mean."
            )
    return list(dict.fromkeys(sentences))


def _shared(rows: pd.DataFrame) -> float:
    """The last count asked for (`target` of `comparison`) that the most replicas reach: where
    some seeds go on, that of all."""
    most = rows.groupby("target")["replicas"].max()
    return float(most.index[most == most.max()].max())


def _explain_test(row: pd.Series, theirs: pd.DataFrame, digits: int) -> str:
    """One test bound beside the paper's: inside the 95 % interval of noise, or else a shift
    along the axis."""
    difference, tolerance = row["difference"], row["tolerance"]
    text = f"at {count(row['samples'])}: {number(abs(difference), digits)} nats {'above' if difference > 0 else 'below'} the paper"
    if abs(difference) <= tolerance:
        return f"{text}, within the noise (± {number(tolerance, digits)}): the spread over seeds is enough to explain it."
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
        text += " A setting that the paper does not print for each curve (step size, start, warm-up) may explain it."
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
    study = load(gathered.config)
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
        digits = DECIMALS[study.experiments[row.experiment].likelihood]
        experiments.append(
            {"id": row.experiment, "panels": panels, "compared": compared, "digits": digits}
        )
    return experiments


def _conventions(gathered: Gathered, study: Config) -> dict[str, dict]:
    """For each experiment: sizes of its data, how they were prepared (part of every statement of
    a bound), departures."""
    entries = {}
    for run in gathered.runs.values():
        experiment = study.experiments[run.experiment]
        values = f"grey values / {experiment.scale:g}"
        if experiment.dequantise:
            values = f"(grey values + fixed uniform noise of one level) / {experiment.scale:g}"
        values += ", thresholded at 0.5" if experiment.binarise else ", not binarised"
        about = {
            "name": label(run.experiment),
            "n_train": run.n_train,
            "n_test": run.n_test,
            "values": values,
        }
        entries[run.experiment] = {
            **experiment.model_dump(),
            **about,
            "departures": departures(study, run.experiment),
        }
    return entries


def _closeness(table: pd.DataFrame, study: Config, what: str) -> str:
    """How close test values come to the paper's at the last count at which both are known, in a
    sentence; where some seeds go on, also at that of all."""
    parts = []
    for name in dict.fromkeys(table["experiment"]):
        rows = table[
            (table["experiment"] == name) & (table["split"] == "test") & table["paper"].notna()
        ]
        if rows.empty:
            continue
        digits = DECIMALS[study.experiments[name].likelihood]
        where = _sizes(study, name) if in_figure3(study, name) else label(name)
        for target in sorted({_shared(rows), rows["target"].max()}):
            part = rows[rows["target"] == target]
            sizes = part["difference"].abs()
            worst = part.loc[sizes.idxmax()]
            within = "one seed: noise not known"
            if part["tolerance"].notna().any():
                half = number(part["tolerance"].median(), digits)
                within = f"{sum(sizes <= part['tolerance'])} within the noise, of half-width {half} (median)"
            parts.append(
                f"on {where}, near {count(target)} samples, by a median of "
                f"{number(sizes.median(), digits)} nats "
                f"over {plural(len(part), 'curve')} ({within}; largest: "
                f"{number(worst['difference'], digits, sign=True)}, "
                f"{ALGORITHMS[worst['algorithm']]} with N_z = {worst['latent_dim']})"
            )
    return f"{what} differ from the paper's {'; '.join(parts)}." if parts else ""


def _order(gathered: Gathered, paper: pd.DataFrame, study: Config) -> str:
    """In how many panels AEVB is above wake-sleep, here and in the paper, in a sentence; ''
    without both algorithms."""
    ours, theirs, steady = [], [], []
    for row in study.figure2:
        for latent_dim in row.latent_dims if {"aevb", "wake_sleep"} <= set(row.algorithms) else ():
            means, at_end = [], []
            for algorithm in ("aevb", "wake_sleep"):
                runs = _done(gathered, row.experiment, algorithm, latent_dim)
                means += [_mean(runs, "test")] if runs else []
                curve = paper_curve(paper, study, row.experiment, latent_dim, algorithm, "test")
                at_end.append(np.nan if curve is None else _at(curve, "value", study.samples))
            if len(means) == 2:
                means = pd.concat(means, axis=1, join="inner").to_numpy().T
                ours.append(means[0][-1] > means[1][-1])
                steady.append((means[0] > means[1]).all())
                theirs += [at_end[0] > at_end[1]] if np.isfinite(at_end).all() else []
    if not ours:
        return ""
    text = f"At the last evaluation that all seeds have, AEVB's test bound is above wake-sleep's in {sum(ours)} of "
    text += f"{plural(len(ours), 'panel')}, and at every such evaluation in {sum(steady)}"
    text += (
        f"; the paper's, at {short(study.samples)} samples, in {sum(theirs)} of {len(theirs)}"
        if theirs
        else ""
    )
    return text + "."


def _mean(curves: list[pd.DataFrame], column: str) -> pd.Series:
    """Mean over replicas, by samples, at the evaluations that all of them have."""
    values = pd.concat(curves).groupby("samples")[column].agg(["mean", "count"])
    return values.loc[values["count"] == len(curves), "mean"]


def _readings(gathered: Gathered, paper: pd.DataFrame) -> str:
    """Which of our train values the paper's train curve of Figure 2 is nearer to, over all
    curves along the samples of all seeds."""
    rows = distances(gathered, paper)
    rows = rows[(rows["figure"] == 2) & (rows["split"] == "train")].drop_duplicates(
        CURVE
    )  # the first: of all seeds
    if rows.empty:
        return ""
    away = rows.pivot(
        index=["experiment", "latent_dim", "algorithm"], columns="reading", values="rms"
    )
    nearer = away["average"] < away["moment"]
    return (
        "Along the samples that all seeds have, the paper's train curve is nearer (root mean "
        "square) to our averaged bound "
        f"(over {short(PAPER_WINDOW)} samples) than to our bound at that moment in "
        f"{int(nearer.sum())} of {plural(len(nearer), 'curve')}."
    )


def _errors(gathered: Gathered) -> str:
    """The Monte Carlo errors of all bounds of a study's figures, in a sentence."""
    worst: dict[str, float] = {}
    for run in gathered.runs.values():
        if run.algorithm != "mcem":
            errors = sound(run)[["train_se", "test_se"]].to_numpy()
            worst[run.experiment] = max(
                worst.get(run.experiment, 0.0), float(np.nanmax(errors, initial=0.0))
            )
    study = load(gathered.config)
    parts = [
        f"{number(error, 2)} on {_sizes(study, name) if in_figure3(study, name) else label(name)}"
        for name, error in worst.items()
    ]
    return f"The Monte Carlo standard error of a bound is at most {joined(parts)}." if parts else ""


def closest(readings: pd.DataFrame) -> str:
    """Which reading comes closest to the paper's curves, for each experiment and algorithm, in a
    sentence; `readings`: columns of distance.ablation."""
    parts = []
    for (experiment, algorithm), part in readings[readings["latent_dim"].isna()].groupby(
        ["experiment", "algorithm"], sort=False
    ):
        if part["rms"].notna().any():
            best, default = (
                part.loc[part["rms"].idxmin()],
                part[part["reading"] == "default"]["rms"].iloc[0],
            )
            own = "" if best["reading"] == "default" else f"; default: {number(default)}"
            parts.append(
                f"{label(experiment)}, {ALGORITHMS[algorithm]}: {best['reading']} "
                f"({number(best['rms'])} nats{own})"
            )
    seeds = readings["seeds"].min() if parts else 0
    noise = ", and one seed does not tell the noise" if seeds == 1 else ""
    return (
        f"Closest to the paper over all panels (rms{noise}): {', '.join(parts)}." if parts else ""
    )


def _models(gathered: Gathered, entries, study: Config) -> str:
    """Bounds and active units of the models that Figures 4 and 5 draw, in a sentence; `entries`:
    (experiment, N_z)."""
    parts = []
    for name, latent_dim in entries:
        run = gathered.runs[Run(name, "aevb", latent_dim, study.seeds[0]).name]
        text = "diverged"
        if run.status == "completed":
            last = run.curve.iloc[-1]
            text = f"{number(last['test'], DECIMALS[run.likelihood])} nats, {last['active_units']:g} of {latent_dim} latent units active"
        parts.append(f"{label(name)}, N_z = {latent_dim}: {text}")
    return f"Test bounds of the models drawn: {'; '.join(parts)}."


def _curves(gathered: Gathered) -> list[tuple[str, list[RunResult]]]:
    """(curve name, runs of it) in the order of the results, those of Figures 4 and 5 included."""
    curves: dict[str, list] = {}
    for name, run in gathered.runs.items():
        curves.setdefault(name.rsplit("-seed", 1)[0], []).append(run)
    return list(curves.items())


def _title(run: RunResult) -> dict:
    names = {
        "experiment": label(run.experiment),
        "latent_dim": run.latent_dim,
        "algorithm": ALGORITHMS[run.algorithm],
    }
    return {**names, "digits": DECIMALS[run.likelihood]}


def _ends(gathered: Gathered) -> list[dict]:
    """The last evaluation of every curve that has bounds, mean over the replicas that did not
    diverge (NaN if all did); where some seeds go on, the last of the others."""
    rows, study = [], load(gathered.config)
    for _, runs in _curves(gathered):
        if runs[0].algorithm == "mcem":
            continue
        done = last_shared(study, runs)
        rows.append({**_title(runs[0]), "replicas": len(done), **done.mean()})
    return rows


def _pilots(gathered: Gathered) -> list[dict]:
    rows = []
    for name, runs in _curves(gathered):
        pilot = gathered.pilots[name]
        cells = dict(
            zip([f"{step:g}" for step in pilot.step_sizes], pilot.bounds[:, -1], strict=True)
        )
        rows.append(
            {
                **_title(runs[0]),
                "cells": cells,
                "chosen": f"{pilot.step_size:g}",
                "samples": pilot.samples[-1],
            }
        )
    return rows


def _minutes(runs: list[RunResult]) -> float:
    """Minutes of training for a million samples, of the median run; NaN without any."""
    speeds = [run.samples_per_second for run in runs if run.samples_per_second > 0]
    return 1e6 / float(np.median(speeds)) / 60 if speeds else np.nan


def _cost(gathered: Gathered) -> tuple[list[dict], dict]:
    """Cost of every curve and of the whole study: hours, and minutes for a million samples."""
    rows = []
    for name, runs in _curves(gathered):
        tables = [
            part[run_name(run)]
            for run in runs
            for part in (gathered.evidence, gathered.estimators)
            if run_name(run) in part
        ]
        seconds = {
            "training": sum(run.train_seconds for run in runs),
            "evaluation": sum(run.evaluation_seconds for run in runs),
            "pilots": gathered.pilots[name].seconds,
            "estimates": sum(float(table.attributes["seconds"]) for table in tables),
        }
        hours = {part: value / 3600 for part, value in seconds.items()}
        rows.append({**_title(runs[0]), "replicas": len(runs), **hours, "minutes": _minutes(runs)})
    # Monte Carlo EM counts its samples in another way, and variants have steps of another size.
    runs = [
        run
        for run in gathered.runs.values()
        if run.algorithm != "mcem" and "+" not in run.experiment
    ]
    total = {
        part: sum(row[part] for row in rows)
        for part in ("training", "evaluation", "pilots", "estimates")
    }
    # Only models of the paper's size can be set beside its times.
    alike = _minutes([run for run in runs if PAPER_HIDDEN.get(run.dataset) == run.hidden])
    return rows, {**total, "hours": sum(total.values()), "minutes": _minutes(runs), "alike": alike}


def _distinct(gathered: Gathered, *names: str, text=str) -> list[str]:
    """`text` of the attributes `names`: the distinct ones over all results that have them."""
    parts = (gathered.runs, gathered.evidence, gathered.estimators, gathered.variance)
    sources = [result.attributes for part in parts for result in part.values()]
    return list(
        dict.fromkeys(
            text(*(made[name] for name in names))
            for made in sources
            if all(name in made for name in names)
        )
    )


def _provenance(gathered: Gathered) -> list[tuple[str, list[str]]]:
    """What made the results: name, and the distinct values over all of them."""

    def commit(name: str, dirty: bool) -> str:
        return name + (" with uncommitted changes" if dirty else "")

    return [
        ("git commit", _distinct(gathered, "git_commit", "git_dirty", text=commit)),
        ("hash of the deciding code (SHA-256)", _distinct(gathered, "code_sha256")),
        ("data (SHA-256)", _distinct(gathered, "dataset", "data_sha256", text="{}: {}".format)),
        (
            "versions",
            _distinct(
                gathered,
                "versions",
                text=lambda versions: ", ".join(map(" ".join, json.loads(versions).items())),
            ),
        ),
        ("device", _distinct(gathered, "device")),
        ("processor", _distinct(gathered, "processor")),
        ("threads a job", _distinct(gathered, "threads")),
    ]


def _code(gathered: Gathered) -> dict:
    """Which code made the results, and whether it is still the same: `code`, rows of texts, and
    a sentence, `code_said`."""
    groups: dict[tuple, int] = {}
    for kind, modules in CODE.items():
        for made in (
            result.attributes
            for result in getattr(gathered, kind).values()
            if "code_sha256" in result.attributes
        ):
            by = (
                kind,
                made["git_commit"] + (" with changes" if made["git_dirty"] else ""),
                made["code_sha256"],
                modules,
            )
            groups[by] = groups.get(by, 0) + 1
    rows, changed = [], 0
    for (kind, commit, code, modules), files in groups.items():
        same = code == provenance.code_sha256(modules)
        changed += 0 if same else files
        rows.append(
            {
                "results": kind,
                "files": f"{files:,}",
                "commit": commit,
                "code": code[:12],
                "since": "the same" if same else "changed",
            }
        )
    total = sum(groups.values())
    if not changed:
        return {
            "code": rows,
            "code_said": f"All {total:,} results were made by code that is still the same.",
        }
    return {
        "code": rows,
        "code_said": f"{changed:,} of {total:,} results were made by code that has changed since.",
    }


def _settings(study: Config) -> list[tuple[str, str]]:
    """The resolved configuration, one (dotted name, value) for each setting that bears on the
    results."""
    flat = pd.json_normalize(study.model_dump(mode="json", exclude=set(UNPRINTED))).iloc[0]
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in flat.items()
    ]


def _not_run(study: Config, paper: pd.DataFrame) -> list[str]:
    """What of the paper is not part of this study, as sentences."""
    sentences = []
    if study.figure3 is None:
        sentences.append(
            "Figure 3 of the paper (Monte Carlo EM, estimated marginal likelihood) is not part of "
            "this study."
        )
    for figure in (2, 3) if study.figure3 else (2,):
        keys = ["dataset", "n_train", "latent_dim", "algorithm"]
        done = {
            (
                study.experiments[name].dataset,
                training_points(study.experiments[name]) if figure == 3 else 0,
                latent_dim,
                algorithm,
            )
            for name, latent_dim, algorithms in _curves_of(study, figure)
            for algorithm in algorithms
            if paper_curve(paper, study, name, latent_dim, algorithm, "test") is not None
        }
        missing: dict[tuple, list] = {}
        theirs = paper[paper["figure"] == figure][keys].fillna(0).drop_duplicates()
        for dataset, n_train, latent_dim, algorithm in theirs.itertuples(index=False):
            if (dataset, n_train, latent_dim, algorithm) not in done:
                name = label(dataset) + (f" with N_train = {n_train:,.0f}" if n_train else "")
                missing.setdefault((name, algorithm), []).append(latent_dim)
        if missing:
            listed = [
                f"{name}, {ALGORITHMS[algorithm]}: N_z = {joined(dims)}"
                for (name, algorithm), dims in missing.items()
            ]
            sentences.append(
                f"Curves of the paper's Figure {figure} without a counterpart here: "
                f"{'; '.join(listed)}."
            )
    if study.estimators is None:
        sentences.append(
            "The paper's estimator of log p(x) (appendix D) is not graded against ground truth."
        )
    drawn = {study.experiments[entry.experiment].dataset for entry in study.figure4}
    if set(PAPER_FIGURE4) - drawn:
        sentences.append(
            "Panels of the paper's Figure 4 that are not drawn: "
            f"{joined(label(d) for d in PAPER_FIGURE4 if d not in drawn)}."
        )
    dims = {
        d
        for entry in study.figure5
        if study.experiments[entry.experiment].dataset == "mnist"
        for d in entry.latent_dims
    }
    if set(PAPER_FIGURE5) - dims:
        sentences.append(
            "Panels of the paper's Figure 5 (MNIST) that are not drawn: N_z = "
            f"{joined(sorted(set(PAPER_FIGURE5) - dims))}."
        )
    budgets = [(" of Figure 2" if study.figure3 else "", study.samples, PAPER_SAMPLES)]
    budgets += (
        [(", for the seeds that go on", study.extended.samples, PAPER_SAMPLES)]
        if study.extended
        else []
    )
    budgets += (
        [(" of Figure 3", study.budget(study.figure3_runs()[0]), FIGURE3_SAMPLES)]
        if study.figure3
        else []
    )
    short_of = [
        f"{short(budget)} training samples a curve{of}, {100 * budget / whole:.2g} % of the "
        f"{short(whole)} to which the paper's axes go"
        for of, budget, whole in budgets
        if budget < whole
    ]
    if short_of:
        sentences.append(
            f"The budget is {'; '.join(short_of)}: nothing here speaks about the end of its curves."
        )
    if study.beside:
        where = joined(Path(path).parent.name for path in study.beside)
        sentences.append(
            "What this study leaves out is judged on studies beside it, where these have it: "
            f"{where}."
        )
    return sentences


def _given(study: Config) -> str:
    """A sentence, after a space, on step sizes that no pilot chose."""
    given = [
        f"{label(name)} {steps[0]:g}" for name, steps in study.step_sizes.items() if len(steps) == 1
    ]
    if not given:
        return ""
    return (
        f" Given, not chosen by a pilot: {joined(given)}; if for closeness to the paper's curves, "
        "as in this project's configurations "
        "(docs/method.md), the distance of these curves is no independent test, and verdicts on "
        "them hold for that step size."
    )


def _commands(study: Config) -> dict[str, str]:
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


def _seeds(seeds: list[int]) -> str:
    return f"{plural(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"


def _figure3_scope(study: Config) -> dict:
    """Budget and seeds of Figure 3, which may be its own."""
    if study.figure3 is None:
        return {}
    name = study.figure3.experiments[0]
    seeds = seeds_of(study, name)
    return {
        "budget3": short(study.budget(study.figure3_runs()[0])),
        "seeds3": _seeds(seeds),
        "count3": len(seeds),
        "by_sd3": len(seeds) >= SEEDS_FOR_SD,
    }


def _drawings(gathered: Gathered, study: Config) -> dict:
    """What the captions of pictures say of this study."""
    drawn = [
        (entry.experiment, latent_dim)
        for entry in study.figure5
        for latent_dim in entry.latent_dims
    ]
    return {
        "by_sd": len(study.seeds) >= SEEDS_FOR_SD,
        "ignoring_z": "; ".join(
            f"{label(name)}: "
            f"{', '.join(f'{split} {number(value, 1)}' for split, value in bounds.items())}"
            for name, bounds in gathered.baselines.items()
        ),
        "drawn4": f"After {trained(study, study.figure4_models())}.",
        "drawn5": f"After {trained(study, study.figure5_models())}.",
        "graded_models": trained(study, study.estimator_models()),
        "grids4": joined(f"{label(e.experiment)} {e.grid}×{e.grid}" for e in study.figure4),
        "grids5": joined(
            f"{label(e.experiment)} {e.grid}×{e.grid}, N_z = {joined(e.latent_dims)}"
            for e in study.figure5
        ),
        "models4": _models(gathered, [(entry.experiment, 2) for entry in study.figure4], study),
        "models5": _models(gathered, drawn, study),
    }


# --- Figure 3 and the estimators of log p(x) ---


def _sizes(study: Config, name: str) -> str:
    """An experiment of Figure 3 for people: 'MNIST, N_train = 1,000'."""
    experiment = study.experiments[name]
    return f"{label(experiment.dataset)}, N_train = {training_points(experiment):,}"


def orderings(gathered: Gathered, paper: pd.DataFrame) -> list[dict]:
    """The algorithms of Figure 3 from best to worst, here and in the paper, at COMPARE_AT and the
    last count all reach.

    One entry for each experiment, split and count: experiment, split, samples; ours and theirs:
    (algorithm, log p(x)) from best to worst (theirs: those of which the paper has a value there);
    ties: which of ours are not apart from the next; agree: whether every two algorithms that are
    apart on both sides come in the same order (None if no two are). Apart: here by more than the
    standard deviation over seeds of their difference, in the paper by more than it can be read.
    """
    study = load(gathered.config)
    entries = []
    for name, latent_dim, algorithms in _curves_of(study, 3):
        done = {
            algorithm: curves
            for algorithm in algorithms
            if (curves := completed(gathered, name, algorithm, latent_dim))
        }
        if not done:
            continue
        first = max(
            curve["samples"].iloc[0] for curves in done.values() for curve in curves.values()
        )
        last = float(
            min(curve["samples"].iloc[-1] for curves in done.values() for curve in curves.values())
        )
        for split in ("train", "test"):
            for samples in [*(at for at in COMPARE_AT[3] if first <= at < last), last]:
                values = {
                    a: pd.Series(
                        {seed: _at(curve, split, samples) for seed, curve in curves.items()}
                    )
                    for a, curves in done.items()
                }
                ours = {
                    a: float(np.mean(replicates.to_numpy())) for a, replicates in values.items()
                }
                curves = {a: paper_curve(paper, study, name, latent_dim, a, split) for a in done}
                theirs = {
                    a: _at(curve, "value", samples)
                    for a, curve in curves.items()
                    if curve is not None
                }
                ours, theirs = (
                    sorted(
                        ((a, v) for a, v in side.items() if np.isfinite(v)),
                        key=lambda pair: -pair[1],
                    )
                    for side in (ours, theirs)
                )
                both = sorted(set(dict(ours)) & set(dict(theirs)))
                reading = 2 * READING.get(study.experiments[name].dataset, 0.0)
                apart = [
                    (dict(ours)[a] - dict(ours)[b], dict(theirs)[a] - dict(theirs)[b])
                    for a, b in itertools.combinations(both, 2)
                    if abs(dict(ours)[a] - dict(ours)[b]) > _paired_sd(values[a], values[b])
                    and abs(dict(theirs)[a] - dict(theirs)[b]) > reading
                ]
                agree = all((here > 0) == (there > 0) for here, there in apart) if apart else None
                ties = [
                    up - down <= _paired_sd(values[a], values[b])
                    for (a, up), (b, down) in itertools.pairwise(ours)
                ]
                entry = {
                    "experiment": name,
                    "split": split,
                    "samples": samples,
                    "ours": ours,
                    "ties": ties,
                    "theirs": theirs,
                }
                entries.append({**entry, "agree": agree})
    return entries


def _paired_sd(a: pd.Series, b: pd.Series) -> float:
    """Standard deviation of a - b over the seeds that both algorithms have; 0 for a single one."""
    return float(np.nan_to_num((a - b).dropna().std(ddof=1)))


def ranked(
    pairs: list[tuple[str, float]], ties: list[bool] | None = None, values: bool = True
) -> str:
    """(algorithm, log p(x)) from best to worst as text; those that `ties` says are not apart
    from the one before behind a ≈."""
    texts = [f"{ALGORITHMS[a]} {number(v)}" if values else ALGORITHMS[a] for a, v in pairs]
    marks = [" ≈ " if tie else ", " for tie in ties] if ties else [", "] * len(texts)
    return "".join(
        itertools.chain.from_iterable(zip(texts, [*marks[: len(texts) - 1], ""], strict=False))
    )


def _best_first(entries: list[dict], study: Config) -> list[str]:
    """The order of the algorithms on the test set at the end, and at how many counts it is the
    paper's, as sentences."""
    sentences = []
    for name in dict.fromkeys(entry["experiment"] for entry in entries):
        mine = [
            entry for entry in entries if entry["experiment"] == name and entry["split"] == "test"
        ]
        last, known = mine[-1], [entry for entry in mine if entry["agree"] is not None]
        text = f"{_sizes(study, name)}, test log p(x) at {count(last['samples'])} samples from best to worst: "
        text += ranked(last["ours"], last["ties"])
        if last["theirs"]:
            text += f"; the paper: {ranked(last['theirs'])}"
        if known:
            others = [entry for entry in known if not entry["agree"]]
            agreeing = f"{sum(entry['agree'] for entry in known)} of {plural(len(known), 'count')}"
            text += f". The order, of those that are apart in both, is the paper's at {agreeing}"
            text += f" ({', '.join(count(entry['samples']) for entry in known)})"
            text += "".join(
                f"; at {count(entry['samples'])} it is "
                f"{ranked(entry['ours'], entry['ties'], False)}, "
                f"the paper's {ranked(entry['theirs'], values=False)}"
                for entry in others
            )
        sentences.append(f"{text}.")
    return sentences


def _iterations(gathered: Gathered, entries: list[dict], study: Config) -> list[str]:
    """How far Monte Carlo EM came in each experiment, and how far behind AEVB it ends, as
    sentences."""
    sentences = []
    for name, latent_dim, algorithms in _curves_of(study, 3):
        runs = (
            [
                run
                for run in replicas(gathered, name, "mcem", latent_dim)
                if run.status == "completed"
            ]
            if "mcem" in algorithms
            else []
        )
        if not runs:
            continue
        n_train, steps = (
            training_points(study.experiments[name]),
            study.mcem.leapfrog + study.mcem.updates,
        )
        text = f"{_sizes(study, name)}: the budget is {runs[0].samples // (n_train * steps):,} iterations of Monte Carlo EM"
        last = [
            entry for entry in entries if entry["experiment"] == name and entry["split"] == "test"
        ][-1]
        gaps = [
            dict(side).get("mcem", np.nan) - dict(side).get("aevb", np.nan)
            for side in (last["ours"], last["theirs"])
        ]
        if np.isfinite(gaps[0]):
            text += f", after which its test log p(x) is {number(abs(gaps[0]))} nats {'above' if gaps[0] > 0 else 'below'} AEVB's"
            text += (
                f" (the paper: {number(abs(gaps[1]))} {'above' if gaps[1] > 0 else 'below'})"
                if np.isfinite(gaps[1])
                else ""
            )
        sentences.append(f"{text}.")
    return sentences


def _chain_values(gathered: Gathered, paper: pd.DataFrame, study: Config) -> list[str]:
    """Whether the paper's training values of Monte Carlo EM are nearer to our log p(x), or to
    log p(x, z) at our chains, which lag behind the posterior of parameters that change, as
    sentences."""
    sentences = []
    for name, latent_dim, algorithms in _curves_of(study, 3):
        theirs = (
            paper_curve(paper, study, name, latent_dim, "mcem", "train")
            if "mcem" in algorithms
            else None
        )
        runs = [
            run for run in replicas(gathered, name, "mcem", latent_dim) if run.status == "completed"
        ]
        if theirs is None or not runs:
            continue
        points = theirs[
            (theirs["samples"] >= runs[0].curve["samples"].iloc[0])
            & (theirs["samples"] <= runs[0].samples)
        ]
        curves = [
            shown(gathered, run).merge(run.curve[["samples", "running"]], on="samples")
            for run in runs
        ]
        away = {
            column: np.median(
                [
                    abs(np.mean([_at(curve, column, at) for curve in curves]) - value)
                    for at, value in points.to_numpy()
                ]
                or np.nan
            )
            for column in ("train", "running")
        }
        if len(points):
            lag = away["running"] < away["train"]
            sentences.append(
                f"{_sizes(study, name)}: the {plural(len(points), 'training value')} of MCEM in "
                "the paper lie a median of "
                f"{number(away['train'])} nats from our log p(x), and {number(away['running'])} "
                "from the mean of log p(x, z) at our chains"
                + (
                    ": they are like values at chains that lag behind the posterior."
                    if lag
                    else "."
                )
            )
    return sentences


def seconds_to(done: list[pd.DataFrame], split: str, level: float) -> tuple[float, bool]:
    """Seconds of training until the mean over replicas reaches `level`, between evaluations in
    the logarithm of the seconds, and whether the first evaluation is already there (the seconds
    are then those of that evaluation). NaN if never."""
    mean = pd.concat(done).groupby("samples")[["seconds", split]].mean()
    seconds, values = np.log(mean["seconds"].to_numpy()), mean[split].to_numpy()
    there = np.flatnonzero(
        values >= level - 1e-9
    )  # the level may be this mean, summed in another order
    if not len(there) or there[0] == 0:
        return (float(np.exp(seconds[0])), True) if len(there) else (np.nan, False)
    step = there[0]
    share = (level - values[step - 1]) / (values[step] - values[step - 1])
    return float(np.exp(seconds[step - 1] + share * (seconds[step] - seconds[step - 1]))), False


def _durations(gathered: Gathered, study: Config) -> list[str]:
    """How long each algorithm trains until it reaches the lowest of their last test values, as
    sentences."""
    sentences = []
    for name, latent_dim, algorithms in _curves_of(study, 3):
        done = {
            algorithm: curves
            for algorithm in algorithms
            if (curves := _done(gathered, name, algorithm, latent_dim))
        }
        ends = {
            algorithm: float(np.mean([curve["test"].iloc[-1] for curve in curves]))
            for algorithm, curves in done.items()
        }
        if len(ends) < 2 or not np.isfinite(list(ends.values())).all():
            continue
        slowest = min(ends, key=ends.get)
        parts = []
        for algorithm, curves in done.items():
            seconds, bounded = seconds_to(curves, "test", ends[slowest])
            amount = f"{float(f'{seconds:.3g}'):,g}"
            parts.append(f"{ALGORITHMS[algorithm]} {'at most ' if bounded else ''}{amount} s")
        sentences.append(
            f"{_sizes(study, name)}: a test log p(x) of {number(ends[slowest])} nats, where "
            f"{ALGORITHMS[slowest]} ends, takes "
            f"{joined(parts)} of training (one replica, this study's machine)."
        )
    return sentences


def diagnostics(gathered: Gathered) -> pd.DataFrame:
    """The last evaluation of Figure 3: columns of EVIDENCE, means over the replicas, for each curve
    and split.

    Beside them off and hmc_off: the largest distance of importance and of hmc from quadrature (NaN
    without it).
    """
    study = load(gathered.config)
    rows = []
    for name, latent_dim, algorithms in _curves_of(study, 3):
        for algorithm in algorithms:
            runs = [
                run
                for run in replicas(gathered, name, algorithm, latent_dim)
                if run.status == "completed"
            ]
            tables = [gathered.evidence[run_name(run)].frame for run in runs]
            for split in ("train", "test") if tables else ():
                last = pd.DataFrame(
                    [
                        table[table["split"] == split].sort_values("samples").iloc[-1]
                        for table in tables
                    ]
                )
                columns = {"off": "importance", "hmc_off": "hmc"}
                off = {
                    key: (last[column] - last["quadrature"]).abs().max()
                    for key, column in columns.items()
                }
                place = {"experiment": name, "algorithm": algorithm, "split": split}
                rows.append({**last.drop(columns="split").astype(float).mean(), **place, **off})
    return pd.DataFrame(rows)


def _range(values: pd.Series) -> str:
    return f"{number(values.min(), sign=True)} to {number(values.max(), sign=True)}"


def _checked(checks: pd.DataFrame) -> list[str]:
    """What quadrature says at the last evaluation, and what the paper's estimator adds there, as
    sentences."""
    if checks.empty:
        return []
    added, sentences = checks["hmc"] - checks["importance"], []
    if checks["off"].notna().any():
        sentences.append(
            "At the last evaluation, importance sampling is at most "
            f"{number(checks['off'].max(), 3)} nats from quadrature in any replica, "
            f"the paper's estimator at most {number(checks['hmc_off'].max(), 3)}."
        )
    sentences.append(
        f"There the paper's estimator minus importance sampling is {_range(added)} nats "
        f"(median {number(added.median(), sign=True)}, over {plural(len(added), 'mean')} of "
        "replicas)."
    )
    return sentences


def _counting(paper: pd.DataFrame) -> list[str]:
    """Whether the paper's Monte Carlo EM points lie on multiples of N_train x (leapfrog steps +
    updates), as sentences."""
    sentences, steps = [], sum(PAPER_MCEM)
    rows = paper[(paper["figure"] == 3) & (paper["algorithm"] == "mcem")]
    for n_train, points in rows.groupby("n_train")["samples"]:
        units = [multiple * n_train for multiple in (steps, PAPER_MCEM[0], 2 * steps)]
        off, *others = (
            f"{(points - unit * (points / unit).round()).abs().max():,.0f}" for unit in units
        )
        sentences.append(
            f"N_train = {n_train:,.0f}: all {len(points)} points lie within {off} samples of a "
            f"multiple of {units[0]:,.0f}, "
            f"{steps} N_train; from multiples of {PAPER_MCEM[0]} and {2 * steps} N_train they lie "
            f"up to {others[0]} and {others[1]} away."
        )
    return sentences


def at_draws(gathered: Gathered, draws: int = PAPER_DRAWS) -> pd.DataFrame:
    """The rows of the estimator study whose number of samples is nearest to `draws`, for each
    model, data and estimator."""
    tables = [table.frame for table in gathered.estimators.values()]
    if not tables:
        return pd.DataFrame(columns=list(results.ESTIMATORS))
    rows = pd.concat(tables, ignore_index=True)
    rows["distance"] = np.abs(np.log(rows["samples"] / draws))
    nearest = rows.groupby(["latent_dim", "data", "estimator"])["distance"].transform("min")
    rows = rows[rows["distance"] == nearest].drop(columns="distance")
    order = {key: place for place, key in enumerate((*DATA, *ESTIMATORS))}
    return rows.sort_values(
        ["latent_dim", "data", "estimator"],
        key=lambda c: c.map(order) if c.name != "latent_dim" else c,
        kind="stable",
    )


def _with_error(row) -> str:
    return f"{number(row.bias, sign=True)} ± {number(row.bias_se)}"


def _reliable(graded: pd.DataFrame) -> list[str]:
    """Whether the paper's estimator is good below five dimensions and unreliable from there on,
    as sentences."""
    rows = graded[(graded["estimator"] == "hmc_kde") & (graded["data"] == "test")]
    if rows.empty:
        return []
    listed = "; ".join(
        f"N_z = {row.latent_dim:g}: {_with_error(row)} (spread {number(row.spread)})"
        for row in rows.itertuples()
    )
    sentences = [
        f"The paper's estimator with {rows['samples'].iloc[0]:g} samples per datapoint, bias on "
        f"test points in nats: {listed}."
    ]
    below = rows["latent_dim"] < PAPER_RELIABLE
    if below.any() and not below.all():
        low, high = rows[below]["bias"].abs(), rows[~below]["bias"].abs()
        agrees = low.max() < high.min()
        sentences.append(
            f"The paper calls it reliable below {PAPER_RELIABLE} dimensions and unreliable above. "
            "Here its bias is at most "
            f"{number(low.max())} nats below {PAPER_RELIABLE} dimensions (spread at most "
            f"{number(rows[below]['spread'].max())}) and "
            f"{number(high.min())} to {number(high.max())} from there on (spread up to "
            f"{number(rows[~below]['spread'].max())}): "
            + (
                "larger in every model from there on than in any below."
                if agrees
                else "not larger in every model from there on."
            )
        )
    return sentences


def _trust(graded: pd.DataFrame, checks: pd.DataFrame, study: Config) -> list[str]:
    """How far the values of the paper's Figure 3 can be trusted, in a sentence; nothing from
    models of other data."""
    if (
        study.estimators is None
        or study.experiments[study.estimators.experiment].dataset != PAPER_FIGURE3["dataset"]
    ):
        return []
    rows = graded[
        (graded["estimator"] == "hmc_kde") & (graded["latent_dim"] == PAPER_FIGURE3["latent_dim"])
    ]
    if rows.empty:
        return []
    parts = " and ".join(
        f"{_with_error(row)} nats on {DATA[row.data]} (spread {number(row.spread)})"
        for row in rows.itertuples()
    )
    text = f"The paper's Figure 3 is made with this estimator at N_z = {PAPER_FIGURE3['latent_dim']}, where its bias here is {parts}"
    if len(checks):
        added = checks["hmc"] - checks["importance"]
        text += f"; in this study's models of Figure 3 it adds {_range(added)} nats"
    return [f"{text}. That is how far its values can be trusted."]


def _looseness(gathered: Gathered) -> list[str]:
    """Where the reference is a lower bound, how loose it is at most, in a sentence."""
    parts = []
    for table in gathered.estimators.values():
        rows = table.frame[
            (table.frame["data"] == "simulated") & (table.frame["estimator"] == "ais_backward")
        ]
        if len(rows) and not rows["reference"].str.startswith("quadrature").any():
            last = rows.sort_values("samples").iloc[-1]
            parts.append(f"N_z = {last['latent_dim']:g}: {_with_error(last)}")
    if not parts:
        return []
    return [
        "Where the reference is a lower bound, biases are too high by as much as it is loose. On "
        "simulated points, annealed importance "
        "sampling run backward from the true z is an upper bound on average; its distance from "
        f"the reference in nats: {'; '.join(parts)}."
    ]


def _evidence(gathered: Gathered, paper: pd.DataFrame, study: Config) -> dict:
    """What the sections on Figure 3 and on the estimators print; empty parts for a study without
    them."""
    table = comparison(gathered, paper, 3)
    ranks, checks, graded = orderings(gathered, paper), diagnostics(gathered), at_draws(gathered)
    reliability = _reliable(graded) + _trust(graded, checks, study)
    experiments = []
    for name, _, _ in _curves_of(study, 3):
        rows = table[table["experiment"] == name]
        about = {
            "id": name,
            "name": _sizes(study, name),
            "digits": DECIMALS[study.experiments[name].likelihood],
        }
        experiments.append(
            {
                **about,
                "compared": bool(rows["paper"].notna().any()),
                "rows": rows.to_dict("records"),
            }
        )
    like = table.assign(difference=table["hmc"] - table["paper"])
    near = [
        _closeness(table, study, "Test values of log p(x)"),
        _closeness(like, study, "By the paper's own estimator, test values of log p(x)"),
    ]
    mcem = study.figure3 is not None and "mcem" in study.figure3.algorithms
    return {
        "experiments3": experiments,
        "compared3": bool(table["paper"].notna().any()),
        "order3": ranks,
        "found3": [
            *filter(None, near),
            *_iterations(gathered, ranks, study),
            *_chain_values(gathered, paper, study),
            *_durations(gathered, study),
            *_checked(checks),
        ],
        "best_first": _best_first(ranks, study),
        "checks": checks.to_dict("records"),
        "counting": _counting(paper) if mcem else [],
        "mcem": mcem,
        "changed3": _changed(study.mcem) + _changed(study.evidence),
        "graded": graded.to_dict("records"),
        "reliability": reliability,
        "found_estimators": reliability + _looseness(gathered),
    }


def findings(gathered: Gathered, paper: pd.DataFrame) -> dict:
    """Everything that the report says of a study, as sentences, and as rows of numbers for its
    tables; `paper`: its curves."""
    study = load(gathered.config)
    table = comparison(gathered, paper)
    cost, total = _cost(gathered)
    everything = gathered.runs
    gathered = of_figures(
        gathered
    )  # the runs of the ablation and the trade-off alone cost, and are listed nowhere else
    variants = [run for name, run in everything.items() if name not in gathered.runs]
    pilots, evidence = _pilots(gathered), _evidence(gathered, paper, study)
    stand_ins = [
        label(name)
        for name, experiment in study.experiments.items()
        if experiment.dataset == "digits"
    ]
    return {
        "study": study,
        "budget": short(study.samples) + further(study),
        "shared": short(study.samples),
        "going_on": further(study),
        "seeds": _seeds(study.seeds),
        **_figure3_scope(study),
        "stand_ins": joined(stand_ins) if stand_ins else "",
        "runs": len(gathered.runs),
        "variants": len(variants),
        "variants_diverged": sum(run.status == "diverged" for run in variants),
        "errors": _errors(gathered),
        "curves": len(_curves(gathered)),
        "devices": joined(_distinct(gathered, "device")),
        "processors": joined(_distinct(gathered, "processor")),
        "threads": joined(
            _distinct(gathered, "threads", text=lambda threads: plural(threads, "thread"))
        ),
        "conventions": _conventions(gathered, study),
        "summary": [
            text
            for text in (
                _closeness(table, study, "Test bounds"),
                _order(gathered, paper, study),
                _readings(gathered, paper),
            )
            if text
        ]
        + evidence["best_first"]
        + evidence["reliability"],
        **_drawings(gathered, study),
        **evidence,
        "experiments": _panels(table, gathered, paper),
        "compared": bool(table["paper"].notna().any()),
        "pilots": pilots,
        "pilot_steps": list(dict.fromkeys(step for pilot in pilots for step in pilot["cells"])),
        "ends": _ends(gathered),
        "diverged": [
            {**run.attributes, **_title(run)}
            for run in gathered.runs.values()
            if run.status == "diverged"
        ],
        "cost": cost,
        "total": total,
        "window": short(PAPER_WINDOW),
        "paper_minutes": PAPER_MINUTES,
        "not_run": _not_run(study, paper),
        "given": _given(study),
        "settings": _settings(study),
        "provenance": _provenance(gathered),
        **_code(gathered),
        "commands": _commands(study),
    }
