"""A learner: the bound with a weight on the KL divergence (Higgins et al. 2017)."""

from pydantic import Field

from aevb.core.sections import Positive, Strict
from aevb.learners import LEARNERS
from aevb.learners.autograd import AutogradLearner
from aevb.learners.gradients import draw_z
from aevb.models import densities, nets
from aevb.models.likelihoods import LIKELIHOODS


class Options(Strict):
    """A weight on the KL divergence."""

    beta: Positive = Field(4.0, description="the weight")


class Weighted(AutogradLearner):
    """The bound with a weight on the KL divergence."""

    key, label, title = "weighted", "weighted KL", "the bound with a weight on the KL divergence"
    Options = Options
    subtracts_kl = False  # `sampled` gives the whole bound

    def bound(self, p, x, noise):
        mean, log_variance = nets.encode(x, p)
        z, _ = draw_z(mean, log_variance, noise[0])
        decoded = nets.decode(z, p).unflatten(-2, (self.training.draws, -1))
        log_p = LIKELIHOODS[self.likelihood].log_density(x.unsqueeze(-3), decoded)
        return log_p.mean((-2, -1)) - self._weighted(mean, log_variance).mean(-1)

    def sampled(self, p, x, mean, log_variance, generator):
        log_p = super().sampled(p, x, mean, log_variance, generator)
        return log_p - self._weighted(mean, log_variance)

    def _weighted(self, mean, log_variance):
        return self.options.beta * densities.kl_to_prior(mean, log_variance)


LEARNERS.register(Weighted)
