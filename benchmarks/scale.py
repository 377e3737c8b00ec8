"""How planning and gathering scale: a study of thousands of runs, with made-up results.

    PYTHONPATH=src python benchmarks/scale.py [--runs 5000] [--dry-run]

Writes a run file for every run (31 evaluations and the weights of a small network, as if trained)
and a pilot for every curve into a temporary folder, then gathers them, reads the gathered file and
writes curves.csv, as the pipeline's job does. Prints the time of each, and the peak memory of the
process. With --dry-run Snakemake also plans the study from nothing, once with one job per run and
once with one job per about twenty runs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aevb import config as configuration
from aevb import results
from aevb.config import Config
from aevb.models import nets
from aevb.pipeline import plan
from aevb.studies import planning

ROOT = Path(__file__).parent.parent
EVALUATIONS = 31  # 1e5 to 1e8, ten per decade
DIMS = [3, 5, 10, 20, 200]


def study(runs: int, folder: Path) -> dict:
    """The raw configuration of a study of about `runs` runs.

    MNIST, five N_z, two algorithms, and as many seeds as that takes.
    """
    return {
        "name": "scale",
        "samples": 1e8,
        "seeds": list(range(max(1, runs // (2 * len(DIMS))))),
        "device": "cpu",
        "results": str(folder / "results"),
        "data": str(folder / "data"),
        "experiments": {"mnist": {"dataset": "mnist", "likelihood": "bernoulli", "hidden": 500}},
        "figure2": [{"experiment": "mnist", "latent_dims": DIMS}],
        "figure4": [{"experiment": "mnist", "grid": 20}],
        "figure5": [{"experiment": "mnist", "latent_dims": DIMS}],
    }


def make_up(config: Config, hidden: int) -> None:
    """Write the files of every run and pilot of `config`, of networks with `hidden` units."""
    generator = np.random.default_rng(0)
    samples = np.geomspace(1e5, config.samples, EVALUATIONS).round()
    curve = pd.DataFrame(
        {name: generator.normal(-110, 1, EVALUATIONS) for name in results.CURVE}
    ).assign(samples=samples)
    text = dict.fromkeys((name for name, kind in results.ATTRIBUTES.items() if kind is str), "")
    text |= {"status": "completed", "dataset": "mnist", "likelihood": "bernoulli"}
    runs = list(planning.budgets(config))
    text["config"] = json.dumps(planning.settings(config, runs[:1], config.samples))
    numbers = {name: kind(1) for name, kind in results.ATTRIBUTES.items() if kind is not str}
    for run in runs:
        layout = nets.Layout(784, hidden, run.latent_dim, "bernoulli")
        weights = {
            name: value[0].numpy()
            for name, value in layout.view(torch.zeros(1, layout.n_parameters)).items()
        }
        attributes = {
            **numbers,
            **text,
            **run._asdict(),
            "schema": results.SCHEMA,
            "samples": config.samples,
        }
        result = results.RunResult(attributes, curve, weights)
        results.write_run(planning.run_path(config, run), result)
    for run in planning.pilot_runs(config):
        pilot = results.Pilot(
            *run, 0.02, np.array([0.01, 0.02, 0.1]), samples[:10], np.zeros((3, 10)), 10.0
        )
        results.write_pilot(planning.pilot_path(config, run.curve), pilot)


def timed(what: str, work, *arguments):
    """Call `work`, and return what it returns.

    Prints how long it took, and how much of that on a core, children included.
    """
    started, before = time.perf_counter(), os.times()
    made = work(*arguments)
    spent = sum(after - then for after, then in zip(os.times()[:4], before[:4], strict=True))
    print(f"{what}: {time.perf_counter() - started:.1f} s ({spent:.1f} s of a core)", flush=True)
    return made


def dry_run(raw: dict, folder: Path) -> None:
    """Plan the study with Snakemake from nothing; print the number of its jobs."""
    path = folder / f"study-{raw['job_seconds']}.json"
    path.write_text(json.dumps({**raw, "results": str(folder / "other")}))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--configfile",
        str(path),
        "--dry-run",
    ]
    done = subprocess.run([*command, "--cores", "1"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    print(
        f"{re.search(r'^total +([0-9]+)', done.stdout + done.stderr, re.MULTILINE)[1]} jobs, ",
        end="",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument(
        "--hidden",
        type=int,
        default=20,
        help="hidden units of the made-up networks (20: 150 KB per run)",
    )
    parser.add_argument("--dry-run", action="store_true", help="also time Snakemake's planning")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        raw = study(options.runs, folder)
        config = timed("the configuration", configuration.load, raw)
        jobs = timed("its jobs and their settings", plan.train_jobs, config)
        asked = list(planning.budgets(config))
        print(f"{len(asked)} runs in {len(jobs)} jobs")
        # In a process of its own, whose memory is not counted.
        maker = multiprocessing.get_context("fork").Process(
            target=make_up, args=(config, options.hidden)
        )
        timed("made-up run files", lambda: (maker.start(), maker.join()))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        path = folder / "results/gathered.h5"
        runs = {run.name: planning.run_path(config, run) for run in asked}
        curves = [run.curve for run in planning.pilot_runs(config)]
        pilots = {curve: planning.pilot_path(config, curve) for curve in curves}
        models = {run.name for run in planning.drawn(config)}
        timed(
            "gathered",
            results.gather,
            config.model_dump(exclude=plan.UNGATHERED),
            runs,
            pilots,
            {},
            models,
            path,
        )
        gathered = timed("read", results.read_gathered, path)
        timed("curves.csv", results.write_curves, gathered, folder / "curves.csv")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"gathered.h5 {path.stat().st_size / 1e6:.0f} MB; peak memory {peak:.0f} MB, of it "
            f"{before:.0f} MB before gathering"
        )
        if options.dry_run:
            for seconds in (0, 20 * jobs[0].seconds):
                timed(
                    "Snakemake's planning", dry_run, {**raw, "job_seconds": round(seconds)}, folder
                )


if __name__ == "__main__":
    main()
