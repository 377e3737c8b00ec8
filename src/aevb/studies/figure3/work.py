"""log p(x) of a run at each of its snapshots, for Figure 3.

The models are fixed, so a change here retrains nothing. Random numbers come from the streams
evidence-train and evidence-test, which do not depend on the algorithm: models of one seed are
estimated with the same noise at equal counts of samples.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from ... import results
from ...config.sections import Experiment
from ...core.errors import UserError
from ...core.progress import Progress
from ...core.provenance import fingerprint
from ...core.run import Job, Run
from ...core.streams import stream
from ...data import Data, load
from ...engine.roots import roots
from ...engine.settings import device
from ...marginal.chains import START_DRAWS, Samples, posterior_samples, prior_start
from ...marginal.common import Estimate
from ...marginal.importance import importance, refined
from ...marginal.modes import COARSE, from_modes
from ...marginal.options import Evidence
from ...marginal.proposals import StudentT, from_samples
from ...marginal.provenance import attributes
from ...marginal.quadrature import truth
from ...marginal.reciprocal import reciprocal
from ...models import nets
from ...models.joint import Joint
from . import CODE, EVIDENCE

KHAT_LIMIT = 0.7  # Vehtari et al. 2024
HINTS = 3  # of the modes of a snapshot, the best first, from which those of the next are sought


def work(jobs: list[Job]) -> None:
    """Estimate log p(x) of the runs of `jobs`."""
    for job in jobs:
        settings = dict(job.settings)
        loaded = load(job.inputs["data"][0], Experiment(**settings.pop("experiment")))
        options = Evidence(**settings.pop("evidence"))
        for run, path in zip(job.inputs["runs"], job.outputs, strict=True):
            results.write_table(path, figure3(run, loaded, options, **settings))


def figure3(path: str, data: Data, options: Evidence, where: str, threads: int) -> results.Table:
    """Log p(x) of the run file `path` at each of its snapshots, columns EVIDENCE.

    There are no rows if it diverged. Every algorithm is treated alike, encoder or not. Chains start
    from draws of the prior resampled by p(x|z), and HMC gives the samples of appendix D. The
    proposal of importance sampling mixes a t distribution fitted to these samples with others
    around the posterior's modes. Where an estimator gives up, the reason goes to stderr and the row
    holds no numbers. With options.chains_per_decade, chains run at some snapshots alone, see
    `chained`. At the others the t distributions around the modes are refined by weighted draws, and
    Newton's method starts from the modes of the snapshot before. Raises UserError if the run kept
    no snapshots.
    """
    started, chosen = time.perf_counter(), device(where, threads, tf32=False)
    result = results.read_run(path)
    run, code = result.run, fingerprint(roots(*CODE, likelihood=result.likelihood))
    if result.status == "diverged":
        print(f"{run.name} diverged ({result.reason}): log p(x) is not estimated", file=sys.stderr)
        return results.Table(
            pd.DataFrame(columns=list(EVIDENCE)),
            attributes(options.model_dump(), chosen, started, code),
        )
    if result.snapshots is None:
        raise UserError(f"{path} holds no snapshots; delete it and run again")
    layout = nets.Layout(data.train.shape[1], result.hidden, result.latent_dim, result.likelihood)
    progress = Progress(f"log p(x) of {run.name}", 2 * len(result.curve))
    rows, modes = [], {}
    with_chains = chained(result.curve["samples"].to_numpy(float), options.chains_per_decade)
    for k, point in enumerate(result.curve.itertuples()):
        last = k == len(result.curve) - 1
        for split in results.SPLITS:
            found, modes[split] = at_snapshot(
                torch.from_numpy(result.snapshots[k : k + 1]).to(chosen),
                layout,
                run,
                int(point.samples),
                data,
                split,
                options,
                last,
                with_chains[k],
                modes.get(split),
            )
            row = dict.fromkeys(EVIDENCE, np.nan) | found
            rows.append(row | {"samples": point.samples, "seconds": point.seconds, "split": split})
            progress()
    return results.Table(
        pd.DataFrame(rows, columns=list(EVIDENCE)),
        attributes(options.model_dump(), chosen, started, code),
    )


def chained(samples: np.ndarray, per_decade: int | None) -> np.ndarray:
    """At which of the evaluations at `samples` (T,) chains run: all, or `per_decade` per factor of
    ten, those nearest to the last over 10^(k / per_decade)."""
    if per_decade is None:
        return np.ones(len(samples), bool)
    back = np.log10(samples[-1] / samples)
    wanted = np.arange(int(per_decade * back[0]) + 1) / per_decade
    return np.isin(np.arange(len(samples)), np.abs(back - wanted[:, None]).argmin(1))


def at_snapshot(
    parameters: torch.Tensor,
    layout: nets.Layout,
    run: Run,
    samples: int,
    data: Data,
    split: str,
    options: Evidence,
    check: bool,
    with_chains: bool = True,
    before: StudentT | None = None,
) -> tuple[dict[str, float], StudentT | None]:
    """Log p(x) of one model on the first datapoints of `split`: columns of EVIDENCE, and t
    distributions around the modes (None in more than three latent dimensions).

    `parameters` (1, P) are those of `run` after `samples` training samples, on the device that
    computes. `check` asks for quadrature too, which needs chains. Without chains, the modes are
    sought from those `before`, or from a lattice. Where an estimator gives up, the reason goes to
    stderr and the result is empty.
    """
    x = getattr(data, split)[: options.datapoints].to(parameters.device)
    joint = Joint(layout.view(parameters), x.unsqueeze(0), layout.likelihood)
    generator = stream(f"evidence-{split}", run.experiment, run.latent_dim, run.seed, block=samples)
    try:
        if with_chains:
            return _estimate(joint, generator, options, check)
        return _without_chains(joint, generator, options, before)
    # Of one snapshot: the others, and all that took days to train, are not lost for it.
    except UserError as error:
        print(f"{run.name}, {split}, {samples:,} samples: no estimate: {error}", file=sys.stderr)
        return {}, None


def _without_chains(
    joint: Joint, generator: np.random.Generator, options: Evidence, before: StudentT | None
) -> tuple[dict[str, float], StudentT]:
    memory = {"memory_mb": options.memory_mb}
    modes = from_modes(joint, hints=None if before is None else before.mean[:HINTS], **memory)
    draws = options.importance_draws
    proposal = refined(joint, modes, generator, draws // 2, **memory)
    return _weights(importance(joint, proposal, generator, draws, **memory), draws), modes


def _weights(weighed: Estimate, draws: int) -> dict[str, float]:
    """What importance sampling with `draws` draws says: columns of EVIDENCE."""
    value, error = weighed.mean()
    return {
        "importance": value,
        "importance_se": error,
        "efficiency": float(np.median(weighed.diagnostics["ess"]) / draws),
        "khat_bad": float((weighed.diagnostics["k_hat"] > KHAT_LIMIT).mean()),
    }


def _estimate(
    joint: Joint, generator: np.random.Generator, options: Evidence, check: bool
) -> tuple[dict[str, float], StudentT | None]:
    memory = {"memory_mb": options.memory_mb}
    start = prior_start(joint, generator, START_DRAWS, **memory)
    samples = posterior_samples(
        joint,
        start,
        generator,
        options.draws,
        options.warmup,
        options.leapfrog,
        options.acceptance,
        **memory,
    )
    hmc = reciprocal(samples, **memory)
    proposal, modes = from_samples(samples), None
    if joint.latent_dim in COARSE:
        modes = from_modes(joint, **memory)
        proposal = proposal | modes
    weighed = importance(joint, proposal, generator, options.importance_draws, **memory)
    value, error = hmc.mean()
    return {
        **_weights(weighed, options.importance_draws),
        "hmc": value,
        "hmc_se": error,
        "divergences": float(samples.info["divergences"].sum()),
        "acceptance": float(hmc.diagnostics["acceptance"].mean()),
        "rhat": float(np.quantile(hmc.diagnostics["rhat"], 0.95)),
        "chain_ess": float(np.median(hmc.diagnostics["ess"])),
        **(_checked(joint, weighed, samples, options) if check else {}),
    }, modes


def _checked(
    joint: Joint, weighed: Estimate, samples: Samples, options: Evidence
) -> dict[str, float]:
    """Log p(x) by quadrature: columns of EVIDENCE, none where it cannot be had.

    With options.checked, on the first datapoints alone: what quadrature adds to importance sampling
    there, on average, is added to its mean over all.
    """
    first = options.checked or len(weighed.value)
    some = replace(joint, x=joint.x[:, :first])
    exact = truth(some, samples.z[:, :first], memory_mb=options.memory_mb)
    if exact is None:
        return {}
    others = weighed.value.mean() - weighed.value[:first].mean()  # 0 where all are checked
    return {
        "quadrature": float(exact.value.mean() + others),
        "quadrature_error": float(exact.diagnostics["discretisation"].max()),
    }
