"""The report: one self-contained HTML page, filled from gathered results and drawn figures.

No sentence here states a result by itself. Whatever could turn out either way is computed, and the words follow from the
numbers; identical results give an identical page.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from .config import Config, Evaluation, Experiment, Run, Training, load, short
from .errors import UserError
from .figures import ALGORITHMS, SEEDS_FOR_SD, label, over_seeds, paper_curve, read_paper, replicas
from .results import Gathered, atomic, read_gathered

TEMPLATE = Path(__file__).parents[2] / "report" / "report.html.j2"

# Sample counts at which the bounds are set beside the paper's, as far as the budget goes.
COMPARE_AT = (3e5, 1e6, 1e7, 1e8)

PAPER_SAMPLES = 100_000_000
PAPER_MINUTES = (20, 40)  # per million training samples, on a Xeon of about 40 GFLOPS (the paper, section 5)
PAPER_HIDDEN = {"mnist": 500, "frey": 200}
PAPER_FIGURE4 = {"frey": 10, "mnist": 20}
PAPER_FIGURE5 = (2, 5, 10, 20)

# The author's loop evaluated about every so many samples; its train curve is most likely the mean bound in between.
PAPER_WINDOW = 240_000

# How precisely the paper's curves could be read, nats per datapoint, and decimals worth printing.
READING = {"mnist": 0.1, "frey": 1.0}
DECIMALS = {"bernoulli": 2, "gaussian": 1}

# Below this mean KL(q(z|x) || p(z)) the latent variables carry next to nothing about the image.
IGNORES_Z = 0.1

# A person needs none of these to judge or repeat the results, and folders name the machine they are on.
UNPRINTED = ("results", "data", "mirror", "redraw", "job_seconds")

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


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


def comparison(gathered: Gathered, paper: pd.DataFrame | None) -> pd.DataFrame:
    """Bounds of this study beside the paper's at the same number of training samples, one row for each value.

    Columns: experiment, latent_dim, algorithm, split, samples; ours (mean over the replicas that did not diverge), sd
    (over them; NaN for one), standard_error (Monte Carlo error of ours), replicas; averaged (train only: see
    `averaged_bound`, mean over the replicas); paper (interpolated in the logarithm of the samples; NaN where the paper has no curve)
    and difference (ours - paper). All in nats per datapoint.

    Sample counts: the evaluations nearest COMPARE_AT and the last one. Where a panel's curves in the paper begin
    later than a count, the first evaluation that they all cover takes its place.
    """
    study = load(gathered.config)
    rows = []
    for row in study.figure2:
        experiment = study.experiments[row.experiment]
        for latent_dim in row.latent_dims:
            theirs = {(a, s): paper_curve(paper, experiment, latent_dim, a, s) for a in row.algorithms for s in ("train", "test")}
            begins = max((curve["samples"].iloc[0] for curve in theirs.values() if curve is not None), default=0.0)
            runs = {algorithm: replicas(gathered, row.experiment, algorithm, latent_dim) for algorithm in row.algorithms}
            grid = sorted({samples for a in runs for samples in over_seeds(runs[a], "test")["samples"]})
            for samples in _counts(grid, begins, study.evaluation):
                for algorithm in row.algorithms:
                    for split in ("train", "test"):
                        values = _values_at(runs[algorithm], split, samples)
                        if values is None:
                            continue
                        reference = _interpolate(theirs[algorithm, split], samples)
                        place = {"experiment": row.experiment, "latent_dim": latent_dim, "algorithm": algorithm, "split": split}
                        rows.append({**place, "samples": samples, **values, "paper": reference, "difference": values["ours"] - reference})
    columns = [
        "experiment",
        "latent_dim",
        "algorithm",
        "split",
        "samples",
        "ours",
        "sd",
        "standard_error",
        "replicas",
        "averaged",
        "paper",
        "difference",
    ]
    return pd.DataFrame(rows, columns=columns)


def _counts(grid: list[float], begins: float, evaluation: Evaluation) -> list[float]:
    """The sample counts of the table: evaluations in `grid` near COMPARE_AT (half a grid step at most) and the last."""
    if not grid:
        return []
    logs, chosen = np.log10(grid), {grid[-1]}
    for target in np.log10(COMPARE_AT):
        nearest = int(np.argmin(np.abs(logs - target)))
        if abs(logs[nearest] - target) <= 0.51 / evaluation.points_per_decade:
            covered = [samples for samples in grid[nearest:] if samples >= begins]
            chosen.add(covered[0] if covered else grid[nearest])
    return sorted(chosen)


def _values_at(runs, split: str, samples: float) -> dict | None:
    table = over_seeds(runs, split)
    table = table[table["samples"] == samples]
    if table.empty:
        return None
    here, amount = table.iloc[0], int(table["replicas"].iloc[0])
    done = [run.curve for run in runs if run.status == "completed" and (run.curve["samples"] == samples).any()]
    variances = [float(curve.loc[curve["samples"] == samples, f"{split}_se"].iloc[0]) ** 2 for curve in done]
    averaged = float(np.mean([averaged_bound(curve, samples) for curve in done])) if split == "train" else np.nan
    error = np.sqrt(sum(variances)) / len(variances)
    return {"ours": here["mean"], "sd": here["sd"], "standard_error": error, "replicas": amount, "averaged": averaged}


def averaged_bound(curve: pd.DataFrame, samples: float, window: float = PAPER_WINDOW) -> float:
    """Mean of the minibatch bounds over the last `window` training samples before `samples`, nats per datapoint.

    From the column `running` of a run's curve, which holds that mean between neighbouring evaluations: within one
    interval nothing finer is known, and before the first sample there is nothing.
    """
    ends = np.concatenate([[0.0], curve["samples"].to_numpy(float)])
    sums = np.concatenate([[0.0], np.cumsum(curve["running"].to_numpy(float) * np.diff(ends))])
    start = max(samples - window, 0.0)
    return float((np.interp(samples, ends, sums) - np.interp(start, ends, sums)) / (samples - start))


def _interpolate(curve: pd.DataFrame | None, samples: float) -> float:
    """The paper's value at `samples`, between its points in the logarithm of the samples; NaN outside them."""
    if curve is None:
        return np.nan
    x = np.log(curve["samples"].to_numpy(float))
    return float(np.interp(np.log(samples), x, curve["value"], left=np.nan, right=np.nan))


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


def explanations(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame | None) -> list[str]:
    """What most likely explains the differences in one panel (`table`: its rows of `comparison`), as sentences.

    Which sentences appear, and what they say, follows from the results.
    """
    study = load(gathered.config)
    name, latent_dim = table["experiment"].iloc[0], int(table["latent_dim"].iloc[0])
    experiment = study.experiments[name]
    digits, reading = DECIMALS[experiment.likelihood], READING.get(experiment.dataset, 0.0)
    changed = departures(experiment, study.training)
    sentences = []
    if changed:
        sentences.append(f"The settings depart from the default reading of the paper: {'; '.join(changed)}.")
    for algorithm in dict.fromkeys(table["algorithm"]):
        rows = table[(table["algorithm"] == algorithm) & table["paper"].notna()]
        runs = replicas(gathered, name, algorithm, latent_dim)
        title = ALGORITHMS[algorithm][0].upper() + ALGORITHMS[algorithm][1:]
        test = rows[rows["split"] == "test"]
        if test.empty:
            sentences.append(f"{title}: the paper has no test curve at these sample counts.")
        else:
            theirs = paper_curve(paper, experiment, latent_dim, algorithm, "test")
            pilot = gathered.pilots.get(Run(name, algorithm, latent_dim, study.seeds[0]).curve)
            sentences.append(_explain_test(test.iloc[-1], theirs, pilot, title, digits, reading, experiment.dataset))
        kl = over_seeds(runs, "test_kl")
        if len(kl) and kl["mean"].iloc[-1] < IGNORES_Z:
            sentences.append(
                f"{title} ignores z here: its KL on the test set is {number(kl['mean'].iloc[-1], 3)} nats at the end, "
                "so its bound is that of a model without latent variables, and N_z cannot matter."
            )
        train = rows[(rows["split"] == "train") & rows["averaged"].notna()]
        if len(train):
            sentences.append(_explain_train(train.iloc[0], title, digits, reading))
        lost = sum(run.status == "diverged" for run in runs)
        if lost:
            sentences.append(
                f"{title}: {lost} of {plural(len(runs), 'replica')} diverged and {'is' if lost == 1 else 'are'} left out of the mean."
            )
    return sentences


def _explain_test(row, theirs, pilot, title: str, digits: int, reading: float, dataset: str) -> str:
    """The difference of one test bound from the paper's: noise, or else a shift along the axis and the step size."""
    difference = row["difference"]
    tolerance = reading + (2 * row["sd"] if np.isfinite(row["sd"]) else 0.0)
    side = "above" if difference > 0 else "below"
    size = f"{title}, test at {count(row['samples'])}: {number(abs(difference), digits)} nats {side} the paper"
    if abs(difference) <= tolerance:
        return f"{size}, within the noise ({number(tolerance, digits)})."
    known = "" if np.isfinite(row["sd"]) else ", of which one seed gives no spread"
    text = f"{size}, beyond the noise ({number(tolerance, digits)}{known})."
    crossing = _crossing(theirs, row["ours"], row["samples"])
    percent = 100 * (crossing / row["samples"] - 1)
    if abs(percent) >= 0.5:
        side = "later" if percent > 0 else "earlier"
        text += f" The paper's curve has our value at {count(crossing)} samples, {number(abs(percent), 0)} % {side}."
    if dataset == "frey":
        text += " The paper's division of Frey Face into train and test is not known; ours is likely another."
    if pilot is None:
        return text
    final = _pilot_bounds(pilot)
    chosen = [bound for bound, step in zip(final, pilot.step_sizes, strict=True) if step == pilot.step_size]
    others = [(bound, step) for bound, step in zip(final, pilot.step_sizes, strict=True) if step != pilot.step_size and np.isfinite(bound)]
    if not others or not chosen:
        return f"{text} The step size is {pilot.step_size:g}; no other candidate came through the pilot."
    bound, step = max(others)
    gap = chosen[0] - bound
    behind = f"the pilot chose {pilot.step_size:g}, with {step:g} {number(gap, digits)} nats behind"
    if gap <= abs(difference):
        return f"{text} Likeliest: the step size, which the paper does not print; {behind}, no more than this difference."
    return f"{text} Likeliest: readings of the paper other than the step size ({behind}), such as the start and the warm-up."


def _explain_train(row, title: str, digits: int, reading: float) -> str:
    """Whether the paper's train curve looks like a running average or like the bound at that moment."""
    averaged, moment = abs(row["averaged"] - row["paper"]), abs(row["difference"])
    where = (
        f"{title}, train at {count(row['samples'])}: the paper is {number(averaged, digits)} nats from our averaged bound, "
        f"{number(moment, digits)} from our bound at that moment"
    )
    if abs(averaged - moment) <= reading:
        return f"{where}: these two readings cannot be told apart."
    nearer = "a running average" if averaged < moment else "the bound at that moment"
    if min(averaged, moment) > max(averaged, moment) / 2:
        return f"{where}: nearer to {nearer}, but neither reading explains it."
    return f"{where}: its train curve looks like {nearer}."


def _pilot_bounds(pilot) -> np.ndarray:
    """(S,) last training bound of every step size of a pilot, nats per datapoint; NaN if it diverged."""
    return np.asarray(pilot.bounds, float)[:, -1]


def _panels(table: pd.DataFrame, gathered: Gathered, paper: pd.DataFrame | None) -> list[dict]:
    """The comparison table in the form the template prints: experiments, their panels, their rows as text."""
    study = load(gathered.config)
    experiments = []
    for row in study.figure2:
        experiment = study.experiments[row.experiment]
        digits = DECIMALS[experiment.likelihood]
        mine = table[table["experiment"] == row.experiment]
        compared = bool(mine["paper"].notna().any())
        panels = []
        for latent_dim in row.latent_dims:
            part = mine[mine["latent_dim"] == latent_dim]
            rows = [
                {
                    "samples": count(line.samples),
                    "algorithm": ALGORITHMS[line.algorithm],
                    "split": line.split,
                    "ours": number(line.ours, digits),
                    "sd": number(line.sd, digits),
                    "replicas": line.replicas,
                    "standard_error": number(line.standard_error, 3),
                    "averaged": number(line.averaged, digits),
                    "paper": number(line.paper, digits),
                    "difference": number(line.difference, digits, sign=True),
                }
                for line in part.itertuples()
            ]
            why = explanations(part, gathered, paper) if compared and len(part) else []
            panels.append({"latent_dim": latent_dim, "rows": rows, "explanations": why})
        experiments.append(
            {"name": label(row.experiment), "id": row.experiment, "panels": panels, "compared": compared, **_convention(experiment)}
        )
    return experiments


def _convention(experiment: Experiment) -> dict:
    """How the data were prepared, in words: part of every statement of a bound."""
    values = f"grey values / {experiment.scale:g}"
    if experiment.binarise:
        values += ", thresholded at 0.5"
    elif experiment.dequantise:
        values = f"(grey values + fixed uniform noise of one level) / {experiment.scale:g}, not binarised"
    else:
        values += ", not binarised"
    return {"dataset": experiment.dataset, "likelihood": experiment.likelihood, "hidden": experiment.hidden, "values": values}


def _closeness(table: pd.DataFrame, study: Config) -> str:
    """How close the test bounds come to the paper's at the last count at which both are known, in a sentence."""
    parts = []
    for name in dict.fromkeys(row.experiment for row in study.figure2):
        rows = table[(table["experiment"] == name) & (table["split"] == "test") & table["paper"].notna()]
        if rows.empty:
            continue
        rows = rows[rows["samples"] == rows["samples"].max()]
        digits = DECIMALS[study.experiments[name].likelihood]
        sizes = rows["difference"].abs()
        worst = rows.loc[sizes.idxmax()]
        parts.append(
            f"on {label(name)}, at {count(rows['samples'].iloc[0])} samples, by a median of {number(sizes.median(), digits)} nats "
            f"over {plural(len(rows), 'curve')} (largest: {number(worst['difference'], digits, sign=True)}, "
            f"{ALGORITHMS[worst['algorithm']]} with N_z = {worst['latent_dim']})"
        )
    if not parts:
        return "There are no numbers of the paper to set beside these."
    return f"Test bounds differ from the paper's {'; '.join(parts)}."


def _order(gathered: Gathered, table: pd.DataFrame, study: Config) -> str:
    """In how many panels AEVB is above wake-sleep, here and in the paper, in a sentence; '' without both algorithms."""
    ours, theirs, steady = [], [], []
    for row in study.figure2:
        if not {"aevb", "wake_sleep"} <= set(row.algorithms):
            continue
        for latent_dim in row.latent_dims:
            curves = [
                over_seeds(replicas(gathered, row.experiment, a, latent_dim), "test").set_index("samples")["mean"]
                for a in ("aevb", "wake_sleep")
            ]
            gap = (curves[0] - curves[1]).dropna().sort_index()
            if gap.empty:
                continue
            ours.append(gap.iloc[-1] > 0)
            steady.append(bool((gap > 0).all()))
            part = table[(table["experiment"] == row.experiment) & (table["latent_dim"] == latent_dim) & (table["split"] == "test")]
            wide = part.pivot(index="samples", columns="algorithm", values="paper")
            wide = wide.dropna() if {"aevb", "wake_sleep"} <= set(wide.columns) else wide.iloc[:0]
            if len(wide):
                theirs.append(wide["aevb"].iloc[-1] > wide["wake_sleep"].iloc[-1])
    if not ours:
        return ""
    text = f"AEVB's test bound ends above wake-sleep's in {sum(ours)} of {plural(len(ours), 'panel')}"
    text += f", and is above it at every evaluation in {sum(steady)}"
    if theirs:
        text += f"; the paper's, at the last compared count, in {sum(theirs)} of {len(theirs)}"
    return text + "."


def _readings(table: pd.DataFrame) -> str:
    """Which of our train values the paper's train curve is nearer to, over all curves at their first compared count."""
    rows = table[(table["split"] == "train") & table["paper"].notna() & table["averaged"].notna()]
    if rows.empty:
        return ""
    rows = rows.sort_values("samples").groupby(["experiment", "latent_dim", "algorithm"], sort=False).first()
    nearer = (rows["averaged"] - rows["paper"]).abs() < rows["difference"].abs()
    return (
        f"At the first compared count, the paper's train curve is nearer to our averaged bound (over {short(PAPER_WINDOW)} samples) "
        f"than to our bound at that moment in {int(nearer.sum())} of {plural(len(nearer), 'curve')}."
    )


def _models(gathered: Gathered, entries, study: Config) -> str:
    """Bounds and active units of the models that Figures 4 and 5 draw, in a sentence; `entries`: (experiment, N_z)."""
    parts = []
    for name, latent_dim in entries:
        run = gathered.runs.get(f"{name}/aevb-nz{latent_dim}-seed{study.seeds[0]}")
        title = f"{label(name)}, N_z = {latent_dim}"
        if run is None:
            parts.append(f"{title}: no result")
        elif run.status == "diverged":
            parts.append(f"{title}: diverged")
        elif len(run.curve):
            last, digits = run.curve.iloc[-1], DECIMALS[run.likelihood]
            parts.append(f"{title}: {number(last['test'], digits)} nats, {last['active_units']:g} of {latent_dim} latent units active")
    return f"Test bounds of the models drawn, after {short(study.samples)} training samples: {'; '.join(parts)}."


def _curves(gathered: Gathered):
    """(curve name, runs of it) in the order of the results, those of Figures 4 and 5 included."""
    curves: dict[str, list] = {}
    for name, run in gathered.runs.items():
        curves.setdefault(name.rsplit("-seed", 1)[0], []).append(run)
    return curves.items()


def _title(run) -> dict:
    return {"experiment": label(run.experiment), "latent_dim": run.latent_dim, "algorithm": ALGORITHMS.get(run.algorithm, run.algorithm)}


def _ends(gathered: Gathered) -> list[dict]:
    """KL, active units and the gap between train and test at the end of every curve, as text."""
    rows = []
    for _, runs in _curves(gathered):
        done = [run.curve.iloc[-1] for run in runs if run.status == "completed" and len(run.curve)]
        mean = pd.DataFrame(done).mean() if done else None
        row = {**_title(runs[0]), "replicas": len(done)}
        digits = DECIMALS[runs[0].likelihood]
        for name, places in (("train", digits), ("test", digits), ("train_kl", 3), ("test_kl", 3), ("active_units", 1)):
            row[name] = number(mean[name] if done else np.nan, places)
        row["gap"] = number(mean["train"] - mean["test"] if done else np.nan, digits, sign=True)
        rows.append(row)
    return rows


def _pilots(gathered: Gathered) -> list[dict]:
    rows = []
    for name, runs in _curves(gathered):
        pilot = gathered.pilots.get(name)
        if pilot is None:
            continue
        digits = DECIMALS[runs[0].likelihood]
        bounds = zip(pilot.step_sizes, _pilot_bounds(pilot), strict=True)
        cells = {
            f"{step:g}": {"text": number(value, digits) if np.isfinite(value) else "diverged", "chosen": step == pilot.step_size}
            for step, value in bounds
        }
        rows.append({**_title(runs[0]), "cells": cells, "chosen": f"{pilot.step_size:g}", "samples": count(pilot.samples[-1])})
    return rows


def _cost(gathered: Gathered) -> tuple[list[dict], dict]:
    """Cost of every curve as text, and of the whole study as numbers."""
    rows, speeds = [], []
    for name, runs in _curves(gathered):
        pilot = gathered.pilots.get(name)
        speed = float(np.mean([run.samples_per_second for run in runs]))
        speeds += [run.samples_per_second for run in runs]
        rows.append(
            {
                **_title(runs[0]),
                "replicas": len(runs),
                "training": number(sum(run.train_seconds for run in runs) / 3600, 3),
                "evaluation": number(sum(run.evaluation_seconds for run in runs) / 3600, 3),
                "pilot": number(pilot.seconds / 3600, 3) if pilot else "–",
                "speed": f"{speed:,.0f}",
                "minutes": number(1e6 / speed / 60, 2) if speed > 0 else "–",
            }
        )
    training = sum(run.train_seconds for run in gathered.runs.values()) / 3600
    evaluation = sum(run.evaluation_seconds for run in gathered.runs.values()) / 3600
    pilots = sum(pilot.seconds for pilot in gathered.pilots.values()) / 3600
    median = float(np.median(speeds)) if speeds else np.nan
    minutes = 1e6 / median / 60 if median and np.isfinite(median) else np.nan
    total = {
        "hours": number(training + evaluation + pilots),
        "training": number(training),
        "evaluation": number(evaluation),
        "pilots": number(pilots),
        "speed": f"{median:,.0f}" if np.isfinite(median) else "–",
        "minutes": number(minutes),
        "ratio": [number(paper / minutes, 0) for paper in PAPER_MINUTES] if np.isfinite(minutes) else [],
    }
    return rows, total


def _distinct(gathered: Gathered, value) -> list[str]:
    return list(dict.fromkeys(str(value(run)) for run in gathered.runs.values()))


def _versions(run) -> str:
    try:
        return ", ".join(f"{name} {version}" for name, version in json.loads(run.versions).items())
    except (ValueError, AttributeError):
        return run.versions


def _provenance(gathered: Gathered) -> list[tuple[str, list[str]]]:
    """What made the results: name, and the distinct values over all runs."""
    return [
        ("git commit", _distinct(gathered, lambda run: run.git_commit + (" with uncommitted changes" if run.git_dirty else ""))),
        ("hash of the deciding code (SHA-256)", _distinct(gathered, lambda run: run.code_sha256)),
        ("data (SHA-256)", _distinct(gathered, lambda run: f"{run.dataset}: {run.data_sha256}")),
        ("versions", _distinct(gathered, _versions)),
        ("device", _distinct(gathered, lambda run: run.device)),
        ("processor", _distinct(gathered, lambda run: run.processor)),
        ("threads a job", _distinct(gathered, lambda run: run.threads)),
    ]


def _settings(study: Config) -> list[tuple[str, str]]:
    """The resolved configuration, one (dotted name, value) for each setting that bears on the results."""
    rows: list[tuple[str, str]] = []

    def walk(prefix: str, value) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for position, inner in enumerate(value):
                walk(f"{prefix}[{position}]", inner)
        else:
            rows.append((prefix, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))

    walk("", study.model_dump(mode="json", exclude=set(UNPRINTED)))
    return rows


def _not_run(gathered: Gathered, study: Config, paper: pd.DataFrame | None) -> list[str]:
    """What of the paper is not part of this study, as sentences."""
    sentences = ["Figure 3 of the paper (Monte Carlo EM, estimated marginal likelihood) is not part of this study."]
    if paper is not None:
        done = {
            (study.experiments[row.experiment].dataset, latent_dim, algorithm)
            for row in study.figure2
            for latent_dim in row.latent_dims
            for algorithm in row.algorithms
            if paper_curve(paper, study.experiments[row.experiment], latent_dim, algorithm, "test") is not None
        }
        theirs = paper[paper["figure"] == 2][["dataset", "latent_dim", "algorithm"]].drop_duplicates().itertuples(index=False)
        missing: dict[tuple, list] = {}
        for dataset, latent_dim, algorithm in theirs:
            if (dataset, latent_dim, algorithm) not in done:
                missing.setdefault((dataset, algorithm), []).append(latent_dim)
        if missing:
            listed = "; ".join(
                f"{label(dataset)}, {ALGORITHMS[algorithm]}: N_z = {joined(dims)}" for (dataset, algorithm), dims in missing.items()
            )
            sentences.append(f"Curves of the paper's Figure 2 without a counterpart here: {listed}.")
    drawn4 = {study.experiments[entry.experiment].dataset for entry in study.figure4}
    if set(PAPER_FIGURE4) - drawn4:
        sentences.append(
            f"Panels of the paper's Figure 4 that are not drawn: {joined(label(d) for d in PAPER_FIGURE4 if d not in drawn4)}."
        )
    drawn5 = {
        latent_dim for entry in study.figure5 if study.experiments[entry.experiment].dataset == "mnist" for latent_dim in entry.latent_dims
    }
    if set(PAPER_FIGURE5) - drawn5:
        sentences.append(
            f"Panels of the paper's Figure 5 (MNIST) that are not drawn: N_z = {joined(d for d in PAPER_FIGURE5 if d not in drawn5)}."
        )
    if study.samples < PAPER_SAMPLES:
        sentences.append(
            f"The budget, {short(study.samples)} training samples a curve, is {100 * study.samples / PAPER_SAMPLES:.2g} % "
            f"of the {short(PAPER_SAMPLES)} to which the paper's axes go: nothing here speaks about the end of its curves."
        )
    absent = [run.name for run in study.runs() if run.name not in gathered.runs]
    if absent:
        sentences.append(f"{plural(len(absent), 'configured run')} without a result: {', '.join(absent)}.")
    return sentences


def _command(study: Config) -> str:
    """The command that repeats this study, as far as its name tells."""
    known = {
        "quick": "./run",
        "paper": f"snakemake --cores all --config samples={short(study.samples)}",
        "reference": "snakemake --cores all --configfile config/reference.yaml",
    }
    return known.get(study.name, "")


def _inline(path: str | Path) -> str:
    path = Path(path)
    if path.suffix not in MEDIA_TYPES:
        raise UserError(f"the report shows SVG and PNG figures, not '{path.name}'; give it one of these")
    try:
        return f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError as error:
        raise UserError(f"cannot read the figure {path} ({error.strerror}); draw the figures first") from error


def _figures(gathered: Gathered, table: pd.DataFrame, study: Config, paths: dict) -> list[dict]:
    """Number, picture and captions of every figure."""
    spread = "one standard deviation to each side" if len(study.seeds) >= SEEDS_FOR_SD else "the range from lowest to highest"
    drawn4 = [(entry.experiment, 2) for entry in study.figure4]
    drawn5 = [(entry.experiment, latent_dim) for entry in study.figure5 for latent_dim in entry.latent_dims]
    grids4 = joined(f"{label(entry.experiment)} {entry.grid}×{entry.grid}" for entry in study.figure4)
    grids5 = joined(f"{label(entry.experiment)} {entry.grid}×{entry.grid}, N_z = {joined(entry.latent_dims)}" for entry in study.figure5)
    lost = sum(run.status == "diverged" for run in gathered.runs.values())
    stands_in = any(experiment.dataset == "digits" for experiment in study.experiments.values())
    budget = f"{short(study.samples)} training samples"
    lines = f"Lines are means over {plural(len(study.seeds), 'seed')}" + (f", bands {spread}" if len(study.seeds) > 1 else "")
    if lost:
        lines += "; a cross ends a replica that diverged"
    if table["paper"].notna().any():
        lines += "; the paper's curves, read from its PDF, lie thin and pale behind"
    captions = {
        2: {
            "title": "Bound against training samples",
            "what": f"Bound in nats per datapoint against training samples evaluated, up to {short(study.samples)}. AEVB red with circles, "
            f"wake-sleep green with triangles; train solid, test dashed. {lines}. Train is the bound on the training set at that moment.",
            "ours": " ".join(filter(None, (_order(gathered, table, study), _closeness(table, study), _readings(table)))),
            "paper": "AEVB ends above wake-sleep in every panel: MNIST with N_z = 3, 5, 10, 20, 200 (500 hidden units) and Frey Face with "
            "N_z = 2, 5, 10, 20 (200 hidden units), to 1e8 training samples.",
        },
        4: {
            "title": "Learned manifolds",
            "what": "Decoder means over z, the inverse Gaussian CDF of the cell centres of a regular grid on the unit square "
            f"({grids4}); the first coordinate grows to the right, the second upwards; 0 is black, 1 is white. "
            f"Seed {study.seeds[0]}, {budget}.",
            "ours": _models(gathered, drawn4, study),
            "paper": "The same picture for Frey Face (10×10) and MNIST (20×20). Rotation and reflection of the latent plane are "
            "arbitrary, so places in the two pictures do not correspond.",
        },
        5: {
            "title": "Random samples",
            "what": f"Draws from the prior, decoded ({grids5}). Shown are the decoder's means, not draws of pixels. "
            f"Seed {study.seeds[0]}, {budget}.",
            "ours": _models(gathered, drawn5, study),
            "paper": "10×10 random samples of MNIST models with N_z = 2, 5, 10 and 20. The draws are random, so single pictures do not "
            "correspond.",
        },
    }
    for caption in captions.values():
        if stands_in:
            caption["paper"] = f"On its own data, not on these: {caption['paper']}"
    return [{"number": key, "src": _inline(paths[key]), **captions[key]} for key in sorted(paths) if key in captions]


def render(gathered_path, paper_path, figure_paths: dict, output, template: str | Path = TEMPLATE) -> None:
    """Write the report of a study as one HTML file that refers to nothing outside itself.

    `paper_path`: the paper's curves (CSV) or None; `figure_paths`: figure number (2, 4, 5) -> SVG or PNG file.
    Raises UserError for a bad or absent file.
    """
    gathered, paper = read_gathered(gathered_path), read_paper(paper_path)
    study = load(gathered.config)
    table = comparison(gathered, paper)
    cost, total = _cost(gathered)
    pilots = _pilots(gathered)
    digits = [label(name) for name, experiment in study.experiments.items() if experiment.dataset == "digits"]
    conventions = []
    for name, experiment in study.experiments.items():
        run = next((run for run in gathered.runs.values() if run.experiment == name), None)
        sizes = {"n_train": f"{run.n_train:,}" if run else "–", "n_test": f"{run.n_test:,}" if run else "–"}
        changed = departures(experiment, study.training)
        conventions.append({"name": label(name), **sizes, **_convention(experiment), "departures": changed})
    figures = _figures(gathered, table, study, {int(key): path for key, path in figure_paths.items()})
    diverged = [
        {**_title(run), "seed": run.seed, "step_size": f"{run.step_size:g}", "samples": count(run.samples), "reason": run.reason}
        for run in gathered.runs.values()
        if run.status == "diverged"
    ]
    context = {
        "study": study,
        "budget": short(study.samples),
        "seeds": f"{plural(len(study.seeds), 'seed')} ({', '.join(map(str, study.seeds))})",
        "stand_ins": digits,
        "only_stand_ins": len(digits) == len(study.experiments),
        "runs": len(gathered.runs),
        "curves": len(list(_curves(gathered))),
        "devices": joined(_distinct(gathered, lambda run: run.device)),
        "processors": joined(_distinct(gathered, lambda run: run.processor)),
        "threads": joined(_distinct(gathered, lambda run: plural(run.threads, "thread"))),
        "conventions": conventions,
        "closeness": _closeness(table, study),
        "order": _order(gathered, table, study),
        "readings": _readings(table),
        "figures": figures,
        "undrawn": [key for key in (2, 4, 5) if key not in {figure["number"] for figure in figures}],
        "experiments": _panels(table, gathered, paper),
        "compared": bool(table["paper"].notna().any()),
        "pilots": pilots,
        "pilot_steps": list(dict.fromkeys(step for pilot in pilots for step in pilot["cells"])),
        "ends": _ends(gathered),
        "diverged": diverged,
        "cost": cost,
        "total": total,
        "window": short(PAPER_WINDOW),
        "paper_minutes": PAPER_MINUTES,
        "paper_samples": short(PAPER_SAMPLES),
        "not_run": _not_run(gathered, study, paper),
        "settings": _settings(study),
        "provenance": _provenance(gathered),
        "command": _command(study),
    }
    try:
        source = Path(template).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the report's template {template} ({error.strerror}); restore it or run from a checkout") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(source).render(**context)
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
