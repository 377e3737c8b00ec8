"""What the jobs of the study measure: models of one setting, all seeds side by side."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ... import results
from ...core.progress import Progress
from ...core.run import Job
from ...core.streams import stream
from ...engine.settings import device
from ...models import densities
from . import VALUES, Setting, grades, sprites
from .information import marginals, mutual, to_prior
from .training import Trainer, train

DRAWS = 4  # z per image, of the reconstruction error
#: the image whose code is traversed: a triangle in the middle, as places on the factors' grid
IMAGE = (1, 1, 3, 4, 4)


def work(jobs: list[Job]) -> None:
    """Train and measure the setting of each of `jobs`."""
    images, factors = sprites.images(), sprites.factors()
    for job in jobs:
        started, settings = time.perf_counter(), job.settings
        device("cpu", settings["threads"], tf32=False)
        options, setting = settings["disentanglement"], Setting(*settings["setting"])
        progress = Progress(f"{setting.name} on sprites", 1)
        trainer = train(setting, images, options["seeds"], options, progress)
        with torch.no_grad():
            frame, arrays = measured(trainer, factors, options)
        results.write_table(job.outputs[0], results.measured(job, frame, started, arrays=arrays))


def measured(
    trainer: Trainer, factors: np.ndarray, options: dict
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Rows and arrays of columns.py, of all seeds."""
    seeds, setting = options["seeds"], trainer.setting
    x = trainer.x.expand(len(seeds), *trainer.x.shape)
    mean, log_variance = trainer.model.encode(x)
    each = densities.kl_to_prior(mean[..., None], log_variance[..., None]).double().mean(1)
    order = each.argsort(dim=1, descending=True, stable=True)
    name = ("sprites", options["latent_dim"])
    generators = [
        stream("disentanglement-measure", *name, seed, algorithm=setting.name) for seed in seeds
    ]
    error, spread, ratio = _decoded(trainer, mean, log_variance, generators)
    rows, shares = [], []
    for k, (seed, own) in enumerate(zip(seeds, generators, strict=True)):
        code = (mean[k].double().numpy(), log_variance[k].double().exp().numpy())
        row = {"seed": seed, "error": error[k], "error_se": spread[k], "kl": float(each[k].sum())}
        row["density_ratio"] = ratio[k] if setting.method == "factor_vae" else np.nan
        found, share = _graded(own, code, factors, options)
        rows.append(row | found)
        shares.append(share[order[k].numpy()])
    picture = traversal(trainer, mean[0], order[0])
    arrays = {"shares": np.stack(shares).astype(np.float32), "traversal": picture}
    return pd.DataFrame(rows), arrays


def _decoded(
    trainer: Trainer, mean: Tensor, log_variance: Tensor, generators: list[np.random.Generator]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By seed, (R,): the reconstruction error, its Monte Carlo standard error, and the
    discriminator's estimate of the total correlation."""
    x, found, ratios = trainer.x, [], []
    least = -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum(-1)
    for _ in range(DRAWS):
        drawn = [g.standard_normal(tuple(mean.shape[1:]), np.float32) for g in generators]
        z = mean + torch.exp(0.5 * log_variance) * torch.from_numpy(np.stack(drawn))
        found.append(-trainer.model.log_likelihood(x, z) - least)
        ratios.append(trainer.logits(z))
    errors, ratio = torch.stack(found).double(), torch.stack(ratios).double().mean((0, 2))
    # Images are all there are: only z is drawn.
    spread = (errors.var(0).sum(1) / DRAWS).sqrt() / len(x)
    return errors.mean((0, 2)).numpy(), spread.numpy(), ratio.numpy()


def _graded(
    own: np.random.Generator,
    code: tuple[np.ndarray, np.ndarray],
    factors: np.ndarray,
    options: dict,
) -> tuple[dict[str, float], np.ndarray]:
    """What the codes N(mean, variance) of one model say: columns, and I(z_j; v_k) as shares of the
    entropy of v_k, (N_z, K)."""
    information, marginal = (term(own, *code, options["samples"]) for term in (mutual, to_prior))
    single, entropy = marginals(*code, factors), grades.entropies(factors)
    how = (options["votes"], options["images"])
    vote, live = grades.vote_score(own, code[0], factors, sprites.SIZES, *how)
    row = {
        "information": information.value,
        "information_se": information.error,
        "marginal": marginal.value,
        "marginal_se": marginal.error,
        "own": single.kl.sum(),
        "mig": grades.gaps(single.information, entropy).mean(),
        "vote": vote,
        "vote_se": (vote * (1 - vote) / options["votes"]) ** 0.5,
        "live": live,
    }
    return row, single.information / entropy


def traversal(trainer: Trainer, mean: Tensor, order: Tensor) -> np.ndarray:
    """Means of p(x|z) of the first seed: a row for each latent variable in `order`, which goes
    through VALUES while the others stay at the code of IMAGE; (N_z * 16, values * 16), 0 to 255."""
    base = mean[int(np.ravel_multi_index(IMAGE, sprites.SIZES))]
    codes = base.repeat(len(order), len(VALUES), 1)
    for row, latent in enumerate(order):
        codes[row, :, latent] = torch.tensor(VALUES)
    stacked = codes.flatten(0, 1).expand(len(trainer.critic["b0"]), -1, -1)
    decoded = trainer.model.decode(stacked)[0].sigmoid().numpy()
    grid = decoded.reshape(len(order), len(VALUES), sprites.SIDE, sprites.SIDE)
    wide = grid.transpose(0, 2, 1, 3).reshape(len(order) * sprites.SIDE, -1)
    return np.round(255 * wide).astype(np.uint8)
