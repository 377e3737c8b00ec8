"""What the page of latent planes holds of a model: its networks in 8 bits, and test images.

A weight matrix with as many columns or rows as there are pixels has 8 bits, with one step size per
output; all else has 32 bits. The decoder is that of appendix C, the encoder its mean (eq. 9).
"""

from __future__ import annotations

import base64
import zlib

import numpy as np
from scipy.special import expit

from ...data import DATASETS
from ...report.pictures import outputs
from ...results import RunResult
from .encoding import WHITE

LEVELS = 127  # of the size of a weight in 8 bits
INK = WHITE / 10  # grey value from which a pixel belongs to what is drawn


def decoder(run: RunResult) -> dict[str, np.ndarray]:
    """The parameters of the mean's decoder; `output.weight` (H, D) in 8 bits, `step` (D,)."""
    # The mean's logits come first in the output of any likelihood.
    pixels = np.prod(DATASETS[run.dataset].shape)
    parts = _of(run, "decoder.")
    weight, step = _eight_bits(parts["output.weight"][:, :pixels])
    parts |= {"output.weight": weight, "output.bias": parts["output.bias"][..., :pixels]}
    parts |= {"step": step}
    return {name: _little(value) for name, value in parts.items()}


def encoder(run: RunResult) -> dict[str, np.ndarray]:
    """The parameters of the encoder's mean; `hidden.weight` (D, H) in 8 bits, `step` (H,)."""
    parts, nz = _of(run, "encoder."), run.latent_dim
    weight, step = _eight_bits(parts["hidden.weight"])
    parts |= {name: parts[name][..., :nz] for name in ("output.weight", "output.bias")}
    parts |= {"hidden.weight": weight, "step": step}
    return {name: _little(value) for name, value in parts.items()}


def _of(run: RunResult, net: str) -> dict[str, np.ndarray]:
    named = run.weights.items()
    return {name.removeprefix(net): value for name, value in named if name.startswith(net)}


def _eight_bits(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(in, out) as int8, and the step of each column (out,)."""
    step = (np.abs(weight).max(0) / LEVELS).astype("<f4")
    return np.round(weight / np.where(step > 0, step, 1)).astype(np.int8), step


def _little(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value, value.dtype.newbyteorder("<"))


def decode(parts: dict[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """What the page shows: means (n, D) in [0, 1] at the latent points z (n, 2)."""
    weights = {f"decoder.{name}": value for name, value in parts.items()}
    weights["decoder.output.weight"] = parts["output.weight"] * parts["step"].astype(float)
    return expit(outputs(weights, z))


def encode(parts: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Where the page puts images: means (n, 2) of q(z|x) at x (n, D), grey values in [0, 1]."""
    sums = (x @ parts["hidden.weight"].astype(float)) * parts["step"]
    return np.tanh(sums + parts["hidden.bias"]) @ parts["output.weight"] + parts["output.bias"]


def framed(images: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    """How what `images` (n, D) show lies in them, on average: the longer side of its bounding box
    and its centre of mass, in pixels; and their largest grey value, 0 to 1. Nothing where all are
    black.

    A drawing is fitted to that before it is encoded, as MNIST's makers fitted theirs.
    """
    pictures = images.reshape(-1, *shape).astype(float)
    pictures = pictures[(pictures >= INK).any((1, 2))]
    if not len(pictures):
        return {}
    middle, sides = {}, []
    for axis, name in ((1, "down"), (2, "right")):
        profile = pictures.sum(3 - axis)
        places = np.arange(shape[axis - 1]) + 0.5
        middle[name] = (profile @ places / profile.sum(1)).mean()
        inked = (pictures >= INK).any(3 - axis)
        sides.append(shape[axis - 1] - inked.argmax(1) - inked[:, ::-1].argmax(1))
    found = {"side": np.maximum(*sides).mean(), **middle, "white": images.max() / WHITE}
    return {name: round(float(value), 3) for name, value in found.items()}


def packed(arrays: dict[str, np.ndarray]) -> dict:
    """`arrays` as the page's script unpacks them: [name, type, bytes] of each, in order, and all
    bytes, deflated, as text."""
    listed = [[name, value.dtype.str, value.nbytes] for name, value in arrays.items()]
    whole = zlib.compress(b"".join(value.tobytes() for value in arrays.values()), 9)
    return {"arrays": listed, "bytes": base64.b64encode(whole).decode()}
