"""The report: one self-contained HTML page, filled from gathered results and drawn figures.

What this study found is computed, and the words follow from the numbers; what is written down here as it stands is what
the paper shows or how something is defined. Identical results give an identical page.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from scipy import stats

from .config import Config, Experiment, Run, Training, load, short
from .figures import ALGORITHMS, SEEDS_FOR_SD, label, paper_curve, replicas
from .files import atomic
from .results import Gathered, Pilot, RunResult, read_gathered

# Sample counts near which the bounds are set beside the paper's, as far as the budget goes.
COMPARE_AT = (3e5, 1e6, 1e7, 1e8)

PAPER_SAMPLES = 100_000_000
PAPER_MINUTES = (20, 40)  # per million training samples, on a Xeon of about 40 GFLOPS (the paper, section 5)
PAPER_HIDDEN = {"mnist": 500, "frey": 200}
PAPER_FIGURE4 = {"frey": 10, "mnist": 20}
PAPER_FIGURE5 = (2, 5, 10, 20)

# The author's loop evaluated about every so many samples; its train curve is most likely the mean bound in between.
PAPER_WINDOW = 240_000

# A point of the paper's curve this many steps of our evaluation grid from a wanted count takes its place.
NEAR = 1.5

# How precisely the paper's curves could be read, nats per datapoint, and decimals worth printing.
READING = {"mnist": 0.1, "frey": 1.0}
DECIMALS = {"bernoulli": 2, "gaussian": 1}

# Below this mean KL(q(z|x) || p(z)) the latent variables carry next to nothing about the image.
IGNORES_Z = 0.1

# A person needs none of these to judge or repeat the results, and folders name the machine they are on.
UNPRINTED = ("results", "data", "mirror", "redraw", "job_seconds")


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """A number with a fixed count of decimals and a true minus sign; a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def count(samples: float) -> str:
    """A number of samples to three figures: 316200 -> '3.16e5'."""
    return short(int(float(f"{samples:.3g}")))


def joined(items) -> str:
    """'a', 'a and b', 'a, b and c'."""
    items = [str(item) for item in items]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def plural(amount: int, noun: str) -> str:
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


COLUMNS = ["experiment", "latent_dim", "target", "algorithm", "split", "samples", "ours", "sd", "standard_error", "replicas", "averaged"]
COLUMNS += ["paper", "difference", "tolerance", "interpolated"]


def comparison(gathered: Gathered, paper: pd.DataFrame) -> pd.DataFrame:
    """Bounds of this study beside the paper's at the same number of training samples, one row for each value.

    Columns: experiment, latent_dim, target (the count asked for: COMPARE_AT and the last evaluation), algorithm, split,
    samples (the count compared at, see `_meeting_point`); ours (mean over the replicas that did not diverge), sd (over
    them; NaN for one), standard_error (Monte Carlo error of ours), replicas; averaged (train only: see `averaged_bound`,
    mean over the replicas); paper (NaN where it has no curve), difference (ours - paper), tolerance (see `_tolerance`),
    interpolated (whether `paper` lies between two points of the paper's curve). Bounds in nats per datapoint.
    """
    study = load(gathered.config)
    rows = []
    for row in study.figure2:
        for latent_dim in row.latent_dims:
            panel = []
            for algorithm in row.algorithms:
                done = [run.curve for run in replicas(gathered, row.experiment, algorithm, latent_dim) if run.status == "completed"]
                for split in ("train", "test") if done else ():
                    theirs = paper_curve(paper, study.experiments[row.experiment], latent_dim, algorithm, split)
                    reading = READING.get(study.experiments[row.experiment].dataset, 0.0)
                    place = {"experiment": row.experiment, "latent_dim": latent_dim, "algorithm": algorithm, "split": split}
                    last = float(done[0]["samples"].iloc[-1])
                    for target in [*(near for near in COMPARE_AT if done[0]["samples"].iloc[0] <= near < last), last]:
                        samples, at_point = _meeting_point(done[0]["samples"], theirs, target, study.evaluation.points_per_decade)
                        values = _beside(done, split, samples, theirs, reading)
                        interpolated = not at_point and np.isfinite(values["paper"])
                        panel.append({**place, "target": target, "samples": samples, **values, "interpolated": interpolated})
            rows += sorted(panel, key=lambda line: line["target"])
    return pd.DataFrame(rows, columns=COLUMNS)


def _meeting_point(grid: pd.Series, theirs: pd.DataFrame | None, target: float, points_per_decade: int) -> tuple[float, bool]:
    """The sample count near `target` to compare at, and whether it is a point of the paper's curve.

    Ours is evaluated more often, so it is ours that is interpolated, at the nearest point of the paper's curve, if that
    is near `target` or the curve only begins there. Otherwise: our evaluation nearest `target`.
    """
    if theirs is not None:
        point = _nearest(theirs["samples"], target)
        near = abs(np.log10(point / target)) <= NEAR / points_per_decade or target < theirs["samples"].iloc[0]
        if near and grid.iloc[0] <= point <= grid.iloc[-1]:
            return point, True
    return _nearest(grid, target), False


def _nearest(samples: pd.Series, target: float) -> float:
    return float(samples.iloc[np.argmin(np.abs(np.log(samples.to_numpy(float) / target)))])


def _beside(done: list[pd.DataFrame], split: str, samples: float, theirs: pd.DataFrame | None, reading: float) -> dict:
    """The replicas' curves `done` at one sample count, and the paper's value there."""
    values = [_at(curve, split, samples) for curve in done]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    # Between two evaluations the interpolated error is a little more than that of the interpolated bound.
    error = np.sqrt(sum(_at(curve, f"{split}_se", samples) ** 2 for curve in done)) / len(done)
    averaged = float(np.mean([averaged_bound(curve, samples) for curve in done])) if split == "train" else np.nan
    reference = np.nan if theirs is None else _at(theirs, "value", samples)
    ours = {"ours": float(np.mean(values)), "sd": sd, "standard_error": error, "replicas": len(done), "averaged": averaged}
    return {**ours, "paper": reference, "difference": ours["ours"] - reference, "tolerance": _tolerance(sd, len(done), reading)}


def _tolerance(sd: float, replicas: int, reading: float) -> float:
    """Half-width of the 95 % interval for the paper's one run minus the mean of ours; NaN for one replica.

    Student's t for the spread of a further run about the mean of `replicas`, plus the accuracy of reading the paper.
    """
    return reading + stats.t.ppf(0.975, replicas - 1) * sd * np.sqrt(1 + 1 / replicas) if replicas > 1 else np.nan


def _at(curve: pd.DataFrame, column: str, samples: float) -> float:
    """A column of a curve at `samples`, between its points in the logarithm of the samples; NaN outside them."""
    return float(np.interp(np.log(samples), np.log(curve["samples"].to_numpy(float)), curve[column], left=np.nan, right=np.nan))


def averaged_bound(curve: pd.DataFrame, samples: float, window: float = PAPER_WINDOW) -> float:
    """Mean of the minibatch bounds over the last `window` training samples before `samples`, nats per datapoint.

    From the column `running` of a run's curve, which holds that mean between neighbouring evaluations: within one
    interval nothing finer is known, and before the first sample there is nothing.
    """
    ends = np.concatenate([[0.0], curve["samples"].to_numpy(float)])
    sums = np.concatenate([[0.0], np.cumsum(curve["running"].to_numpy(float) * np.diff(ends))])
    start = max(samples - window, 0.0)
    return float((np.interp(samples, ends, sums) - np.interp(start, ends, sums)) / (samples - start))


def _crossing(curve: pd.DataFrame, value: float, near: float) -> float:
    """The sample count, nearest to `near` on a log axis, at which the paper's curve takes `value`; NaN if nowhere."""
    x, y = np.log(curve["samples"].to_numpy(float)), curve["value"].to_numpy(float) - value
    steps = np.flatnonzero((y[:-1] * y[1:] <= 0) & (y[:-1] != y[1:]))
    if not len(steps):
        return np.nan
    found = x[steps] - y[steps] * (x[steps + 1] - x[steps]) / (y[steps + 1] - y[steps])
    return float(np.exp(found[np.argmin(np.abs(found - np.log(near)))]))


def departures(experiment: Experiment, training: Training) -> list[str]:
    """Settings of an experiment that are not the project's default reading of the paper, as 'name = value (default)'."""
    found = []
    if experiment.hidden != PAPER_HIDDEN.get(experiment.dataset, experiment.hidden):
        found.append(f"hidden = {experiment.hidden} (the paper: {PAPER_HIDDEN[experiment.dataset]})")
    for model, names in ((experiment, ("scale", "binarise", "dequantise")), (training, list(Training.model_fields))):
        for name in names:
            default, value = type(model).model_fields[name].default, getattr(model, name)
            if value != default and not (name == "scale" and experiment.dataset == "digits"):
                found.append(f"{name} = {value} (default {default})")
    return found


def explanations(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame) -> list[str]:
    """What may explain the differences in one panel (`table`: its rows of `comparison`), as sentences."""
    study = load(gathered.config)
    name, latent_dim = table["experiment"].iloc[0], int(table["latent_dim"].iloc[0])
    experiment = study.experiments[name]
    digits, changed = DECIMALS[experiment.likelihood], departures(experiment, study.training)
    sentences = [f"The settings depart from the default reading of the paper: {'; '.join(changed)}."] if changed else []
    for algorithm in dict.fromkeys(table["algorithm"]):
        rows = table[(table["algorithm"] == algorithm) & table["paper"].notna()]
        runs = replicas(gathered, name, algorithm, latent_dim)
        title = ALGORITHMS[algorithm][0].upper() + ALGORITHMS[algorithm][1:]
        test, train = rows[rows["split"] == "test"], rows[rows["split"] == "train"]
        if len(test):
            theirs = paper_curve(paper, experiment, latent_dim, algorithm, "test")
            sentences.append(f"{title}, test {_explain_test(test.iloc[-1], theirs, digits)}")
            if experiment.dataset == "frey" and not abs(test["difference"].iloc[-1]) <= test["tolerance"].iloc[-1]:
                sentences.append("The paper's division of Frey Face into train and test is not known; ours is likely another.")
            sentences.append(f"{title}: {_explain_pilot(gathered.pilots[Run(name, algorithm, latent_dim, 0).curve], digits)}")
        else:
            sentences.append(f"{title}: the paper has no test curve at these sample counts.")
        kl = np.mean([run.curve["test_kl"].iloc[-1] for run in runs if run.status == "completed"])
        if kl < IGNORES_Z:
            sentences.append(
                f"{title} ignores z here: its KL on the test set is {number(kl, 3)} nats at the end, "
                "so its bound is that of a model without latent variables, and N_z hardly matters."
            )
        if len(train):
            reading = READING[experiment.dataset]
            sentences.append(f"{title}, train {_explain_train(train.iloc[-1], digits, reading)}")
        lost = sum(run.status == "diverged" for run in runs)
        if lost:
            sentences.append(
                f"{title}: {lost} of {plural(len(runs), 'replica')} diverged and {'is' if lost == 1 else 'are'} left out of the mean."
            )
    return list(dict.fromkeys(sentences))


def _explain_test(row: pd.Series, theirs: pd.DataFrame, digits: int) -> str:
    """One test bound beside the paper's: inside the 95 % interval of noise, or else a shift along the axis."""
    difference, tolerance = row["difference"], row["tolerance"]
    text = f"at {count(row['samples'])}: {number(abs(difference), digits)} nats {'above' if difference > 0 else 'below'} the paper"
    if abs(difference) <= tolerance:
        return f"{text}, within the noise (± {number(tolerance, digits)}): most likely the seeds."
    text += (
        f", beyond the noise (± {number(tolerance, digits)})." if np.isfinite(tolerance) else "; one seed gives no measure of the noise."
    )
    crossing = _crossing(theirs, row["ours"], row["samples"])
    percent = 100 * (crossing / row["samples"] - 1)
    if abs(percent) >= 0.5:
        text += f" The paper's curve has our value at {count(crossing)} samples, "
        text += f"{number(abs(percent), 0)} % {'later' if percent > 0 else 'earlier'}."
    if np.isfinite(tolerance):
        text += " Most likely a setting that the paper does not print for each curve (step size, start, warm-up); not separated here."
    return text


def _explain_pilot(pilot: Pilot, digits: int) -> str:
    """How far apart the pilot's two best step sizes were: how much depends on a choice that the paper does not print."""
    final = sorted(((bound, step) for step, bound in zip(pilot.step_sizes, pilot.bounds[:, -1], strict=True) if np.isfinite(bound)))
    if len(final) == 1:
        return f"only one step size, {pilot.step_size:g}, came through the pilot."
    (second, other), (first, best) = final[-2:]
    return (
        f"the pilot separated its two best step sizes, {best:g} and {other:g}, by {number(first - second, digits)} nats "
        f"at {count(pilot.samples[-1])} samples."
    )


def _explain_train(row: pd.Series, digits: int, reading: float) -> str:
    """Whether the paper's train curve looks like a running average or like the bound at that moment."""
    averaged, moment = abs(row["averaged"] - row["paper"]), abs(row["difference"])
    where = (
        f"at {count(row['samples'])}: the paper is {number(averaged, digits)} nats from our averaged bound, "
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
            panels.append({"latent_dim": latent_dim, "rows": part.to_dict("records"), "explanations": why})
        digits = DECIMALS[study.experiments[row.experiment].likelihood]
        experiments.append({"id": row.experiment, "panels": panels, "compared": compared, "digits": digits})
    return experiments


def _conventions(gathered: Gathered, study: Config) -> dict[str, dict]:
    """For each experiment: sizes of its data, how they were prepared (part of every statement of a bound), departures."""
    entries = {}
    for run in gathered.runs.values():
        experiment = study.experiments[run.experiment]
        values = f"grey values / {experiment.scale:g}"
        if experiment.dequantise:
            values = f"(grey values + fixed uniform noise of one level) / {experiment.scale:g}"
        values += ", thresholded at 0.5" if experiment.binarise else ", not binarised"
        about = {"name": label(run.experiment), "n_train": run.n_train, "n_test": run.n_test, "values": values}
        entries[run.experiment] = {**experiment.model_dump(), **about, "departures": departures(experiment, study.training)}
    return entries


def _closeness(table: pd.DataFrame, study: Config) -> str:
    """How close the test bounds come to the paper's at the last count at which both are known, in a sentence."""
    parts = []
    for name in dict.fromkeys(row.experiment for row in study.figure2):
        rows = table[(table["experiment"] == name) & (table["split"] == "test") & table["paper"].notna()]
        if rows.empty:
            continue
        rows = rows[rows["target"] == rows["target"].max()]
        digits = DECIMALS[study.experiments[name].likelihood]
        sizes = rows["difference"].abs()
        worst = rows.loc[sizes.idxmax()]
        within = f"{sum(sizes <= rows['tolerance'])} within the noise" if rows["tolerance"].notna().any() else "one seed: noise not known"
        parts.append(
            f"on {label(name)}, near {count(rows['target'].iloc[0])} samples, by a median of {number(sizes.median(), digits)} nats "
            f"over {plural(len(rows), 'curve')} ({within}; largest: {number(worst['difference'], digits, sign=True)}, "
            f"{ALGORITHMS[worst['algorithm']]} with N_z = {worst['latent_dim']})"
        )
    return f"Test bounds differ from the paper's {'; '.join(parts)}." if parts else ""


def _order(gathered: Gathered, paper: pd.DataFrame, study: Config) -> str:
    """In how many panels AEVB is above wake-sleep, here and in the paper, in a sentence; '' without both algorithms."""
    ours, theirs, steady = [], [], []
    for row in study.figure2:
        for latent_dim in row.latent_dims if {"aevb", "wake_sleep"} <= set(row.algorithms) else ():
            means, at_end = [], []
            for algorithm in ("aevb", "wake_sleep"):
                runs = [run.curve for run in replicas(gathered, row.experiment, algorithm, latent_dim) if run.status == "completed"]
                means += [np.mean([curve["test"] for curve in runs], axis=0)] if runs else []
                curve = paper_curve(paper, study.experiments[row.experiment], latent_dim, algorithm, "test")
                at_end.append(np.nan if curve is None else _at(curve, "value", study.samples))
            if len(means) == 2:
                ours.append(means[0][-1] > means[1][-1])
                steady.append((means[0] > means[1]).all())
                theirs += [at_end[0] > at_end[1]] if np.isfinite(at_end).all() else []
    if not ours:
        return ""
    text = f"AEVB's test bound ends above wake-sleep's in {sum(ours)} of {plural(len(ours), 'panel')}"
    text += f", and is above it at every evaluation in {sum(steady)}"
    text += f"; the paper's, at {short(study.samples)} samples, in {sum(theirs)} of {len(theirs)}" if theirs else ""
    return text + "."


def _readings(table: pd.DataFrame) -> str:
    """Which of our train values the paper's train curve is nearer to, over all curves at their last compared count."""
    rows = table[(table["split"] == "train") & table["paper"].notna()]
    if rows.empty:
        return ""
    rows = rows.groupby(["experiment", "latent_dim", "algorithm"], sort=False).last()
    nearer = (rows["averaged"] - rows["paper"]).abs() < rows["difference"].abs()
    return (
        f"At the last compared count, the paper's train curve is nearer to our averaged bound (over {short(PAPER_WINDOW)} samples) "
        f"than to our bound at that moment in {int(nearer.sum())} of {plural(len(nearer), 'curve')}."
    )


def _models(gathered: Gathered, entries, study: Config) -> str:
    """Bounds and active units of the models that Figures 4 and 5 draw, in a sentence; `entries`: (experiment, N_z)."""
    parts = []
    for name, latent_dim in entries:
        run = gathered.runs[Run(name, "aevb", latent_dim, study.seeds[0]).name]
        text = "diverged"
        if run.status == "completed":
            last = run.curve.iloc[-1]
            text = f"{number(last['test'], DECIMALS[run.likelihood])} nats, {last['active_units']:g} of {latent_dim} latent units active"
        parts.append(f"{label(name)}, N_z = {latent_dim}: {text}")
    return f"Test bounds of the models drawn, after {short(study.samples)} training samples: {'; '.join(parts)}."


def _curves(gathered: Gathered) -> list[tuple[str, list[RunResult]]]:
    """(curve name, runs of it) in the order of the results, those of Figures 4 and 5 included."""
    curves: dict[str, list] = {}
    for name, run in gathered.runs.items():
        curves.setdefault(name.rsplit("-seed", 1)[0], []).append(run)
    return list(curves.items())


def _title(run: RunResult) -> dict:
    names = {"experiment": label(run.experiment), "latent_dim": run.latent_dim, "algorithm": ALGORITHMS[run.algorithm]}
    return {**names, "digits": DECIMALS[run.likelihood]}


def _ends(gathered: Gathered) -> list[dict]:
    """The last evaluation of every curve, mean over the replicas that did not diverge (NaN if all did)."""
    rows = []
    for _, runs in _curves(gathered):
        done = [run.curve.iloc[-1] for run in runs if run.status == "completed"]
        rows.append({**_title(runs[0]), "replicas": len(done), **pd.DataFrame(done, columns=runs[0].curve.columns).mean()})
    return rows


def _pilots(gathered: Gathered) -> list[dict]:
    rows = []
    for name, runs in _curves(gathered):
        pilot = gathered.pilots[name]
        cells = dict(zip([f"{step:g}" for step in pilot.step_sizes], pilot.bounds[:, -1], strict=True))
        rows.append({**_title(runs[0]), "cells": cells, "chosen": f"{pilot.step_size:g}", "samples": pilot.samples[-1]})
    return rows


def _minutes(runs: list[RunResult]) -> float:
    """Minutes of training for a million samples, of the median run; NaN without any."""
    speeds = [run.samples_per_second for run in runs if run.samples_per_second > 0]
    return 1e6 / float(np.median(speeds)) / 60 if speeds else np.nan


def _cost(gathered: Gathered) -> tuple[list[dict], dict]:
    """Cost of every curve and of the whole study: hours, and minutes for a million samples."""
    rows = []
    for name, runs in _curves(gathered):
        seconds = {
            "training": sum(run.train_seconds for run in runs),
            "evaluation": sum(run.evaluation_seconds for run in runs),
            "pilots": gathered.pilots[name].seconds,
        }
        hours = {part: value / 3600 for part, value in seconds.items()}
        rows.append({**_title(runs[0]), "replicas": len(runs), **hours, "minutes": _minutes(runs)})
    runs = list(gathered.runs.values())
    total = {part: sum(row[part] for row in rows) for part in ("training", "evaluation", "pilots")}
    # Only models of the paper's size can be set beside its times.
    alike = _minutes([run for run in runs if PAPER_HIDDEN.get(run.dataset) == run.hidden])
    return rows, {**total, "hours": sum(total.values()), "minutes": _minutes(runs), "alike": alike}


def _distinct(gathered: Gathered, value) -> list[str]:
    return list(dict.fromkeys(str(value(run)) for run in gathered.runs.values()))


def _provenance(gathered: Gathered) -> list[tuple[str, list[str]]]:
    """What made the results: name, and the distinct values over all runs."""
    return [
        ("git commit", _distinct(gathered, lambda run: run.git_commit + (" with uncommitted changes" if run.git_dirty else ""))),
        ("hash of the deciding code (SHA-256)", _distinct(gathered, lambda run: run.code_sha256)),
        ("data (SHA-256)", _distinct(gathered, lambda run: f"{run.dataset}: {run.data_sha256}")),
        ("versions", _distinct(gathered, lambda run: ", ".join(map(" ".join, json.loads(run.versions).items())))),
        ("device", _distinct(gathered, lambda run: run.device)),
        ("processor", _distinct(gathered, lambda run: run.processor)),
        ("threads a job", _distinct(gathered, lambda run: run.threads)),
    ]


def _settings(study: Config) -> list[tuple[str, str]]:
    """The resolved configuration, one (dotted name, value) for each setting that bears on the results."""
    flat = pd.json_normalize(study.model_dump(mode="json", exclude=set(UNPRINTED))).iloc[0]
    return [(name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)) for name, value in flat.items()]


def _not_run(study: Config, paper: pd.DataFrame) -> list[str]:
    """What of the paper is not part of this study, as sentences."""
    sentences = ["Figure 3 of the paper (Monte Carlo EM, estimated marginal likelihood) is not part of this study."]
    done = {
        (study.experiments[row.experiment].dataset, latent_dim, algorithm)
        for row in study.figure2
        for latent_dim in row.latent_dims
        for algorithm in row.algorithms
        if paper_curve(paper, study.experiments[row.experiment], latent_dim, algorithm, "test") is not None
    }
    missing: dict[tuple, list] = {}
    theirs = paper[paper["figure"] == 2][["dataset", "latent_dim", "algorithm"]].drop_duplicates()
    for dataset, latent_dim, algorithm in theirs.itertuples(index=False):
        if (dataset, latent_dim, algorithm) not in done:
            missing.setdefault((dataset, algorithm), []).append(latent_dim)
    if missing:
        listed = [f"{label(dataset)}, {ALGORITHMS[algorithm]}: N_z = {joined(dims)}" for (dataset, algorithm), dims in missing.items()]
        sentences.append(f"Curves of the paper's Figure 2 without a counterpart here: {'; '.join(listed)}.")
    drawn = {study.experiments[entry.experiment].dataset for entry in study.figure4}
    if set(PAPER_FIGURE4) - drawn:
        sentences.append(f"Panels of the paper's Figure 4 that are not drawn: {joined(label(d) for d in PAPER_FIGURE4 if d not in drawn)}.")
    dims = {d for entry in study.figure5 if study.experiments[entry.experiment].dataset == "mnist" for d in entry.latent_dims}
    if set(PAPER_FIGURE5) - dims:
        sentences.append(f"Panels of the paper's Figure 5 (MNIST) that are not drawn: N_z = {joined(sorted(set(PAPER_FIGURE5) - dims))}.")
    if study.samples < PAPER_SAMPLES:
        sentences.append(
            f"The budget, {short(study.samples)} training samples a curve, is {100 * study.samples / PAPER_SAMPLES:.2g} % "
            f"of the {short(PAPER_SAMPLES)} to which the paper's axes go: nothing here speaks about the end of its curves."
        )
    return sentences


def _commands(study: Config) -> dict[str, str]:
    """The command that repeats this study and the one that draws its figures again; FILE for a study of the user's own."""
    known = study.name in ("quick", "paper", "reference")
    start = f"./run --cores all --configfile {f'config/{study.name}.yaml' if known else 'FILE'}"
    budget = [] if study.name == "reference" else [f"samples={short(study.samples)}"]
    return {
        "known": known,
        "study": " ".join([start, *(["--config", *budget] if budget else [])]),
        "redraw": " ".join([start, "--config", *budget, "redraw=true", "--forceall"]),
    }


def _drawings(gathered: Gathered, study: Config, paths: dict[int, str]) -> dict:
    """The pictures, and what their captions say of this study."""
    drawn = [(entry.experiment, latent_dim) for entry in study.figure5 for latent_dim in entry.latent_dims]
    return {
        "pictures": {key: f"data:image/svg+xml;base64,{base64.b64encode(Path(path).read_bytes()).decode()}" for key, path in paths.items()},
        "by_sd": len(study.seeds) >= SEEDS_FOR_SD,
        "grids4": joined(f"{label(e.experiment)} {e.grid}×{e.grid}" for e in study.figure4),
        "grids5": joined(f"{label(e.experiment)} {e.grid}×{e.grid}, N_z = {joined(e.latent_dims)}" for e in study.figure5),
        "models4": _models(gathered, [(entry.experiment, 2) for entry in study.figure4], study),
        "models5": _models(gathered, drawn, study),
    }


def _context(gathered: Gathered, paper: pd.DataFrame, figure_paths: dict[int, str]) -> dict:
    """Everything the template prints, as text."""
    study = load(gathered.config)
    table = comparison(gathered, paper)
    cost, total = _cost(gathered)
    pilots = _pilots(gathered)
    stand_ins = [label(name) for name, experiment in study.experiments.items() if experiment.dataset == "digits"]
    return {
        "study": study,
        "budget": short(study.samples),
        "seeds": f"{plural(len(study.seeds), 'seed')} ({', '.join(map(str, study.seeds))})",
        "stand_ins": joined(stand_ins) if stand_ins else "",
        "runs": len(gathered.runs),
        "curves": len(_curves(gathered)),
        "devices": joined(_distinct(gathered, lambda run: run.device)),
        "processors": joined(_distinct(gathered, lambda run: run.processor)),
        "threads": joined(_distinct(gathered, lambda run: plural(run.threads, "thread"))),
        "conventions": _conventions(gathered, study),
        "summary": [text for text in (_closeness(table, study), _order(gathered, paper, study), _readings(table)) if text],
        **_drawings(gathered, study, figure_paths),
        "experiments": _panels(table, gathered, paper),
        "compared": bool(table["paper"].notna().any()),
        "pilots": pilots,
        "pilot_steps": list(dict.fromkeys(step for pilot in pilots for step in pilot["cells"])),
        "ends": _ends(gathered),
        "diverged": [{**run.attributes, **_title(run)} for run in gathered.runs.values() if run.status == "diverged"],
        "cost": cost,
        "total": total,
        "window": short(PAPER_WINDOW),
        "paper_minutes": PAPER_MINUTES,
        "not_run": _not_run(study, paper),
        "settings": _settings(study),
        "provenance": _provenance(gathered),
        "commands": _commands(study),
    }


def render(gathered_path, paper_path, figure_paths: dict[int, str], template, output) -> None:
    """Write the report of a study as one HTML file that refers to nothing outside itself.

    `paper_path`: the paper's curves (CSV); `figure_paths`: figure number (2, 4, 5) -> SVG file; `template`: Jinja.
    Raises UserError for a bad gathered file or an output that cannot be written.
    """
    context = _context(read_gathered(gathered_path), pd.read_csv(paper_path), figure_paths)
    context |= {"number": number, "count": count, "algorithms": ALGORITHMS}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(Path(template).read_text(encoding="utf-8")).render(**context)
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
