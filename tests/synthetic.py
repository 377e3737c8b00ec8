"""Made-up results for the tests: studies, runs, pilots and tables with numbers known by hand."""

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aevb import config, results
from aevb.core.run import Job
from aevb.data import DATASETS
from aevb.pipeline import plan, work
from aevb.report.style import write
from aevb.results.curves import in_figure3
from aevb.studies import STUDIES, planning
from aevb.studies.estimators import COLUMNS as ESTIMATORS
from aevb.studies.figure3 import EVIDENCE
from aevb.studies.figure4 import unfolding

PAPER = Path(__file__).parents[1] / "report" / "paper_curves.csv"
PIXELS = {"mnist": 784, "frey": 560, "digits": 64}
GRID = np.array([100_000, 158_500, 251_200, 398_100, 631_000, 1_000_000])

# Offsets of the synthetic test bounds from the paper's curve, by seed: the mean of seeds 0 and 1 is
# +1.
OFFSETS = {0: 0.0, 1: 2.0}

STUDY = {
    "name": "synthetic",
    "samples": 1e6,
    "seeds": [0, 1],
    "experiments": {
        "mnist": {"dataset": "mnist", "likelihood": "bernoulli", "hidden": 500},
        "frey": {"dataset": "frey", "likelihood": "gaussian", "hidden": 200},
    },
    "evaluation": {"points_per_decade": 5},
    "figure2": [
        {"experiment": "mnist", "latent_dims": [3, 5]},
        {"experiment": "frey", "latent_dims": [2]},
    ],
    "figure4": [{"experiment": "frey", "grid": 3}, {"experiment": "mnist", "grid": 4}],
    "figure5": [{"experiment": "mnist", "latent_dims": [2, 5], "grid": 3}],
}

DIGITS = {
    "name": "quick",
    "samples": 1e6,
    "seeds": [0],
    "experiments": {
        "digits_bernoulli": {
            "dataset": "digits",
            "likelihood": "bernoulli",
            "hidden": 10,
            "scale": 16,
        }
    },
    "evaluation": {"points_per_decade": 5},
    "figure2": [{"experiment": "digits_bernoulli", "latent_dims": [2, 3]}],
    "figure4": [{"experiment": "digits_bernoulli", "grid": 3}],
    "figure5": [{"experiment": "digits_bernoulli", "latent_dims": [2], "grid": 3}],
}


# The same with Figure 3 and the study of estimators.
FULL = {
    **STUDY,
    "experiments": {
        **STUDY["experiments"],
        "mnist_1000": {
            "dataset": "mnist",
            "likelihood": "bernoulli",
            "hidden": 100,
            "n_train": 1000,
        },
        "mnist_50000": {"dataset": "mnist", "likelihood": "bernoulli", "hidden": 100},
    },
    "figure3": {"experiments": ["mnist_1000", "mnist_50000"], "samples": 6e7},
    "estimators": {"experiment": "mnist", "latent_dims": [2, 3, 5], "replicates": 4},
}
FULL_DIGITS = {
    **DIGITS,
    "experiments": {
        **DIGITS["experiments"],
        "digits_300": {**DIGITS["experiments"]["digits_bernoulli"], "n_train": 300},
    },
    "figure3": {"experiments": ["digits_300"], "latent_dim": 2, "samples": 3e5},
    "evidence": {"datapoints": 100},
    "estimators": {"experiment": "digits_bernoulli", "latent_dims": [2, 3]},
}

# What the appendix-D estimator adds in the synthetic evidence, and seconds for 1e6 training
# samples.
BIAS = {"train": 0.3, "test": 0.5}
SECONDS = {"aevb": 20.0, "wake_sleep": 30.0, "mcem": 60.0}


def synthetic_run(study, run, number):
    """A made-up run: the paper's test curve (or a straight line) plus an offset, and random
    decoder weights."""
    experiment = study.experiment(run.experiment)
    if in_figure3(study, run.experiment):
        return synthetic_run3(study, run)
    paper = pd.read_csv(PAPER)
    chosen = paper[
        (paper.figure == 2)
        & (paper.dataset == experiment.dataset)
        & (paper.latent_dim == run.latent_dim)
    ]
    chosen = chosen[(chosen.algorithm == run.algorithm) & (chosen.split == "test")].sort_values(
        "samples"
    )
    test = (
        np.interp(np.log(GRID), np.log(chosen.samples), chosen.value)
        if len(chosen)
        else 10 * np.log(GRID) - 250
    )
    # strictly rising, also below the paper's first point
    test = test + OFFSETS[run.seed] + np.arange(len(GRID)) * 1e-3
    curve = pd.DataFrame(
        {
            "samples": GRID,
            "train": test + 3,
            "test": test,
            "train_se": 0.03,
            "test_se": 0.04,
            "train_draws": 1,
            "test_draws": 4,
            "running": test - 20,
        }
    )
    curve = curve.assign(
        train_kl=12.5, test_kl=0.01 if run.algorithm == "wake_sleep" else 11.5, active_units=2.0
    )
    curve = curve.assign(seconds=GRID * 3.6e-4)[list(results.CURVE)]
    random = np.random.RandomState(number)
    outputs = PIXELS[experiment.dataset] * (2 if experiment.likelihood == "gaussian" else 1)
    shapes = {
        "hidden.weight": (run.latent_dim, 7),
        "hidden.bias": 7,
        "output.weight": (7, outputs),
        "output.bias": outputs,
    }
    attributes = synthetic_attributes(experiment, run, int(GRID[-1]))
    weights = {
        f"decoder.{name}": random.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return results.RunResult(attributes, curve, weights)


def synthetic_attributes(experiment, run, samples):
    """The attributes of a completed run, as results.ATTRIBUTES lists them."""
    model = {
        "experiment": run.experiment,
        "dataset": experiment.dataset,
        "likelihood": experiment.likelihood,
        "algorithm": run.algorithm,
        "latent_dim": run.latent_dim,
        "hidden": experiment.hidden,
        "n_train": 1234,
        "n_test": 567,
        "seed": run.seed,
        "step_size": 0.02,
    }
    end = {"status": "completed", "reason": "", "samples": samples}
    origin = {
        "schema": results.SCHEMA,
        "config": "{}",
        "data_sha256": "d" * 64,
        "code_sha256": "c" * 64,
        "code_modules": "{}",
        "git_commit": "abc123",
        "git_dirty": False,
        "versions": json.dumps({"torch": "9.8.7"}),
        "device": "cpu",
        "processor": "synthetic",
        "threads": 1,
    }
    cost = {"train_seconds": 360.0, "evaluation_seconds": 36.0, "samples_per_second": 5000.0}
    return {**model, **end, **origin, **cost}


def synthetic_run3(study, run):
    """A made-up run of Figure 3, evaluated at counts that its algorithm can reach; seed 1 takes
    a tenth more time."""
    experiment, budget = study.experiments[run.experiment], STUDIES["figure3"].budget(study)
    unit = 15 * study.n_train(run.experiment) if run.algorithm == "mcem" else 100
    wanted = np.unique(
        np.concatenate([budget * np.array([0.005, 1 / 60, 0.05]), np.linspace(0.1, 1, 10) * budget])
    )
    samples = np.unique(np.maximum(np.round(wanted / unit), 1).astype(int) * unit)
    seconds = samples * 1e-6 * SECONDS[run.algorithm] * (1 + 0.1 * run.seed)
    curve = pd.DataFrame({name: np.nan for name in results.CURVE}, index=range(len(samples)))
    curve = curve.assign(samples=samples, seconds=seconds, running=-250.0)
    if run.algorithm != "mcem":
        curve = curve.assign(
            train=-150.0,
            test=-151.0,
            train_se=0.03,
            test_se=0.04,
            train_draws=1,
            test_draws=4,
            train_kl=9.0,
            test_kl=8.0,
            active_units=3.0,
        )
    attributes = synthetic_attributes(experiment, run, int(samples[-1]))
    return results.RunResult({**attributes, "n_train": study.n_train(run.experiment)}, curve)


def synthetic_evidence(study, run, result):
    """Made-up log p(x) of a run of Figure 3: the paper's curve (where it has none, a rising one)
    plus an offset."""
    samples, frames, paper = result.curve["samples"].to_numpy(float), [], pd.read_csv(PAPER)
    for split in ("train", "test"):
        chosen = paper[
            (paper.figure == 3)
            & (paper.n_train == result.n_train)
            & (paper.algorithm == run.algorithm)
        ]
        chosen = chosen[chosen.split == split].sort_values("samples")
        value = 20 * np.log10(samples) - 300
        if len(chosen):
            rise = np.minimum(0, np.log(samples / chosen.samples.iloc[0])) * 25
            value = np.interp(np.log(samples), np.log(chosen.samples), chosen.value) + rise
        value = value + OFFSETS[run.seed]
        frame = pd.DataFrame(
            {
                "samples": samples,
                "seconds": result.curve["seconds"],
                "split": split,
                "importance": value,
            }
        )
        frame = frame.assign(
            importance_se=0.02,
            hmc=value + BIAS[split],
            hmc_se=0.05,
            quadrature=np.nan,
            efficiency=0.4,
            khat_bad=0.01,
        )
        frame = frame.assign(
            quadrature_error=1e-4, divergences=2.0, acceptance=0.91, rhat=1.01, chain_ess=33.0
        )
        frame.loc[len(frame) - 1, "quadrature"] = value[-1] + (0.01 if split == "train" else -0.03)
        frames.append(frame)
    return results.Table(
        pd.concat(frames, ignore_index=True)[list(EVIDENCE)],
        {"config": "{}", "seconds": 180.0},
    )


def synthetic_estimators(study, run):
    """Made-up biases of a model: they fall with the number of samples and grow with N_z."""
    rows = []
    for data in ("test", "simulated"):
        sizes = {
            "hmc_kde": 4,
            "hmc_gaussian": 9,
            "importance": -0.5,
            "importance_hmc": -0.2,
            "ais": -1.0,
            "ais_backward": 1.0,
        }
        for estimator, size in sizes.items():
            for samples in (
                study.estimators.draws if estimator != "ais_backward" or data == "simulated" else ()
            ):
                scale = run.latent_dim**2 / samples**0.7
                place = {
                    "latent_dim": run.latent_dim,
                    "data": data,
                    "estimator": estimator,
                    "samples": samples,
                }
                graded = {
                    "bias": size * scale,
                    "bias_se": 0.05 * abs(size) * scale,
                    "spread": 0.6 * abs(size) * scale,
                    "seconds": 0.01,
                }
                truth = "quadrature" if run.latent_dim <= 3 else "ais, 10000 samples"
                rows.append(
                    {
                        **place,
                        **graded,
                        "reference": truth,
                        "reference_value": -130.0,
                        "reference_se": 0.01,
                    }
                )
    return results.Table(pd.DataFrame(rows)[list(ESTIMATORS)], {"config": "{}", "seconds": 90.0})


def synthetic_encoded(study, run, number):
    """Made-up encoded test points: draws of the prior, with digits or frames, and images of grey
    boxes on black."""
    dataset, random = study.experiment(run.experiment).dataset, np.random.RandomState(number)
    what, z = "frame" if dataset == "frey" else "digit", random.standard_normal((60, 2))
    rows, columns = DATASETS[dataset].shape
    images = np.zeros((60, rows, columns), np.uint8)
    grey = 140 + np.arange(60, dtype=np.uint8)
    images[:, rows // 4 : -(rows // 4), columns // 4 : -(columns // 4)] = grey[:, None, None]
    frame = pd.DataFrame(
        {"z1": z[:, 0], "z2": z[:, 1], "label": np.arange(60.0) % (1000 if what == "frame" else 10)}
    )
    return results.Table(
        frame,
        {
            "config": json.dumps({"points": 60, "label": what}),
            "seconds": 1.0,
            "code_sha256": "e" * 64,
            "git_commit": "abc123",
            "git_dirty": False,
        },
        {"images": images.reshape(60, -1)},
    )


def diverge(run, value=-1e9):
    """The run as it would be had it diverged at its fourth evaluation with a bound of `value`."""
    run.curve = run.curve.iloc[:4].copy()
    run.curve.loc[3, ["train", "test"]] = value
    run.attributes.update(status="diverged", reason="the bound ran away", samples=int(GRID[3]))
    run.weights = {}
    return run


def synthetic_pilot(run):
    """A made-up pilot of the curve of `run`: the largest of three step sizes diverged."""
    steps = np.array([0.01, 0.02, 0.1])
    bounds = np.array([[-300.0, -215.25], [-290.0, -210.5], [-400.0, np.nan]])
    who = (run.experiment, run.algorithm, run.latent_dim, 0)
    return results.Pilot(*who, 0.02, steps, GRID[:2], bounds, 72.0)


def synthetic_baseline(values):
    """A table of a model that ignores z, of `values` by split."""
    frame = pd.DataFrame({"split": list(values), "value": list(values.values())})
    return results.Table(frame, {"config": "{}", "seconds": 1.0})


def synthetic_tables(study, run, number, result):
    """Made-up tables of what the studies measure on a run, by kind."""
    made = {}
    if in_figure3(study, run.experiment):
        made["evidence"] = synthetic_evidence(study, run, result)
    if run in STUDIES["estimators"].models(study):
        made["estimators"] = synthetic_estimators(study, run)
    if run in STUDIES["figure4"].drawn(study):
        made["encoded"] = synthetic_encoded(study, run, number)
    if run in STUDIES["figure4"].along(study):
        table = synthetic_encoded(study, run, number)
        half = unfolding.reach(table.frame)
        made["unfolding"] = results.Table(
            table.frame, table.attributes, {"tiles": unfolding.tiles(result, half)}
        )
    if result.status == "diverged":  # as the studies have it: no rows
        made = {
            kind: results.Table(table.frame[:0], table.attributes) for kind, table in made.items()
        }
    return made


@functools.cache
def _picture(name, suffix):
    """A small figure, another for each name, as a file of that kind: to draw the real ones takes
    seconds, and test_figures.py looks at them."""
    with tempfile.TemporaryDirectory() as folder:
        figure = Figure(figsize=(2, 1))
        figure.subplots().set_title(name)
        write(figure, [path := Path(folder, f"picture{suffix}")])
        return path.read_bytes()


def pictures(study, folder, suffix):
    """A stand-in for each figure of a study, by name: paths in `folder`."""
    paths = {name: folder / f"{name}{suffix}" for name in plan.figures(study)}
    for name, path in paths.items():
        path.write_bytes(_picture(name, suffix))
    return paths


def build(folder, raw=None, change=None, baselines=None):
    """Write synthetic runs and pilots and gather them; `change(name, run)` may replace a run.

    `baselines`: bounds of models that ignore z, experiment -> split -> value.
    """
    study = config.load(STUDY if raw is None else raw)
    runs, pilots, tables = {}, {}, {}

    def write(kind, name, table):
        paths = tables.setdefault(kind, {})
        paths[name] = folder / f"{kind}{len(paths)}.h5"
        results.write_table(paths[name], table)

    for name, values in (baselines or {}).items():
        write("baselines", name, synthetic_baseline(values))
    for number, run in enumerate(planning.budgets(study)):
        result = synthetic_run(study, run, number)
        result = change(run.name, result) if change else result
        runs[run.name] = folder / f"{number}.h5"
        results.write_run(runs[run.name], result)
        for kind, table in synthetic_tables(study, run, number, result).items():
            write(kind, run.name, table)
        if run.curve not in pilots:
            pilots[run.curve] = folder / f"pilot{number}.h5"
            results.write_pilot(pilots[run.curve], synthetic_pilot(run))
    drawn = {run.name for run in planning.drawn(study)}
    gathered = folder / "gathered.h5"
    results.gather(study.model_dump(mode="json"), runs, pilots, tables, drawn, gathered)
    return gathered


def draw(name, path, outputs):
    """Draw the figure `name` of the gathered file `path` into `outputs`, as the pipeline does."""
    study = config.load(results.read_gathered(path).config)
    settings = {"place": plan.figures(study)[name].draw}
    inputs = {"gathered": [str(path)], "paper": [str(PAPER)]}
    work.figure([Job("figure", name, "", [str(file) for file in outputs], inputs, settings)])


def with_encoder(name, run):
    """The run with an encoder of random weights."""
    random, pixels = np.random.RandomState(3), PIXELS[run.dataset]
    shapes = {
        "hidden.weight": (pixels, 9),
        "hidden.bias": 9,
        "output.weight": (9, 2 * run.latent_dim),
        "output.bias": 2 * run.latent_dim,
    }
    for part, shape in shapes.items():
        value = random.standard_normal(shape) / (pixels**0.5 if part == "hidden.weight" else 5)
        run.weights[f"encoder.{part}"] = value.astype(np.float32)
    return run


def one_diverged(name, run):
    return diverge(run) if name == "mnist/wake_sleep-nz3-seed1" else run


def lost_in_figure3(name, run):
    """Replicas lost: one of Figure 3, and a model of the study of estimators."""
    if name in ("mnist_50000/wake_sleep-nz3-seed1", "mnist/aevb-nz2-seed0"):
        run.attributes.update(
            status="diverged", reason="the bound ran away", samples=20_000_000, train_seconds=100.0
        )
        run.weights = {}
    return run


def panel(figure, title):
    return next(axis for axis in figure.axes if axis.get_title() == title)


def lines(axis):
    return {
        line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")
    }
