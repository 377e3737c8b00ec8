"""The workloads, and what trains them: this project, the idioms of PyTorch, and two public
libraries.

A contender's `train(images, index, loader_workers, done)` trains for ever and calls done(samples)
after each step (ours: each block). All but ours share the networks of `VAE`; their `minus_bound(x)`
gives what they minimise and leaves its gradient in `vae`, by the code that is timed: `check_equal`
holds it against ours.

pythae 0.1.2 knows no Gaussian decoder with a free variance: for Frey Face its VAE is given another
`loss_function`, the extension that the library provides for; everything else is its own.
"""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass
from math import log, pi, prod
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from aevb import config, data
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.models import nets
from aevb.models.likelihoods import LIKELIHOODS

# Relative, between bounds and gradients of ours and theirs: float32 leaves about 1e-6.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Workload:
    """AEVB (estimator B, L = 1) with Adagrad on one data set; the weight decay M/N is the prior
    N(0, I) of the MAP estimate."""

    name: str
    latent_dim: int
    experiment: config.Experiment
    batch: int = 100
    step_size: float = 0.02

    @property
    def layout(self) -> nets.Layout:
        experiment = self.experiment
        return nets.Layout(
            prod(data.DATASETS[experiment.dataset].shape),
            experiment.hidden,
            self.latent_dim,
            experiment.likelihood,
        )

    @property
    def decay(self) -> float:
        return self.batch / data.DATASETS[self.experiment.dataset].n_train

    @property
    def model(self) -> str:
        layout = self.layout
        sizes = f"{layout.pixels} pixels, {layout.hidden} hidden, N_z = {self.latent_dim}"
        return f"AEVB, {sizes}, M = {self.batch}, {layout.likelihood}"


# Scale 255 for MNIST, as torchvision's ToTensor has it.
WORKLOADS = {
    "mnist": Workload(
        "mnist",
        20,
        config.Experiment(dataset="mnist", likelihood="bernoulli", hidden=500, scale=255),
    ),
    "frey": Workload(
        "frey", 10, config.Experiment(dataset="frey", likelihood="gaussian", hidden=200)
    ),
    "frey500": Workload(
        "frey500", 10, config.Experiment(dataset="frey", likelihood="gaussian", hidden=200), 500
    ),
    "figure3": Workload(
        "figure3",
        3,
        config.Experiment(dataset="mnist", likelihood="bernoulli", hidden=100, scale=255),
    ),
}


class Images(NamedTuple):
    """Where the images of a data set lie, and what they are."""

    file: Path  # prepared, see aevb.data
    folder: Path  # for torchvision's MNIST and what pythae writes
    name: str


def _bernoulli(x: Tensor, decoded: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(decoded, x, reduction="sum")


def _gaussian(x: Tensor, decoded: Tensor) -> Tensor:
    logits, log_variance = decoded.chunk(2, dim=-1)
    squared = (x - torch.sigmoid(logits)) ** 2 * torch.exp(-log_variance)
    return 0.5 * (log(2 * pi) + log_variance + squared).sum()


# As one would write them: -log p(x|z) summed over the minibatch (eq. 11 and 12).
MINUS_LOG_LIKELIHOODS = {"bernoulli": _bernoulli, "gaussian": _gaussian}


class VAE(nn.Module):
    """The model as one would write it; `forward` gives minus the bound, summed over the
    minibatch (estimator B, eq. 7 and 10)."""

    def __init__(self, workload: Workload):
        super().__init__()
        layout = workload.layout
        pixels, hidden, latent_dim, self.likelihood = (
            layout.pixels,
            layout.hidden,
            layout.latent_dim,
            layout.likelihood,
        )
        outputs = LIKELIHOODS[self.likelihood].width(pixels)
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
        )

    def minus_log_likelihood(self, x: Tensor, decoded: Tensor) -> Tensor:
        """-log p(x|z) summed over the minibatch (eq. 11 or 12)."""
        return MINUS_LOG_LIKELIHOODS[self.likelihood](x, decoded)

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
        return self.minus_log_likelihood(x, self.decoder(z)) + kl

    def parts(self) -> dict[str, nn.Parameter]:
        """The parameters by their names in nets.Layout; the weights are transposed there."""
        sides = {"encoder": self.encoder, "decoder": self.decoder}
        layers, parts = {"hidden": 0, "output": 2}, ("weight", "bias")
        return {
            f"{name}.{layer}.{part}": getattr(net[layers[layer]], part)
            for name, net in sides.items()
            for layer in layers
            for part in parts
        }


class Contender:
    def __init__(self, workload: Workload):
        self.workload, self.vae = workload, VAE(workload)

    def in_memory(self, images: Images) -> Tensor:
        return data.load(images.file, self.workload.experiment).train

    def minibatches(self, images: Images, loader_workers: int):
        """Minibatches (M, D) without end, drawn from memory with replacement."""
        train = self.in_memory(images)
        while True:
            yield train[torch.randint(len(train), (self.workload.batch,))]


class Ours(Contender):
    """A stack of one replica, trained block after block as a job of the pipeline does."""

    bfloat16 = False

    def train(self, images, index, loader_workers, done):
        from aevb.engine.settings import Settings
        from aevb.engine.stack import Stack

        workload = self.workload
        training = config.Training(batch_size=workload.batch, draws=1, estimator="B")
        settings = Settings(
            workload.experiment,
            training,
            config.Evaluation(),
            samples=sys.maxsize,
            device="cpu",
            threads=1,
            bfloat16=self.bfloat16,
        )
        run = Run(workload.name, "aevb", workload.latent_dim, index)
        stack = Stack(
            [run], [workload.step_size], settings, data.load(images.file, workload.experiment)
        )
        while stack.live:
            stack.train_block(sys.maxsize)
            done(stack.block * stack.samples_per_step)
        raise RuntimeError("our model diverged")


class Rounded(Ours):
    """The same with matrix products in bfloat16."""

    bfloat16 = True


class Fused(Contender):
    """nn.Module and autograd, images in memory, torch's fused Adagrad."""

    fused: bool | None = True

    def minus_bound(self, x: Tensor) -> Tensor:
        loss = self.vae(x)
        loss.backward()
        return loss

    def train(self, images, index, loader_workers, done):
        rate, decay = self.workload.step_size, self.workload.decay
        optimizer = torch.optim.Adagrad(
            self.vae.parameters(), lr=rate, weight_decay=decay, fused=self.fused
        )
        for x in self.minibatches(images, loader_workers):
            optimizer.zero_grad()
            self.minus_bound(x)
            optimizer.step()
            done(len(x))


class Plain(Fused):
    """The same with torch's default Adagrad and a DataLoader over torchvision's MNIST or, as
    torchvision has no Frey Face, over a TensorDataset."""

    fused = None  # torch's default

    def dataset(self, images: Images):
        if self.workload.experiment.dataset != "mnist":
            return TensorDataset(self.in_memory(images))
        # These take a second to import, and no other contender needs them.
        from torchvision import transforms
        from torchvision.datasets import MNIST

        return MNIST(images.folder, train=True, transform=transforms.ToTensor())

    def minibatches(self, images, loader_workers):
        options = {"num_workers": loader_workers, "persistent_workers": loader_workers > 0}
        loader = DataLoader(
            self.dataset(images), batch_size=self.workload.batch, shuffle=True, **options
        )
        while True:
            for x, *_ in loader:
                yield x.flatten(1)


class Pyro(Contender):
    """Pyro's SVI on the same networks, with the analytic KL that ours has, images in memory and
    its checks off."""

    def __init__(self, workload):
        import pyro
        from pyro.distributions import Bernoulli, Normal
        from pyro.infer import SVI, TraceMeanField_ELBO

        super().__init__(workload)
        pyro.enable_validation(False)
        pyro.clear_param_store()
        vae = self.vae

        def normal(decoded):
            logits, log_variance = decoded.chunk(2, dim=-1)
            return Normal(torch.sigmoid(logits), torch.exp(0.5 * log_variance))

        distributions = {
            "bernoulli": lambda decoded: Bernoulli(logits=decoded),
            "gaussian": normal,
        }

        def model(x):
            pyro.module("decoder", vae.decoder)
            with pyro.plate("data", len(x)):
                z = pyro.sample(
                    "z", Normal(x.new_zeros(len(x), workload.latent_dim), 1.0).to_event(1)
                )
                decoded = vae.decoder(z)
                pyro.sample("x", distributions[vae.likelihood](decoded).to_event(1), obs=x)

        def guide(x):
            pyro.module("encoder", vae.encoder)
            with pyro.plate("data", len(x)):
                mean, log_variance = vae.encoder(x).chunk(2, dim=-1)
                pyro.sample("z", Normal(mean, torch.exp(0.5 * log_variance)).to_event(1))

        adagrad = pyro.optim.Adagrad({"lr": workload.step_size, "weight_decay": workload.decay})
        self.svi = SVI(model, guide, adagrad, loss=TraceMeanField_ELBO())

    def minus_bound(self, x: Tensor) -> Tensor:
        return torch.tensor(self.svi.loss_and_grads(self.svi.model, self.svi.guide, x))

    def train(self, images, index, loader_workers, done):
        for x in self.minibatches(images, loader_workers):
            self.svi.step(x)
            done(len(x))


class Pythae(Contender):
    """pythae's VAE with the same networks, trained by its BaseTrainer."""

    def __init__(self, workload):
        from pythae.models import VAE as Base
        from pythae.models import VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder

        super().__init__(workload)
        vae = self.vae

        class Encoder(BaseEncoder):
            def forward(self, x):
                mean, log_variance = vae.encoder(x).chunk(2, dim=-1)
                return ModelOutput(embedding=mean, log_covariance=log_variance)

        class Decoder(BaseDecoder):
            def forward(self, z):
                return ModelOutput(reconstruction=reconstruct(vae.decoder(z)))

        class Gaussian(Base):
            def loss_function(self, recon_x, x, mu, log_var, z):
                reconstruction = vae.minus_log_likelihood(x, recon_x) / len(x)
                kl = -0.5 * (1 + log_var - mu.pow(2) - log_var.exp()).sum() / len(x)
                return reconstruction + kl, reconstruction, kl

        settings = VAEConfig(
            input_dim=(workload.layout.pixels,),
            latent_dim=workload.latent_dim,
            reconstruction_loss="bce",
        )
        model, reconstruct = {
            "bernoulli": (Base, torch.sigmoid),
            "gaussian": (Gaussian, nn.Identity()),
        }[vae.likelihood]
        encoder, decoder = Encoder(), Decoder()
        # Their parameters are then the model's.
        encoder.layers, decoder.layers = vae.encoder, vae.decoder
        self.model = model(settings, encoder, decoder)

    def minus_bound(self, x: Tensor) -> Tensor:
        loss = self.model({"data": x}).loss * len(x)  # its loss is the mean over the minibatch
        loss.backward()
        return loss

    def train(self, images, index, loader_workers, done):
        from pythae.data.datasets import BaseDataset
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
        from pythae.trainers.training_callbacks import TrainingCallback

        batch, x = self.workload.batch, self.in_memory(images)

        class Count(TrainingCallback):
            def on_train_step_end(self, training_config, **_):
                done(batch)

        adagrad = {"optimizer_cls": "Adagrad", "learning_rate": self.workload.step_size}
        # The loss is a mean over the minibatch.
        adagrad["optimizer_params"] = {"weight_decay": self.workload.decay / batch}
        folder = str(images.folder / "pythae")
        settings = BaseTrainerConfig(
            folder,
            per_device_train_batch_size=batch,
            num_epochs=sys.maxsize,
            no_cuda=True,
            **adagrad,
        )
        BaseTrainer(
            self.model,
            BaseDataset(x, torch.zeros(len(x))),
            training_config=settings,
            callbacks=[Count()],
        ).train()


PER_CORE, ROUNDED = "plain, a process a core", "ours, bfloat16"
CONTENDERS = {
    "ours": Ours,
    ROUNDED: Rounded,
    "plain": Plain,
    PER_CORE: Plain,
    "fused": Fused,
    "pyro": Pyro,
    "pythae": Pythae,
}
PACKAGES = {"pyro": "pyro-ppl", "pythae": "pythae"}


class Arrangement(NamedTuple):
    """A way to use the machine; `threads` None: torch's default."""

    processes: int
    threads: int | None = 1
    loader_workers: int = 0


def arrangements(workload: Workload, name: str, cores: int) -> list[Arrangement]:
    """The ways in which a contender is tried; the fastest counts."""
    loader_workers = (0, 2) if workload.name == "mnist" else (0,)
    if name == "plain":
        return [Arrangement(1, None, number) for number in loader_workers]
    if name == PER_CORE:
        return [Arrangement(cores, 1, number) for number in loader_workers]
    return [Arrangement(1, None), Arrangement(cores)] if name == "fused" else [Arrangement(cores)]


def package(name: str) -> str:
    """Name and version of the package that a contender is built on; '' if it is not installed."""
    wanted = PACKAGES.get(name, "torch")
    try:
        return f"{wanted} {importlib.metadata.version(wanted)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def our_bound(
    workload: Workload, theta: Tensor, x: Tensor, noise: Tensor
) -> tuple[float, dict[str, Tensor]]:
    """Our bound, in nats per datapoint, at theta (1, P), and its gradient summed over the
    minibatch, by the names of nets.Layout: the one place here that knows the learners."""
    from aevb.config import Training
    from aevb.learners.aevb import AEVB

    value, gradient = AEVB(workload.layout.likelihood, Training()).gradient(
        workload.layout.view(theta), x[None], [noise[None, None]]
    )
    return value.item(), gradient


def check_equal(name: str, workload: Workload, images: Images) -> tuple[float, float]:
    """Relative differences in bound and gradient between a contender and ours on equal parameters,
    minibatch and noise.

    Raises UserError when one is larger than TOLERANCE, or the contender reads other images.
    """
    contender = CONTENDERS[name](workload)
    x = contender.in_memory(images)[: workload.batch]
    if isinstance(contender, Plain):
        dataset = contender.dataset(images)
        if not torch.allclose(torch.stack([dataset[i][0] for i in range(len(x))]).flatten(1), x):
            raise UserError(
                f"{name} does not read the images that ours reads; the comparison would mean "
                "nothing"
            )
    layout, parts = workload.layout, contender.vae.parts()
    noise = torch.Generator().manual_seed(0)
    # Large: every term counts.
    theta = 0.1 * torch.randn(1, layout.n_parameters, generator=noise)
    for key, value in layout.view(theta).items():
        parts[key].data.copy_(value[0].T if value.shape[1] > 1 else value[0, 0])
    with torch.random.fork_rng(devices=[]):
        # Every contender draws its noise as torch.randn does, and nothing else.
        torch.manual_seed(0)
        theirs = -contender.minus_bound(x).item() / len(x)
        torch.manual_seed(0)
        bound, gradient = our_bound(workload, theta, x, torch.randn(len(x), layout.latent_dim))
    ours = torch.cat([gradient[key].flatten() for key in parts])
    # t, as a bias has one dimension.
    difference = ours + torch.cat([part.grad.t().flatten() for part in parts.values()])
    differences = abs(theirs - bound) / abs(bound), (difference.norm() / ours.norm()).item()
    if not max(differences) <= TOLERANCE:
        raise UserError(
            f"{name} does not compute what ours does on {workload.name}, so that the comparison "
            "would mean nothing: relative difference "
            f"{differences[0]:.1e} in the bound and {differences[1]:.1e} in its gradient, where "
            f"{TOLERANCE:.0e} is allowed"
        )
    return differences
