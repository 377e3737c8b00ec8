"""Our curves beside the paper's: which belong together, how far apart they are, and which
reading of the paper comes closest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .. import data
from ..config import TRADEOFF, Config, Experiment, Run, load
from ..core.errors import Damaged
from ..core.files import atomic
from ..core.words import short
from ..results import Gathered, RunResult

# The likelihood under which the paper's numbers were obtained; other models of the same data are
# not comparable.
PAPER_LIKELIHOODS = {"mnist": "bernoulli", "frey": "gaussian"}

# The author's loop evaluated about every so many samples; its train curve is most likely the mean
# bound in between.
PAPER_WINDOW = 240_000

# What of ours is set beside a curve of the paper: bound at that moment, averaged minibatch bounds,
# and the estimates of log p(x).
READINGS = {
    (2, "train"): ("moment", "average"),
    (2, "test"): ("moment",),
    **{(3, s): ("importance", "hmc") for s in ("train", "test")},
}

# Columns of the tables below.
CURVE = ["figure", "experiment", "latent_dim", "n_train", "algorithm", "split", "reading"]
BESIDE = ["samples", "ours", "sd", "seeds", "paper", "difference"]
DISTANCES = [*CURVE, "study", "seeds", "first", "last", "rms", "sd", "mean", "largest", "at"]
TEXTS = {
    "exceptions",
    "diverged",
    "panel",
    "side",
    "interval",
    "study",
    "link",
}  # that may be empty in every row
ABLATION = [
    "experiment",
    "algorithm",
    "latent_dim",
    "reading",
    "seeds",
    "diverged",
    "last",
    "test",
    "train",
    "average",
]
ABLATION += ["rms", "gain", "closest"]


def in_figure3(study: Config, experiment: str) -> bool:
    return study.figure3 is not None and experiment in study.figure3.experiments


def panels_of(study: Config, figure: int) -> list[tuple[str, int, list[str]]]:
    """The panels of Figure 2 or 3: experiment, N_z and algorithms."""
    if figure == 2:
        return [
            (row.experiment, latent_dim, row.algorithms)
            for row in study.figure2
            for latent_dim in row.latent_dims
        ]
    part = study.figure3
    return [(name, part.latent_dim, part.algorithms) for name in part.experiments] if part else []


def seeds_of(study: Config, experiment: str) -> list[int]:
    """The seeds of every curve of `experiment`."""
    return (study.figure3.seeds if in_figure3(study, experiment) else None) or study.seeds


def training_points(experiment: Experiment) -> int:
    """N_train: datapoints that the models of an experiment are trained on."""
    return experiment.n_train or data.DATASETS[experiment.dataset].n_train


def paper_curve(
    paper: pd.DataFrame, study: Config, name: str, latent_dim: int, algorithm: str, split: str
) -> pd.DataFrame | None:
    """The paper's curve for experiment `name` of a study (columns samples and value in nats per
    datapoint, by samples), or None.

    From its Figure 3 (log p(x)) if the experiment is one of the study's Figure 3, else from its
    Figure 2 (bound). None also when the experiment models other values than the paper did
    (binarised, dequantised or under another likelihood), or was trained on another number of
    datapoints: such values differ by far more than the effects shown.
    """
    experiment, third = study.experiments[name], in_figure3(study, name)
    fits = (
        PAPER_LIKELIHOODS.get(experiment.dataset) == experiment.likelihood
        and not experiment.binarise
        and not experiment.dequantise
    )
    if not fits or not (
        third or training_points(experiment) == data.DATASETS[experiment.dataset].n_train
    ):
        return None
    chosen = paper[
        (paper["figure"] == (3 if third else 2))
        & (paper["dataset"] == experiment.dataset)
        & (paper["latent_dim"] == latent_dim)
        & (paper["algorithm"] == algorithm)
        & (paper["split"] == split)
    ]
    chosen = chosen[chosen["n_train"] == training_points(experiment)] if third else chosen
    return (
        None
        if chosen.empty
        else chosen[["samples", "value"]].sort_values("samples", ignore_index=True)
    )


def run_name(run: RunResult) -> str:
    return Run(run.experiment, run.algorithm, run.latent_dim, run.seed).name


def replicas(
    gathered: Gathered, experiment: str, algorithm: str, latent_dim: int
) -> list[RunResult]:
    """The runs of one curve, one for each seed; their budgets may differ."""
    curve = (experiment, algorithm, latent_dim)
    return [
        run
        for run in gathered.runs.values()
        if (run.experiment, run.algorithm, run.latent_dim) == curve
    ]


def shown(gathered: Gathered, run: RunResult) -> pd.DataFrame:
    """What figures show of a run, one row an evaluation: samples, seconds, train, test, train_se
    and test_se.

    Bounds (with the other columns of CURVE); for a run of Figure 3 log p(x) by importance sampling,
    with the other columns of EVIDENCE by split (train_hmc, test_hmc, ...), and nothing if it
    diverged.
    """
    if not in_figure3(load(gathered.config), run.experiment):
        return run.curve
    if run_name(run) not in gathered.evidence:
        return run.curve.assign(train=np.nan, test=np.nan)
    table = gathered.evidence[run_name(run)].frame
    seconds = table.groupby("samples")["seconds"].first()
    wide = table.drop(columns="seconds").pivot(index="samples", columns="split")
    wide.columns = [f"{split}_{name}".replace("_importance", "") for name, split in wide.columns]
    return wide.assign(seconds=seconds).reset_index()


def sound(run: RunResult) -> pd.DataFrame:
    """The evaluations of a run without that at which it was stopped, whose bounds ran away."""
    return run.curve if run.status == "completed" else run.curve[run.curve["samples"] < run.samples]


def lasting(study: Config, runs: list[RunResult]) -> list[RunResult]:
    """The runs that did not diverge, and of those that go on, those that did so after an
    evaluation beyond the budget of all seeds: what becomes of one later bears on no mean up to
    there."""

    def came_through(run: RunResult) -> bool:
        shared = (
            study.extended is not None
            and "+" not in run.experiment
            and not in_figure3(study, run.experiment)
        )
        return shared and bool((sound(run)["samples"] >= study.samples).any())

    return [run for run in runs if run.status == "completed" or came_through(run)]


def completed(
    gathered: Gathered, experiment: str, algorithm: str, latent_dim: int
) -> dict[int, pd.DataFrame]:
    """`shown` of the `lasting` replicas of one curve, by seed, without evaluations at which one
    was stopped."""
    runs = lasting(load(gathered.config), replicas(gathered, experiment, algorithm, latent_dim))
    return {
        run.seed: shown(gathered, run) if run.status == "completed" else sound(run) for run in runs
    }


def aligned(curves: dict[int, pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The curves of several seeds at each count of samples at which one of them was evaluated,
    as far as each goes (columns seed, samples and `columns`): of seeds with other budgets few
    counts are the same."""
    counts = np.unique(np.concatenate([curve["samples"] for curve in curves.values()]))
    frames = []
    for seed, curve in curves.items():
        mine = counts[(counts >= curve["samples"].iloc[0]) & (counts <= curve["samples"].iloc[-1])]
        same = len(mine) == len(curve)  # nothing between its own evaluations
        found = (
            curve[columns].reset_index(drop=True)
            if same
            else pd.DataFrame({name: at(curve, name, mine) for name in columns})
        )
        frames.append(found.assign(seed=seed, samples=mine))
    return pd.concat(frames, ignore_index=True)


def at(curve: pd.DataFrame, column: str, samples):
    """A column of a curve at `samples` (a number or an array), between its points in the
    logarithm of the samples; NaN outside them."""
    found = np.interp(
        np.log(samples),
        np.log(curve["samples"].to_numpy(float)),
        curve[column],
        left=np.nan,
        right=np.nan,
    )
    return float(found) if np.ndim(samples) == 0 else found


def averaged_bound(curve: pd.DataFrame, samples, window: float = PAPER_WINDOW):
    """Mean of the minibatch bounds over the last `window` training samples before `samples` (a
    number or an array), nats per datapoint.

    From the column `running` of a run's curve, which holds that mean between neighbouring
    evaluations: within one interval nothing finer is known, and before the first sample and after
    the last there is nothing.
    """
    ends = np.concatenate([[0.0], curve["samples"].to_numpy(float)])
    sums = np.concatenate([[0.0], np.cumsum(curve["running"].to_numpy(float) * np.diff(ends))])
    start = np.maximum(np.asarray(samples) - window, 0.0)
    found = (np.interp(samples, ends, sums, right=np.nan) - np.interp(start, ends, sums)) / (
        samples - start
    )
    return float(found) if np.ndim(samples) == 0 else found


def _read(curve: pd.DataFrame, split: str, reading: str, samples: np.ndarray) -> np.ndarray:
    """What `reading` (see READINGS) makes of one replica's curve at `samples`."""
    if reading == "average":
        return averaged_bound(curve, samples)
    return at(curve, f"{split}_hmc" if reading == "hmc" else split, samples)


def _beside(
    curves: list[pd.DataFrame],
    theirs: pd.DataFrame,
    split: str,
    reading: str,
    until: float = np.inf,
) -> pd.DataFrame:
    """Replicas beside a curve of the paper, at those of its points that ours reach, as far as
    `until`, and where one of ours ends.

    Ours is evaluated more often, so it is ours that is interpolated but for the ends. Columns:
    samples, ours (mean over the replicas that reach this count), sd (over them; NaN for one), seeds
    (how many), paper and difference (ours - paper), nats per datapoint. No rows without a shared
    range.
    """
    low = max(theirs["samples"].iloc[0], min(curve["samples"].iloc[0] for curve in curves))
    high = min(
        theirs["samples"].iloc[-1], max(curve["samples"].iloc[-1] for curve in curves), until
    )
    points = theirs["samples"][theirs["samples"].between(low, high)]
    ends = [
        end
        for end in (*(curve["samples"].iloc[-1] for curve in curves), high)
        if low <= end <= high
    ]
    samples = np.unique([*points, *ends]).astype(float)
    ours = pd.DataFrame([_read(curve, split, reading, samples) for curve in curves])
    beside = pd.DataFrame(
        {"samples": samples, "ours": ours.mean(), "sd": ours.std(ddof=1), "seeds": ours.count()}
    )
    beside["paper"] = at(theirs, "value", samples)
    return beside[beside["ours"].notna()].assign(
        difference=lambda frame: frame["ours"] - frame["paper"]
    )  # log p(x) may be missing


def _average(beside: pd.DataFrame, values: pd.Series) -> float:
    """Mean of `values` at the counts of `_beside` over the log axis of the samples, by the
    trapezoid rule; NaN without any."""
    steps = np.diff(np.log(beside["samples"])) if len(beside) > 1 else np.ones(1)
    weights = (np.append(steps, 0) + np.append(0, steps))[: len(beside)]
    return float(np.average(values, weights=weights)) if len(beside) else np.nan


def _rms(beside: pd.DataFrame) -> float:
    return _average(beside, beside["difference"] ** 2) ** 0.5


def differences(gathered: Gathered, paper: pd.DataFrame) -> pd.DataFrame:
    """Ours minus the paper's along every curve of Figures 2 and 3 that both have.

    One row a curve, reading and count: figure, experiment, latent_dim, n_train (Figure 3),
    algorithm, split, reading, and the columns of `_beside`. reading: Figure 2 "moment", the bound
    at that count, and for train also "average" (`averaged_bound`); Figure 3 "importance" (what it
    shows) and "hmc" (the paper's estimator).
    """
    study, rows = load(gathered.config), []
    for figure in (2, 3):
        for experiment, latent_dim, algorithms in panels_of(study, figure):
            for algorithm in algorithms:
                curves = list(completed(gathered, experiment, algorithm, latent_dim).values())
                for split in ("train", "test") if curves else ():
                    theirs = paper_curve(paper, study, experiment, latent_dim, algorithm, split)
                    for reading in READINGS[figure, split] if theirs is not None else ():
                        n_train = (
                            training_points(study.experiments[experiment])
                            if figure == 3
                            else np.nan
                        )
                        place = {
                            "figure": figure,
                            "experiment": experiment,
                            "latent_dim": latent_dim,
                            "n_train": n_train,
                        }
                        place |= {"algorithm": algorithm, "split": split, "reading": reading}
                        rows.append(
                            _beside(curves, theirs, split, reading).assign(**place)[
                                [*place, *BESIDE]
                            ]
                        )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=[*CURVE, *BESIDE])


def distances(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """How far our curves are from the paper's: one row a curve and reading of `differences`, nats
    per datapoint; where some seeds go on, a second one for the samples beyond the others. Figure 3
    is that of the first of (gathered, *others) that has it.

    CURVE; study (its name); seeds; first and last (the shared range of samples); rms (root mean
    square over the log axis of the samples of the difference between our mean and the paper's), sd
    (the same of the spread over seeds, where two reach, to hold it against), mean (of the
    difference), largest (the difference that is largest in size) and at (where it is).
    """
    rows = []
    found = [
        differences(study, paper).assign(study=study.config["name"])
        for study in (gathered, *others)
    ]
    third = next(
        (part for part in (table[table["figure"] == 3] for table in found) if len(part)),
        found[0][:0],
    )
    whole = pd.concat(
        [part for part in (found[0][found[0]["figure"] == 2], third) if len(part)] or [found[0]]
    )
    for (*place, study, seeds), part in whole.groupby(
        [*CURVE, "study", "seeds"], sort=False, dropna=False
    ):
        worst = part.loc[part["difference"].abs().idxmax()]
        about = {
            "study": study,
            "seeds": seeds,
            "first": part["samples"].min(),
            "last": part["samples"].max(),
        }
        spread = part[part["sd"].notna()]
        size = {
            "rms": _rms(part),
            "sd": _average(spread, spread["sd"] ** 2) ** 0.5,
            "mean": _average(part, part["difference"]),
        }
        rows.append(
            {
                **dict(zip(CURVE, place, strict=True)),
                **about,
                **size,
                "largest": worst["difference"],
                "at": worst["samples"],
            }
        )
    return pd.DataFrame(rows, columns=DISTANCES)


def ablation(gathered: Gathered, paper: pd.DataFrame) -> pd.DataFrame:
    """Which reading of the paper comes closest to its curves: variants BASE+READING beside BASE
    itself, the reading "default".

    One row a curve and reading, and one with latent_dim empty for all panels of an experiment and
    algorithm together: experiment, algorithm, latent_dim, reading, seeds, diverged (replicas), last
    (largest count compared at, the same for all readings of a curve; seeds are the same too); test,
    train and average: rms distances (see `distances`) of the test bound, the train bound at that
    moment and its running average; rms, of test and average together (the paper's train curve is
    most likely an average); gain, by how much that is less than the default's; closest, whether it
    is the least. NaN where every replica diverged or the shared range is empty. Panels count alike
    in the rows for all of them.
    """
    study, rows = load(gathered.config), []
    readings: dict[
        tuple[str, str, int], dict[str, str]
    ] = {}  # the experiments by curve and reading
    for run in gathered.runs.values():
        base, _, variant = run.experiment.partition("+")
        if variant and not TRADEOFF.fullmatch(variant):
            readings.setdefault((base, run.algorithm, run.latent_dim), {"default": base})[
                variant
            ] = run.experiment
    for (base, algorithm, latent_dim), names in readings.items():
        runs = {
            name: replicas(gathered, experiment, algorithm, latent_dim)
            for name, experiment in names.items()
        }
        seeds = set.intersection(*({run.seed for run in part} for part in runs.values()))
        runs = {name: [run for run in part if run.seed in seeds] for name, part in runs.items()}
        done = {name: [sound(run) for run in lasting(study, part)] for name, part in runs.items()}
        last = min(
            (
                max(curve["samples"].iloc[-1] for curve in curves)
                for curves in done.values()
                if curves
            ),
            default=np.nan,
        )
        for name, curves in done.items():
            away = dict.fromkeys(("test", "train", "average"), np.nan)
            for key, split, reading in (
                ("test", "test", "moment"),
                ("train", "train", "moment"),
                ("average", "train", "average"),
            ):
                theirs = paper_curve(paper, study, base, latent_dim, algorithm, split)
                if curves and theirs is not None:
                    away[key] = _rms(_beside(curves, theirs, split, reading, last))
            place = {
                "experiment": base,
                "algorithm": algorithm,
                "latent_dim": latent_dim,
                "reading": name,
            }
            rows.append(
                {
                    **place,
                    "seeds": len(seeds),
                    "diverged": len(runs[name]) - len(curves),
                    "last": last,
                    **away,
                }
            )
    if not rows:
        return pd.DataFrame(columns=ABLATION)
    table = pd.DataFrame(rows)
    pooled = table.groupby(["experiment", "algorithm", "reading"], sort=False, as_index=False)
    distances_of = {
        key: (key, lambda part: float(np.sqrt((part**2).mean(skipna=False))))
        for key in ("test", "train", "average")
    }
    pooled = pooled.agg(
        seeds=("seeds", "min"), diverged=("diverged", "sum"), last=("last", "min"), **distances_of
    )
    table = pd.concat([table, pooled.assign(latent_dim=np.nan)], ignore_index=True)
    table["rms"] = np.sqrt((table["test"] ** 2 + table["average"] ** 2) / 2)
    curves = [table["experiment"], table["algorithm"], table["latent_dim"].fillna(0)]
    default = table["rms"].where(table["reading"] == "default").groupby(curves).transform("max")
    table["gain"] = default - table["rms"]
    table["closest"] = table["rms"] == table.groupby(curves)["rms"].transform("min")
    return table[ABLATION]


def last_shared(study: Config, runs: list[RunResult]) -> pd.DataFrame:
    """One row for each of the `lasting` runs: its last evaluation before the shortest of them
    ends (no rows if all diverged)."""
    done = [sound(run) for run in lasting(study, runs)]
    end = min((curve["samples"].iloc[-1] for curve in done), default=0)
    return pd.DataFrame(
        [curve[curve["samples"] <= end].iloc[-1] for curve in done],
        columns=runs[0].curve.columns,
        dtype=float,
    )


def units(gathered: Gathered) -> pd.DataFrame:
    """What the latent variables carry at the end of every curve with a bound (where some seeds go
    on, of the others'), one row each.

    experiment, algorithm, latent_dim, seeds (that did not diverge), samples (of the evaluation);
    train_kl, test_kl (nats per datapoint) and active_units: mean over these seeds, and NAME_low,
    NAME_high: least and most; diverged: seed, samples and reason of each replica that stopped.
    """
    rows, curves, study = [], {}, load(gathered.config)
    for run in gathered.runs.values():
        if run.algorithm != "mcem":
            curves.setdefault((run.experiment, run.algorithm, run.latent_dim), []).append(run)
    for place, runs in curves.items():
        done = last_shared(study, runs)
        row = {
            **dict(zip(("experiment", "algorithm", "latent_dim"), place, strict=True)),
            "seeds": len(done),
        }
        row["samples"] = done["samples"].max()
        for name in ("train_kl", "test_kl", "active_units"):
            row |= {
                name: done[name].mean(),
                f"{name}_low": done[name].min(),
                f"{name}_high": done[name].max(),
            }
        lost = [
            f"seed {run.seed} at {short(run.samples)}: {run.reason}"
            for run in runs
            if run.status == "diverged"
        ]
        rows.append({**row, "diverged": "; ".join(lost)})
    return pd.DataFrame(rows)


def tradeoff(gathered: Gathered) -> pd.DataFrame:
    """L draws against minibatches of M at equal cost: one row a pair, experiment, latent_dim,
    draws, batch_size, seeds, samples (datapoints seen, of which draws x samples is the cost),
    test (mean over seeds of the test bound there, nats per datapoint), sd over seeds, and
    seconds of training (mean)."""
    study, rows = load(gathered.config), []
    runs = study.tradeoff_runs()
    seeds = {run.seed for run in runs}
    for run in dict.fromkeys(run._replace(seed=0) for run in runs):
        options = study.training_of(run.experiment)
        samples = (
            min(study.tradeoff.samples, study.samples) / options.draws
        )  # beyond which the study's own L and M may go on
        curves = completed(gathered, run.experiment, "aevb", run.latent_dim)
        ends = [
            curve.iloc[(curve["samples"] - samples).abs().argmin()]
            for seed, curve in curves.items()
            if seed in seeds
        ]
        if ends:
            ends = pd.DataFrame(ends)
            row = {
                "experiment": run.experiment.partition("+")[0],
                "latent_dim": run.latent_dim,
                "draws": options.draws,
            }
            row |= {
                "batch_size": options.batch_size,
                "seeds": len(ends),
                "samples": ends["samples"].mean(),
            }
            rows.append(
                row
                | {
                    "test": ends["test"].mean(),
                    "sd": ends["test"].std(),
                    "seconds": ends["seconds"].mean(),
                }
            )
    columns = [
        "experiment",
        "latent_dim",
        "draws",
        "batch_size",
        "seeds",
        "samples",
        "test",
        "sd",
        "seconds",
    ]
    return pd.DataFrame(rows, columns=columns)


def variances(gathered: Gathered) -> pd.DataFrame:
    """The tables of the variance study below each other, with the experiment of their model."""
    tables = [
        table.frame.assign(experiment=gathered.runs[name].experiment)
        for name, table in gathered.variance.items()
    ]
    columns = [
        "experiment",
        "latent_dim",
        "samples",
        "estimator",
        "part",
        "variance",
        "variance_se",
        "ratio",
        "ratio_se",
        "squared_norm",
    ]
    return (
        pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    )


def read(path: str | Path) -> pd.DataFrame:
    """A table that `write` wrote, its texts empty where they were. Raises UserError if it is
    none."""
    try:
        table = pd.read_csv(path)
    except ValueError as error:  # that of pandas' parser, and what is no UTF-8
        raise Damaged(path, f"not a table: {type(error).__name__}") from error
    texts = [
        name
        for name in table
        if name in TEXTS or table[name].dtype == object or table[name].dtype == "string"
    ]
    return table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV, numbers to six figures. Raises UserError."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
