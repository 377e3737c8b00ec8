"""One trained model, to look into: encode, decode, sample, bound and log p(x)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import results
from ..core.errors import UserError
from ..core.lazy import lazy
from ..core.progress import Progress
from ..core.words import nearest
from ..data import DATASETS
from ..learners import LEARNERS
from ..marginal import ESTIMATORS, Task
from ..marginal.chains import START_DRAWS, posterior_samples, prior_start
from ..marginal.common import Estimate, as_numpy, no_grad, standard_normal
from ..marginal.modes import COARSE
from ..marginal.options import Evidence
from ..marginal.proposals import from_encoder
from ..marginal.quadrature import TRUSTED, quadrature
from ..models import densities, nets
from ..models.joint import Joint
from ..models.likelihoods import LIKELIHOODS
from .arrays import Rows, seeded, taken, whole

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

torch = lazy("torch")

QUADRATURE = "quadrature"  # the estimator of log p(x) that is in no catalogue: the ground truth
CHUNK = 1000  # rows at a time


@dataclass(frozen=True)
class _NoProposal:
    """In the place of q(z|x) for a model without an encoder."""

    reason: str

    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        raise UserError(self.reason)

    def log_density(self, z: Tensor) -> Tensor:
        raise UserError(self.reason)


class Model:
    """A trained model: the encoder q(z|x) and the decoder p(x|z) of appendix C.

    Arrays are NumPy's or torch's, and results are of the same kind, on the same device. `x` is
    (N, D), (N, rows, columns) or one image of either form; one image gives results without the axis
    of N. Its values are scaled as `convention` says. Bounds and log p(x) are nats per datapoint.

    `aevb.load_model`, `aevb.train` and `Study.model` make models. `remake` says how to get the
    encoder of a model that has none, `convention` how its data were scaled. Raises UserError if the
    run diverged or its file keeps no weights.
    """

    def __init__(self, result: results.RunResult, remake: str = "", convention: str = ""):
        if result.status == "diverged":
            raise UserError(
                f"{result.run.name} diverged ({result.reason}), so it has no weights; take another "
                "model"
            )
        if not result.weights:
            raise UserError(f"no weights of {result.run.name} are kept{remake and f'; {remake}'}")
        self.result, self._remake = result, remake
        known = DATASETS.get(result.dataset)
        pixels = (
            result.weights["decoder.output.bias"].size // LIKELIHOODS[result.likelihood].outputs
        )
        #: rows and columns of an image; (D,) where the data set is not known here
        self.shape: tuple[int, ...] = known.shape if known else (pixels,)
        self._top = 1.0  # of the values of x
        if known:
            beyond = 0 if self._settings["experiment"]["dequantise"] else 1
            self._top = max(1.0, (known.levels - beyond) / self.scale)
        #: what the values of x are, in words
        self.convention: str = convention or self._convention(known)
        self._parameters = nets.stored(result.weights)

    def _convention(self, known) -> str:
        experiment = self._settings["experiment"]
        if known is None:
            return f"grey values divided by {self.scale:g}"
        parts = [f"grey values 0 to {known.levels - 1}"]
        parts += ["with uniform noise of one grey level"] * experiment["dequantise"]
        parts += [f"divided by {self.scale:g}"]
        parts += ["then 1 where at least 0.5 and 0 elsewhere"] * experiment["binarise"]
        return ", ".join(parts)

    @property
    def _settings(self) -> dict[str, Any]:
        return self.result.settings

    @property
    def name(self) -> str:
        """EXPERIMENT/ALGORITHM-nzN_Z-seedSEED."""
        return self.result.run.name

    @property
    def experiment(self) -> str:
        """The name of the experiment in the configuration."""
        return self.result.experiment

    @property
    def algorithm(self) -> str:
        """The key of the learner: aevb, wake_sleep, mcem, iwae or that of a plug-in."""
        return self.result.algorithm

    @property
    def latent_dim(self) -> int:
        """N_z."""
        return self.result.latent_dim

    @property
    def likelihood(self) -> str:
        """The key of p(x|z): bernoulli, gaussian or that of a plug-in."""
        return self.result.likelihood

    @property
    def scale(self) -> float:
        """What grey values were divided by."""
        return float(self._settings["experiment"]["scale"])

    @property
    def has_encoder(self) -> bool:
        """Whether `encode`, `bound` and importance sampling from the encoder are possible."""
        return LEARNERS[self.algorithm].online and "encoder.output.weight" in self._parameters

    @property
    def curve(self) -> pd.DataFrame:
        """Its evaluations in training, one row each: samples, seconds, train, test, ... (see
        results.CURVE), nats per datapoint."""
        return self.result.curve

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where it comes from: settings, samples, seed, step size, versions, commit, machine and
        the SHA-256 of data and code (see results.ATTRIBUTES)."""
        found = dict(self.result.attributes)
        return found | {key: json.loads(found[key]) for key in ("config", "versions")}

    def __repr__(self) -> str:
        kind = "" if self.has_encoder else ", decoder alone"
        return (
            f"Model({self.name}: {LIKELIHOODS[self.likelihood].title} decoder, "
            f"{self.result.hidden} hidden units, {self.result.samples:,} training samples{kind})"
        )

    def save(self, path: str | Path) -> None:
        """Write it as a run file, which `aevb.load_model` reads. Raises UserError."""
        results.write_run(path, self.result)

    @no_grad
    def encode(self, x) -> tuple[Any, Any]:
        """Mean and log-variance of q(z|x) (eq. 9), each (N, N_z).

        Raises UserError if `x` does not fit, or if there is no encoder: then how to get it.
        """
        images = self._images(x)
        mean, log_variance = self._encoded(images.rows)
        return images.back(mean), images.back(log_variance)

    @no_grad
    def decode(self, z) -> Any:
        """The mean image of p(x|z) (appendix C), in [0, 1]: z (N, N_z) -> (N, rows, columns).

        One z (N_z,) gives one image. Raises UserError if `z` does not fit.
        """
        size = (self.latent_dim,)
        latents = taken("z", z, *size, size, f"(N, {self.latent_dim}), one row per image")
        return latents.back(self._means(self._decoded(latents.rows)))

    @no_grad
    def sample(self, n: int, seed: int = 0, pixels: bool = False) -> np.ndarray:
        """`n` images of the model, (n, rows, columns): z is drawn from p(z) = N(0, I).

        Each is the mean of p(x|z), in [0, 1]; with `pixels`, a draw of p(x|z). One `seed` gives the
        same z either way. Raises UserError if an argument does not fit.
        """
        n = whole("n", n, 1)
        generator = seeded(seed)
        like = self._parameters["decoder.output.weight"]
        decoded = self._decoded(standard_normal(generator, (n, self.latent_dim), like))
        if not pixels:
            return self._means(decoded).numpy()
        likelihood = LIKELIHOODS[self.likelihood]
        noise = likelihood.noise(generator, (n, decoded.shape[1] // likelihood.outputs))
        drawn = likelihood.sample(decoded, torch.from_numpy(noise))
        return drawn.reshape(n, *self.shape).float().numpy()

    @no_grad
    def bound(self, x, draws: int = 100, seed: int = 0, estimator: str = "B") -> Estimate:
        """The variational bound on log p(x) of each datapoint (eq. 3), in nats.

        The mean of `draws` samples of estimator B (eq. 7), or of A (eq. 6), and its Monte Carlo
        standard error: `.value` and `.standard_error` (N,), `.mean()` of both over the datapoints.
        Its diagnostics hold kl, KL(q(z|x) || p(z)). Raises UserError if an argument does not fit,
        or if there is no encoder.
        """
        if estimator not in ("A", "B"):
            raise UserError(f"estimator is '{estimator}'; it must be 'A' (eq. 6) or 'B' (eq. 7)")
        draws = whole("draws", draws, 2)
        images, generator = self._images(x), seeded(seed)
        mean, log_variance = self._encoded(images.rows)
        totals = torch.zeros(2, len(mean), dtype=torch.float64, device=mean.device)
        shift = 0.0  # about the mean, so that squares lose no digits
        for draw in range(draws):
            noise = standard_normal(generator, tuple(mean.shape), mean)
            z = mean + torch.exp(0.5 * log_variance) * noise  # eq. 4 and 10
            parts = [a.split(CHUNK) for a in (images.rows, z, mean, log_variance)]
            found = [
                densities.bound(rows, at, self._decoded(at), *posterior, self.likelihood, estimator)
                for rows, at, *posterior in zip(*parts, strict=True)
            ]
            values = torch.cat(found).double()
            shift = values if draw == 0 else shift
            totals += torch.stack([values - shift, (values - shift) ** 2])
        first, second = totals / draws
        variance = (second - first**2).clamp(min=0) * draws / (draws - 1)
        kl = densities.kl_to_prior(mean, log_variance).double()
        value, error, kl = map(as_numpy, (shift + first, (variance / draws).sqrt(), kl))
        return images.estimate(Estimate(value, error, {"kl": kl}))

    @no_grad
    def log_p(
        self, x, estimator: str = "importance_hmc", draws: int = 100, seed: int = 0
    ) -> Estimate:
        """Log p(x) of each datapoint, in nats, with its Monte Carlo standard error.

        `estimator` is a key of aevb.marginal.ESTIMATORS, with `draws` samples per datapoint:

        * importance_hmc: importance sampling from a t distribution fitted to posterior samples;
        * importance: importance sampling from the encoder, which must be there; fast;
        * hmc_kde: the paper's, the reciprocal of appendix D (hmc_gaussian: with a Gaussian);
        * ais: annealed importance sampling, with so many temperatures;

        or quadrature, exact, for N_z up to 3: `draws` and `seed` play no part. `.value` and
        `.standard_error` are (N,), `.mean()` gives both over the datapoints, and `.diagnostics` say
        how far to trust them: a k_hat above 0.7 is a warning. Posterior samples are drawn as for
        Figure 3 (aevb.marginal.options.Evidence). Raises UserError if an argument does not fit, the
        estimator needs what the model has not, or it fails.
        """
        valid = [*(key for key, e in ESTIMATORS.items() if not e.needs_exact), QUADRATURE]
        if estimator not in valid:
            raise UserError(
                f"there is no estimator of log p(x) '{estimator}'{nearest(estimator, valid)}"
            )
        images = self._images(x)
        parameters = self._on(images.rows.device)
        joint = Joint(parameters, images.rows.unsqueeze(0), self.likelihood)
        if estimator == QUADRATURE:
            return images.estimate(self._quadrature(joint))
        draws = whole("draws", draws, 2)
        generator, options = seeded(seed), Evidence()
        progress = Progress(f"log p(x) of {self.name}", 1).part
        if self.has_encoder:
            proposal = from_encoder(parameters, joint.x)
        else:
            proposal = _NoProposal(self._without_encoder("importance_hmc needs none"))
        tuning = (options.leapfrog, options.acceptance, options.memory_mb)
        samples = None
        if ESTIMATORS[estimator].needs_chain:
            if self.has_encoder and self.latent_dim not in COARSE:
                start = proposal.sample(generator, 1)[0]
            else:  # as for Figure 3; in many dimensions few draws of the prior come near
                start = prior_start(joint, generator, START_DRAWS, options.memory_mb)
            samples = posterior_samples(
                joint, start, generator, draws, options.warmup, *tuning, progress
            )
        task = Task(joint, draws, generator, proposal, *tuning, progress, samples)
        return images.estimate(ESTIMATORS[estimator].estimate(task))

    def _quadrature(self, joint: Joint) -> Estimate:
        if self.latent_dim not in COARSE:
            raise UserError(
                f"quadrature is for N_z up to {max(COARSE)}, and this model has {self.latent_dim}; "
                "take importance_hmc"
            )
        found = quadrature(joint)
        off = np.maximum(found.diagnostics["discretisation"], found.diagnostics["truncation"])
        if off.max() > TRUSTED:
            raise UserError(
                f"quadrature did not converge at {(off > TRUSTED).sum()} of {len(off)} datapoints; "
                "take importance_hmc"
            )
        return found

    def _on(self, device) -> dict[str, Tensor]:
        return {name: value.to(device) for name, value in self._parameters.items()}

    def _encoded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        if not self.has_encoder:
            raise UserError(self._without_encoder("decode, sample and log_p need none"))
        mean, log_variance = nets.encode(rows[None], self._on(rows.device))
        return mean[0], log_variance[0]

    def _without_encoder(self, rest: str) -> str:
        learner = LEARNERS[self.algorithm]
        if not learner.online:
            return f"{self.name} has no encoder, as {learner.title} trains none; {rest}"
        return (
            f"only the decoder of {self.name} is kept here ({rest}); "
            f"{self._remake or 'load it from its run file'}"
        )

    def _decoded(self, z: Tensor) -> Tensor:
        return nets.decode(z[None], self._on(z.device))[0]

    def _means(self, decoded: Tensor) -> Tensor:
        mean = LIKELIHOODS[self.likelihood].mean(decoded.cpu().numpy())
        return torch.from_numpy(mean).reshape(len(mean), *self.shape).to(decoded.device)

    def _images(self, x) -> Rows:
        """x as rows (N, D). Raises UserError if its shape or the range of its values is wrong."""
        pixels = int(np.prod(self.shape))
        forms = [f"(N, {pixels})"]
        if len(self.shape) == 2:
            forms.append(f"(N, {self.shape[0]}, {self.shape[1]})")
        images = taken("x", x, pixels, self.shape, f"{' or '.join(forms)}, or one image")
        low, high = images.rows.min().item(), images.rows.max().item()
        whole = bool((images.rows == images.rows.round()).all())
        # A density is defined beyond them too, where draws of pixels may lie.
        if (low < 0 or high > self._top) and (whole or not LIKELIHOODS[self.likelihood].continuous):
            raise UserError(
                f"the values of x run from {low:g} to {high:g}, but this model takes "
                f"{self.convention}: from 0 to {self._top:g}"
            )
        return images
