"""Training samples per second on all cores: this project against PyTorch's idioms, public libraries
and the machine.

    ./run bench [--seconds S] [--rounds N] [--workload NAME ...] [--contender NAME ...] [--data DIR]

The workloads are AEVB (estimator B, L = 1) with minibatches of M = 100 (frey500: 500), Adagrad and
weight decay M/N; nothing is evaluated:

    mnist      784 pixels, 500 hidden units, N_z = 20, Bernoulli cross-entropy on grey values
    frey       560 pixels, 200 hidden units, N_z = 10, Gaussian with a free log-variance and its
               mean through a sigmoid
    frey500    the same
    figure3    784 pixels, 100 hidden units, N_z = 3, Bernoulli

The contenders, each in a one-thread process per core unless another number is given (contenders.py,
limit.py):

    ours       each process trains its own model with Stack.train_block; once more with bfloat16
               products, on processors that have them
    plain      nn.Module, autograd, torch.optim.Adagrad, a DataLoader over torchvision's MNIST
               (frey: a TensorDataset), with no loader workers or, on mnist, 2: once as one process
               with torch's default number of threads, once as one process per core
    fused      the same model with images in memory and torch.optim.Adagrad(fused=True); also tried
               as one process with torch's default number of threads
    pyro       Pyro's SVI with TraceMeanField_ELBO on the same networks, images in memory, its
               checks off
    pythae     pythae's VAE with the same networks, trained by its BaseTrainer, without messages and
               progress bar
    limit      what a step's matrix products and Adagrad's memory traffic alone would allow

Where a contender has variants, the first round runs all of them, and the fastest counts and goes
on. Before anything is timed, the others are held against ours in float32: equal parameters,
minibatch and noise must give the same bound and gradient to 1e-4.

In every round each contender in turn starts fresh processes and warms them up. It is measured for S
seconds: the samples that all its processes finish in that window, over the window. The table has
median and range over rounds. results/benchmark.json receives them as a list of records, with a
process's CPU time over its time. For a single thread without loader workers, less than 1 means that
other work disturbed it. Cost as it stands: about a quarter of an hour on two idle cores, and 1 GB
of memory per core.

Data are read from DIR, where the pipeline puts them: mnist.h5 or mnist/*.gz, frey.h5 or
frey/frey_rawface.mat. Nothing is downloaded. Uniform bytes of the same shape replace what is not
there, and are called stand-in data in table and records: the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import limit
import numpy as np
import torch
from contenders import (
    CONTENDERS,
    PER_CORE,
    ROUNDED,
    WORKLOADS,
    Arrangement,
    Images,
    Workload,
    arrangements,
    check_equal,
    package,
)

from aevb import data
from aevb.core import provenance
from aevb.core.errors import UserError
from aevb.core.files import atomic, new_h5
from aevb.engine.settings import has_bfloat16

WARMUP_SECONDS, WARMUP_STEPS = 1.0, 120  # beyond our first 100 steps, which only accumulate
START_SECONDS = 300  # a process that is not ready by then has failed
OUTPUT = Path("results/benchmark.json")
IDLE = 0.95  # CPU time over time of a one-thread process that nothing disturbs, at least
STAND_IN = "stand-in data"
NAMES = ("ours", "plain", "fused", "pyro", "pythae", "limit")


class Finished(Exception):
    """The window is over."""


class Clock:
    """Called with the samples of each step: warms up, waits for the other processes, counts in
    the window, then raises Finished."""

    def __init__(self, seconds: float, wait: Callable[[], None], warmup: int):
        self.seconds, self.wait, self.samples, self.end = seconds, wait, 0.0, None
        self.warmup = warmup  # samples
        self.last = self.started = time.perf_counter()

    def __call__(self, samples: int) -> None:
        before, self.last = self.last, time.perf_counter()
        if self.end is not None:  # the last block by its part in the window: ours are long
            self.samples += samples * min(1.0, (self.end - before) / (self.last - before))
            if self.last >= self.end:
                raise Finished
            return
        self.samples += samples
        if self.last - self.started >= WARMUP_SECONDS and self.samples >= self.warmup:
            self.wait()
            self.samples, self.last = 0.0, time.perf_counter()
            self.end = self.last + self.seconds


def initialise(shared: threading.Barrier) -> None:
    """In a new process: a barrier can only be handed over at the start, and Ctrl-C ends the
    process without a traceback."""
    global barrier
    barrier = shared
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logging.disable(logging.WARNING)  # pythae's messages


def work(
    name: str,
    workload: Workload,
    arrangement: Arrangement,
    images: Images,
    index: int,
    seconds: float,
) -> dict[str, float]:
    """One process of a contender: its samples per second, threads and CPU time over time, and
    what makes up the limit."""
    started = []

    def wait() -> None:
        barrier.wait(START_SECONDS)
        started.extend((time.perf_counter(), time.process_time()))

    try:
        if arrangement.threads is not None:
            torch.set_num_threads(arrangement.threads)
        if name == "limit":
            found = limit.measure(workload, wait, seconds)
        else:
            clock = Clock(seconds, wait, WARMUP_STEPS * workload.batch)
            try:
                CONTENDERS[name](workload).train(images, index, arrangement.loader_workers, clock)
            except Finished:
                found = {"samples_per_second": clock.samples / seconds}
    except Exception:
        barrier.abort()  # the others would wait for this one
        raise
    busy = (time.process_time() - started[1]) / (time.perf_counter() - started[0])
    return {"threads": torch.get_num_threads(), "cpu_per_second": busy, **found}


def measure(
    name: str, workload: Workload, arrangement: Arrangement, images: Images, seconds: float
) -> dict[str, float]:
    """Samples per second of all processes of a contender together.

    The other values of `work` are means over processes.
    """
    # Fresh: no threads, tensors or settings of this process or of the last contender.
    context = multiprocessing.get_context("spawn")
    processes = arrangement.processes
    with ProcessPoolExecutor(processes, context, initialise, (context.Barrier(processes),)) as pool:
        futures = [
            pool.submit(work, name, workload, arrangement, images, index, seconds)
            for index in range(processes)
        ]
        errors = [error for future in futures if (error := future.exception())]
    if errors:  # the reason itself before what it did to the others
        raise min(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError))
    found = [future.result() for future in futures]
    means = {key: statistics.mean(one[key] for one in found) for key in found[0]}
    return means | {"samples_per_second": means["samples_per_second"] * processes}


def stand_in(dataset: str, file: Path) -> None:
    """Write uniform bytes in place of a prepared file, laid out as aevb.data describes."""
    known, generator = data.DATASETS[dataset], np.random.default_rng(0)
    size = math.prod(known.shape)
    train, test = (
        generator.integers(0, known.levels, (n, size), dtype=np.uint8)
        for n in (known.n_train, known.n_test)
    )
    digest = hashlib.sha256(train.tobytes() + test.tobytes()).hexdigest()
    with new_h5(file) as output:
        output["train"], output["test"] = train, test
        output.attrs.update(
            schema=data.SCHEMA,
            dataset=dataset,
            shape=known.shape,
            levels=known.levels,
            sha256=digest,
            source=STAND_IN,
        )


def lay_out(workload: Workload, source: Path, folder: Path) -> Images:
    """The workload's images: those in `source`, or else stand-in data in `folder`; there MNIST also
    as torchvision reads it.

    Raises UserError if the files in `source` are damaged.
    """
    dataset = workload.experiment.dataset
    known, file = data.DATASETS[dataset], source / f"{dataset}.h5"
    name = known.source.split(":")[0]
    if not file.is_file():
        file = folder / f"{dataset}.h5"
        if all((source / dataset / original.name).is_file() for original in known.files):
            data.prepare(dataset, source, file)
        else:
            name = STAND_IN
            stand_in(dataset, file)
            print(
                f"{workload.name}: {STAND_IN} (uniform bytes), as {source} does not hold "
                f"{dataset}.",
                file=sys.stderr,
            )
    data.load(file, workload.experiment)  # raises what is wrong with it before anything starts
    if dataset == "mnist":
        raw = folder / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        with h5py.File(file) as prepared:
            images = prepared["train"][:].reshape(-1, *known.shape)
        labels = images[:, 0, 0]  # no contender looks at them
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            header = np.array([2048 + values.ndim, *values.shape], ">i4").tobytes()
            (raw / f"train-{kind}-ubyte").write_bytes(header + values.tobytes())
            (raw / f"t10k-{kind}-ubyte").touch()  # must exist
    return Images(file, folder, name)


def benchmark(
    workloads: list[Workload],
    names: list[str],
    images: dict[str, Images],
    seconds: float,
    rounds: int,
) -> list[dict]:
    """A record for each workload and contender: that of its fastest variant."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pairs = [(workload, name) for workload in workloads for name in names]
    entries = {
        pair: {arrangement: [] for arrangement in arrangements(*pair, cores)} for pair in pairs
    }
    for number in range(1, rounds + 1):
        for (workload, name), variants in entries.items():
            for arrangement, found in variants.items():
                found.append(measure(name, workload, arrangement, images[workload.name], seconds))
                shape = shown(
                    arrangement.processes, found[-1]["threads"], arrangement.loader_workers
                )
                rate = f"{found[-1]['samples_per_second']:,.0f} samples/s"
                print(
                    f"round {number} of {rounds}: {workload.name}, {name} ({shape}): {rate}",
                    file=sys.stderr,
                    flush=True,
                )
            best = max(variants, key=lambda one: variants[one][0]["samples_per_second"])
            entries[workload, name] = {best: variants[best]}
    return [
        {
            "workload": workload.name,
            "model": workload.model,
            "data": images[workload.name].name,
            "contender": name,
            "package": package(name),
            "device": "cpu",
            "processes": arrangement.processes,
            "loader_workers": arrangement.loader_workers,
            **{key: statistics.median(one[key] for one in found) for key in found[0]},
            "samples_per_second_min": min(one["samples_per_second"] for one in found),
            "samples_per_second_max": max(one["samples_per_second"] for one in found),
            "rounds": rounds,
            "seconds": seconds,
            "torch": torch.__version__,
            "processor": provenance.processor(),
        }
        for (workload, name), variants in entries.items()
        for arrangement, found in variants.items()
    ]


def shown(processes: int, threads: int, loader_workers: int) -> str:
    return f"{processes} x {threads}" + (f" + {loader_workers} loaders" if loader_workers else "")


def table(records: list[dict]) -> str:
    """The records as text, with the ratio of ours to each, and each one's share of the limit."""
    lines = [f"torch {records[0]['torch']}, {records[0]['processor']}"]
    for workload in dict.fromkeys(record["workload"] for record in records):
        rows = {record["contender"]: record for record in records if record["workload"] == workload}
        first = next(iter(rows.values()))
        rates = {name: record["samples_per_second"] for name, record in rows.items()}
        lines += ["", f"{workload}: {first['model']}; {first['data']}"]
        head = f"{'contender':25}{'processes x threads':>21}{'samples/s':>11}{'min to max':>21}"
        lines += [f"{head}{'ours/it':>9}{'of limit':>10}"]
        for name, record in rows.items():
            shape = shown(record["processes"], record["threads"], record["loader_workers"])
            low, high = record["samples_per_second_min"], record["samples_per_second_max"]
            spread = f"{low:,.0f} to {high:,.0f}"
            ratio = f"{rates['ours'] / rates[name]:.2f}" if "ours" in rates else "-"
            share = f"{rates[name] / rates['limit']:.0%}" if "limit" in rates else "-"
            lines += [f"{name:25}{shape:>21}{rates[name]:>11,.0f}{spread:>21}{ratio:>9}{share:>10}"]
        if one := rows.get("limit"):
            lines += [
                f"limit of a process: matrix products {1e3 * one['products_seconds']:.3f} ms per "
                f"step ({one['gflops']:.0f} GFLOPS), "
                f"Adagrad {1e3 * one['adagrad_seconds']:.3f} ms "
                f"({1e-9 * one['triad_bytes_per_second']:.0f} GB/s)"
            ]
    return "\n".join(lines)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message}; ./run bench --help says what can be given")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="./run bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, default=3, help="length of a measurement (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="measurements of each contender (%(default)s)"
    )
    parser.add_argument(
        "--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="these only"
    )
    parser.add_argument(
        "--contender",
        nargs="+",
        choices=NAMES,
        help="these only; all that are installed unless given",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where the data sets lie (%(default)s)",
    )
    options = parser.parse_args(arguments)
    if not (0 < options.seconds < math.inf and options.rounds > 0):
        parser.error("--seconds and --rounds must be larger than 0")
    return options


def chosen(asked: list[str] | None) -> list[str]:
    """The contenders to run, in the order of the table. Raises UserError if one that was asked
    for is not installed."""
    names = [name for name in (*CONTENDERS, "limit") if name.split(",")[0] in (asked or NAMES)]
    missing = [name for name in names if not package(name)]
    advice = (
        "./run bench installs it where there is a network, or pip install --requirement "
        "benchmarks/requirements.lock"
    )
    if missing and asked:
        raise UserError(f"{missing[0]} is not installed: {advice}")
    for name in missing:
        print(f"{name} is not installed and left out: {advice}", file=sys.stderr)
    return [n for n in names if n not in missing and (n != ROUNDED or has_bfloat16())]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    names = chosen(options.contender)
    workloads = [workload for name, workload in WORKLOADS.items() if name in options.workload]
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > 0.5:
        print(
            f"The machine is not idle (load average {load:.1f}): do not quote the numbers.",
            file=sys.stderr,
        )
    # pythae's progress bar costs time; read when a new process imports tqdm.
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory(prefix="aevb-benchmark-") as folder:
        images = {
            workload.name: lay_out(workload, options.data, Path(folder)) for workload in workloads
        }
        for workload in workloads:
            for name in names:
                if name not in ("ours", ROUNDED, "limit", PER_CORE):  # the last is plain again
                    bound, gradient = check_equal(name, workload, images[workload.name])
                    print(
                        f"{workload.name}: {name} equals ours, bound to {bound:.0e}, gradient to "
                        f"{gradient:.0e}",
                        file=sys.stderr,
                    )
        records = benchmark(workloads, names, images, options.seconds, options.rounds)
    print(table(records))
    alone = [
        record["cpu_per_second"]
        for record in records
        if record["threads"] == 1 and not record["loader_workers"]
    ]
    if min(alone, default=1.0) < IDLE:
        print(
            f"Other work took up to {1 - min(alone):.0%} of a core from the processes: do not "
            "quote the numbers.",
            file=sys.stderr,
        )
    with atomic(OUTPUT) as path:
        path.write_text(json.dumps(records, indent=2) + "\n")
    print(f"written to {OUTPUT}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
