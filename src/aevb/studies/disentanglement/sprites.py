"""Sprites: grey images of 16 x 16 pixels, one for every combination of five factors.

After dSprites (Matthey et al. 2017), which has 737,280 images. An ideal code can exist here: no
shape is mapped onto itself by a rotation of up to a quarter turn, and orientations go from 0 to a
quarter turn, so that no two combinations give the same image and no factor is a circle. (A square
would come back to itself after that quarter turn.)
"""

from __future__ import annotations

import numpy as np

SIDE = 16  # pixels
FINE = 4  # points per pixel and axis at which the shape is looked up: grey values in 1/16
SHAPES = ("ellipse", "triangle", "heart")
RADII = np.linspace(2.5, 4.0, 3)  # pixels: of the disc about a shape's centre that holds it
TURNS = np.linspace(0, np.pi / 2, 8)  # radians
BOX = 9  # pixels: a shape lies in a box of this side
PLACES = np.arange(SIDE - BOX + 1) + BOX / 2  # pixels: of the centre, in x and in y; steps of 1
FACTORS = ("shape", "scale", "orientation", "x", "y")
SIZES = (len(SHAPES), len(RADII), len(TURNS), len(PLACES), len(PLACES))


def inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points (u, v) are in a shape of radius 1 that is not rotated."""
    if shape == "ellipse":
        return u**2 + (v / 0.45) ** 2 <= 1
    if shape == "triangle":  # isosceles; its tip at (1, 0)
        return (u >= -0.6) & (np.abs(v) <= 0.7 * (1 - u) / 1.6)
    u, v = 1.25 * u, 1.25 * v
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3  # the heart curve


def factors() -> np.ndarray:
    """The value of every factor of every image, as places on its grid: (4608, 5), whole numbers.
    The last factor changes fastest."""
    return np.stack(np.unravel_index(np.arange(np.prod(SIZES)), SIZES), axis=1)


def images() -> np.ndarray:
    """All images in the order of `factors`: (4608, 256) float32, the share of each pixel that the
    shape covers, 0 to 1."""
    fine = (np.arange(BOX * FINE) + 0.5) / FINE - BOX / 2
    radius, turn = RADII[:, None, None, None], TURNS[:, None, None]
    x, y = fine / radius, fine[:, None] / radius
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    cells = np.stack([inside(shape, u, v) for shape in SHAPES])
    cells = cells.reshape(*SIZES[:3], BOX, FINE, BOX, FINE).mean((4, 6))
    found = np.zeros((*SIZES, SIDE, SIDE), np.float32)
    for x, y in np.ndindex(SIZES[3:]):
        found[..., x, y, y : y + BOX, x : x + BOX] = cells
    return found.reshape(-1, SIDE**2)
