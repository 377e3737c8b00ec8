"""Hamiltonian Monte Carlo as a pure, batched kernel.

Every leading index of z (..., D) is a chain of its own. The kernel draws nothing: momenta and
uniform numbers come in, so that a caller decides from which stream (core/streams.py). Leapfrog
integration and acceptance are as in R. Neal, MCMC using Hamiltonian dynamics (2011), with unit
masses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..core.lazy import lazy

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")

# Nats: an energy error beyond this says that the integrator has left the level set for good.
DIVERGENT = 1000.0


class Target(Protocol):
    """An unnormalised log density over z (..., D)."""

    def gradient(self, z: Tensor) -> Tensor:
        """Gradient of the log density, (..., D)."""

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log density (...) in nats, and its gradient (..., D)."""


class State(NamedTuple):
    """Where the chains are."""

    z: Tensor  # (..., D)
    value: Tensor  # (...), log density at z
    gradient: Tensor  # (..., D), of the log density at z


class Info(NamedTuple):
    """What happened to each chain, all (...)."""

    acceptance: Tensor  # probability min(1, e^-energy_error)
    accepted: Tensor  # bool
    #: H after the trajectory minus H before it; not a number counts as infinite
    energy_error: Tensor
    divergent: Tensor  # bool: energy error beyond DIVERGENT


def initial(target: Target, z: Tensor) -> State:
    """The state of chains at z (..., D)."""
    return State(z, *target.value_and_gradient(z))


def leapfrog(
    target: Target, state: State, momentum: Tensor, step_size: Tensor | float, steps: int
) -> tuple[State, Tensor]:
    """`steps` leapfrog steps from (state.z, momentum): the state and the momentum at the end.

    `step_size` broadcasts against z. Reversible and volume preserving; the energy error is
    O(step_size^2). The density is evaluated at the last step alone, the gradient at every one.
    """
    z, gradient = state.z, state.gradient
    momentum = momentum + 0.5 * step_size * gradient
    for step in range(steps):
        z = z + step_size * momentum
        if step < steps - 1:
            momentum = momentum + step_size * target.gradient(z)
    value, gradient = target.value_and_gradient(z)
    return State(z, value, gradient), momentum + 0.5 * step_size * gradient


def transition(
    target: Target,
    state: State,
    momentum: Tensor,
    uniform: Tensor,
    step_size: Tensor | float,
    steps: int,
) -> tuple[State, Info]:
    """One HMC transition of every chain: standard normal `momentum` (..., D), `uniform` (...) on
    [0, 1).

    A proposal whose energy is not a number is rejected.
    """
    proposal, end = leapfrog(target, state, momentum, step_size, steps)
    energy_error = (state.value - proposal.value) + 0.5 * (
        end.square().sum(-1) - momentum.square().sum(-1)
    )
    energy_error = torch.nan_to_num(
        energy_error, nan=torch.inf, posinf=torch.inf, neginf=-torch.inf
    )
    acceptance = torch.exp(-energy_error.clamp(min=0))
    accepted = uniform < acceptance
    choose = accepted.unsqueeze(-1)
    moved = State(
        torch.where(choose, proposal.z, state.z),
        torch.where(accepted, proposal.value, state.value),
        torch.where(choose, proposal.gradient, state.gradient),
    )
    return moved, Info(acceptance, accepted, energy_error, energy_error > DIVERGENT)


def author_rule(step_size: Tensor, acceptance: Tensor, target: float, chains: int) -> Tensor:
    """The step size after a transition with mean `acceptance`, as the author's code adapts it
    without end.

    It is multiplied if the acceptance is at least `target`, else divided, by min(1.25,
    1.02^min(100, chains)).
    """
    factor = min(1.25, 1.02 ** min(100, chains))
    return torch.where(acceptance < target, step_size / factor, step_size * factor)
