"""Training samples per second over all cores: this project's engine against the plain PyTorch idiom, in one run.

    PYTHONPATH=src python benchmarks/throughput.py [--seconds 10] [--rounds 3] [--data data]

The work is that of a sweep on MNIST: AEVB (estimator B, L = 1), 500 hidden units, N_z = 20, minibatches of M = 100,
Bernoulli cross-entropy on grey values, Adagrad, weight decay M/N. No evaluation is timed. The contenders:

    ours                    a process of one thread per core, each training its own model with Stack.train_block
    plain                   nn.Module, autograd, torch.optim.Adagrad and a DataLoader over torchvision's MNIST:
                            one process, torch's default number of threads
    plain, a process a core the same with one thread in one process per core, as a careful sweep would run it

The plain ones run with no DataLoader workers and with 2, and the better counts. Before anything is timed, the plain
module is held against ours: equal parameters, minibatch and noise must give the same bound and gradient to 1e-4.

In every round each contender in turn starts fresh processes, warms them up and is measured for --seconds; the measure
is the number of samples finished by all its processes in that window, over the window. The table gives the median
and the range over rounds; the last lines are the ratios. results/benchmark.json receives the better variants.

Cost: five measurements a round, each of --seconds and about 12 s of start and warm-up: 6 minutes as it stands, and
1 GB of memory a core. The machine must be idle otherwise, or the numbers say little. MNIST is read from DIR/mnist/,
where the pipeline puts its downloads (--data DIR); nothing is downloaded here and nothing takes its place.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST

from aevb import config, data, nets, provenance
from aevb.errors import UserError
from aevb.files import atomic
from aevb.learners import AEVB
from aevb.training import BLOCK, Settings, Stack

HIDDEN, LATENT, BATCH, STEP_SIZE = 500, 20, 100, 0.02
WORKLOAD = f"MNIST, AEVB, {HIDDEN} hidden, N_z = {LATENT}, M = {BATCH}"
# ToTensor divides by 255
EXPERIMENT = config.Experiment(dataset="mnist", likelihood="bernoulli", hidden=HIDDEN, scale=255)
N_TRAIN, PIXELS = data.DATASETS["mnist"].n_train, 28 * 28
TOLERANCE = 1e-4  # relative, between our bound and gradient and the plain ones: float32 leaves about 1e-6
FLOOR = 5
WARMUP_SECONDS, WARMUP_SAMPLES = 2.0, 120 * BATCH  # beyond our first 100 steps, which only accumulate
START_SECONDS = 300  # a process that is not ready by then has failed
OUTPUT = Path("results/benchmark.json")


@dataclass(frozen=True)
class Contender:
    name: str
    processes: int
    threads: int | None  # None: torch's default
    loader_workers: int = 0

    @property
    def label(self) -> str:
        return self.name if self.name == "ours" else f"{self.name}, num_workers={self.loader_workers}"


def contenders() -> list[Contender]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    plain = [Contender("plain", 1, None, workers) for workers in (0, 2)]
    plain_a_core = [Contender("plain, a process a core", cores, 1, workers) for workers in (0, 2)]
    return [Contender("ours", cores, 1), *plain, *plain_a_core]


class VAE(nn.Module):
    """The model as one would write it; `forward` gives minus the bound, summed over the minibatch (estimator B)."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, PIXELS))

    def forward(self, x, noise):
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        logits = self.decoder(mean + torch.exp(0.5 * log_variance) * noise)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
        return reconstruction + kl


def train_plain(contender: Contender, folder: Path) -> Iterator[int]:
    """Train the plain model for ever; yields the number of samples of each step when it is done."""
    dataset = MNIST(folder, train=True, transform=transforms.ToTensor())
    dataset.data, dataset.targets = dataset.data[:N_TRAIN], dataset.targets[:N_TRAIN]  # the images that ours trains on
    workers = contender.loader_workers
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    model = VAE()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=STEP_SIZE, weight_decay=BATCH / N_TRAIN)
    while True:
        for images, _ in loader:
            x = images.flatten(1)
            optimizer.zero_grad()
            loss = model(x, torch.randn(len(x), LATENT))
            loss.backward()
            optimizer.step()
            yield len(x)


def train_ours(index: int, folder: Path) -> Iterator[int]:
    """Train a stack of one replica for ever, as a job of the pipeline does; yields the samples of each finished block."""
    training = config.Training(batch_size=BATCH, draws=1, estimator="B")
    settings = Settings(EXPERIMENT, training, config.Evaluation(), samples=sys.maxsize, device="cpu", threads=1)
    stack = Stack([config.Run("mnist", "aevb", LATENT, index)], [STEP_SIZE], settings, data.load(folder / "mnist.h5", EXPERIMENT))
    while stack.live:
        stack.train_block(sys.maxsize)
        yield BLOCK * BATCH
    raise RuntimeError("our model diverged")


def initialise(shared: threading.Barrier) -> None:
    """In a new process: a barrier can only be handed over at the start, and Ctrl-C ends the process without a traceback."""
    global barrier
    barrier = shared
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def work(contender: Contender, index: int, folder: Path, seconds: float) -> tuple[float, int]:
    """One process of a contender: samples finished in the window, and threads."""
    try:
        if contender.threads is not None:
            torch.set_num_threads(contender.threads)
        steps = train_ours(index, folder) if contender.name == "ours" else train_plain(contender, folder)
        started, samples = time.perf_counter(), 0
        while time.perf_counter() - started < WARMUP_SECONDS or samples < WARMUP_SAMPLES:
            samples += next(steps)
    except Exception:
        barrier.abort()  # the others would wait for this one
        raise
    barrier.wait(START_SECONDS)
    now = time.perf_counter()
    end, samples = now + seconds, 0.0
    while now < end:
        before, finished = now, next(steps)
        now = time.perf_counter()
        samples += finished * min(1.0, (end - before) / (now - before))  # the last block by its part in the window: ours are long
    return samples, torch.get_num_threads()


def measure(contender: Contender, folder: Path, seconds: float) -> tuple[float, int]:
    """Samples per second of all processes of a contender, and the threads of each."""
    context = multiprocessing.get_context("spawn")  # fresh: no threads, tensors or settings of this process or of the last contender
    shared = context.Barrier(contender.processes)
    with ProcessPoolExecutor(contender.processes, context, initialise, (shared,)) as pool:
        futures = [pool.submit(work, contender, index, folder, seconds) for index in range(contender.processes)]
        errors = [error for future in futures if (error := future.exception())]
    if errors:  # the reason itself before what it did to the others
        raise min(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError))
    results = [future.result() for future in futures]
    return sum(samples for samples, _ in results) / seconds, results[0][1]


def lay_out(source: Path, folder: Path) -> None:
    """Put MNIST into `folder` twice: prepared, as our training reads it, and extracted, as torchvision does.

    Raises UserError if the four files are not in source/mnist/, or are not the original ones.
    """
    files = data.DATASETS["mnist"].files
    if missing := [file.name for file in files if not (source / "mnist" / file.name).is_file()]:
        raise UserError(
            f"{source / 'mnist'} does not hold {', '.join(missing)}; let the pipeline fetch MNIST with "
            "./run --cores 1 data/mnist.h5, or give the folder DIR that holds the files as DIR/mnist/*.gz with --data DIR"
        )
    data.prepare("mnist", source, folder / "mnist.h5")
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in files:
        with gzip.open(source / "mnist" / file.name) as packed, open(raw / file.name.removesuffix(".gz"), "wb") as extracted:
            shutil.copyfileobj(packed, extracted)


def check_equal(folder: Path) -> None:
    """Raises UserError unless the plain module's loss and gradient are those of ours."""
    generator = torch.Generator().manual_seed(0)
    images = data.load(folder / "mnist.h5", EXPERIMENT).train[:BATCH]
    dataset = MNIST(folder, train=True, transform=transforms.ToTensor())
    x = torch.stack([dataset[i][0] for i in range(BATCH)]).flatten(1)
    if not torch.allclose(x, images):
        raise UserError("the plain contender does not read the images that ours reads; the comparison would mean nothing")
    noise = torch.randn(BATCH, LATENT, generator=generator)

    layout = nets.Layout(PIXELS, HIDDEN, LATENT, "bernoulli")
    theta = 0.1 * torch.randn(1, layout.n_parameters, generator=generator)  # large enough that every term counts
    ours = layout.view(theta)
    bound, parts = AEVB("bernoulli").gradient(ours, images[None], [noise[None, None]])
    bound, gradient = bound.item(), torch.cat([parts[name].flatten(1) for name in layout.shapes], 1)

    model = VAE()
    layers = {f"{net}.{part}": getattr(model, net)[i] for net in ("encoder", "decoder") for part, i in (("hidden", 0), ("output", 2))}
    with torch.no_grad():
        for name, layer in layers.items():
            layer.weight.copy_(ours[f"{name}.weight"][0].T)
            layer.bias.copy_(ours[f"{name}.bias"][0, 0])
    loss = model(x, noise)
    loss.backward()
    plain = torch.empty_like(theta)  # gradient of the plain loss in our layout
    for name, view in layout.view(plain).items():
        layer, part = name.rsplit(".", 1)
        view[0] = getattr(layers[layer], part).grad.t()  # t: a bias has one dimension

    differences = abs(loss.item() / BATCH + bound) / abs(bound), ((plain + gradient).norm() / gradient.norm()).item()
    if not max(differences) <= TOLERANCE:
        raise UserError(
            "the plain module does not compute what ours does, so that the comparison would mean nothing: relative difference "
            f"{differences[0]:.1e} in the bound and {differences[1]:.1e} in its gradient, where {TOLERANCE:.0e} is allowed"
        )
    print(f"Equal to ours: bound {bound:.3f} nats to {differences[0]:.0e}, gradient to {differences[1]:.0e} (relative).", file=sys.stderr)


def benchmark(folder: Path, seconds: float, rounds: int) -> list[dict]:
    """A record for each contender of `contenders`."""
    rates: dict[Contender, list[float]] = {contender: [] for contender in contenders()}
    threads = {}
    for number in range(1, rounds + 1):
        for contender, measured in rates.items():
            rate, threads[contender] = measure(contender, folder, seconds)
            measured.append(rate)
            print(f"round {number} of {rounds}: {contender.label}: {rate:,.0f} samples/s", file=sys.stderr, flush=True)
    return [
        {
            "workload": WORKLOAD,
            "contender": contender.name,
            "device": "cpu",
            "processes": contender.processes,
            "threads": threads[contender],
            "loader_workers": contender.loader_workers,
            "samples_per_second": statistics.median(measured),
            "samples_per_second_min": min(measured),
            "samples_per_second_max": max(measured),
            "rounds": rounds,
            "seconds": seconds,
            "torch": torch.__version__,
            "processor": provenance.processor(),
        }
        for contender, measured in rates.items()
    ]


def report(records: list[dict]) -> list[dict]:
    """Print the table and the ratios; returns the better variant of each contender."""
    best: dict[str, dict] = {}
    print(f"{WORKLOAD}; torch {records[0]['torch']}, {records[0]['processor']}")
    print(f"{'contender':24}{'processes x threads':>21}{'num_workers':>13}{'samples/s':>11}  min to max")
    for record in records:
        shape, rate = f"{record['processes']} x {record['threads']}", record["samples_per_second"]
        workers = "-" if record["contender"] == "ours" else record["loader_workers"]
        spread = f"{record['samples_per_second_min']:,.0f} to {record['samples_per_second_max']:,.0f}"
        print(f"{record['contender']:24}{shape:>21}{workers:>13}{rate:>11,.0f}  {spread}")
        if rate > best.get(record["contender"], record)["samples_per_second"] or record["contender"] not in best:
            best[record["contender"]] = record
    ours, *plain = best.values()
    ratios = {record["contender"]: ours["samples_per_second"] / (record["samples_per_second"] or inf) for record in plain}
    for name, ratio in ratios.items():
        print(f"ours / {name}: {ratio:.2f}")
    print(f"ours / the better of them: {min(ratios.values()):.2f} (at least {FLOOR} is wanted)")
    return list(best.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="length of a measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="MNIST lies in DIR/mnist/ (%(default)s)")
    options = parser.parse_args()
    if not (0 < options.seconds < inf and options.rounds > 0):
        raise UserError("--seconds and --rounds must be larger than 0")
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > 0.5:
        print(f"The machine is not idle (load average {load:.1f}): do not quote the numbers.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="aevb-benchmark-") as temporary:
        folder = Path(temporary)
        lay_out(options.data, folder)
        check_equal(folder)
        records = report(benchmark(folder, options.seconds, options.rounds))
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
