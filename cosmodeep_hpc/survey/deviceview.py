"""What a network is shown at a scale, made on a device: matched, filled and preprocessed pixels.

The twin of `matching`, `filling` and `Preprocessing` for programs that JAX compiles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.survey.canvas import HALO, Canvas
from cosmodeep_hpc.survey.filling import SIDE, noise_of
from cosmodeep_hpc.survey.matching import NoiseMatching
from cosmodeep_hpc.survey.scales import Scale
from cosmodeep_hpc.tiles.preprocessing import Preprocessing
from cosmodeep_hpc.tiles.stretch import LARGEST

BESIDE = 4
"""Cells of a mesh, at least, that a canvas has room for beside those that it covers."""


class ScaleNumbers(NamedTuple):
    """What pixels of a scale are matched, filled and preprocessed with; arrays for a device.

    Attributes:
        sigma: noise that becomes that of the training [Jy/arcsec^2], in cells of a mesh.
        below: background that is subtracted before, in the same cells.
        shown: level that stands in for missing pixels, in the same cells.
        first: row of the scale that the mesh begins with, int32.
        side: of a cell [pixel].
        target: noise of the training [Jy/arcsec^2].
        noise: (SIDE, SIDE), which repeats, of standard deviation 1.
        filled: standard deviation of it [Jy/arcsec^2].
        stretch: float32 (3,): floor, what is subtracted, and the factor of the preprocessing.
    """

    sigma: NDArray[np.float32]
    below: NDArray[np.float32]
    shown: NDArray[np.float32]
    first: np.int32
    side: np.float32
    target: np.float32
    noise: NDArray[np.float32]
    filled: np.float32
    stretch: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        scaling: NoiseMatching,
        scale: Scale,
        preprocessing: Preprocessing,
        canvas: Canvas,
    ) -> ScaleNumbers:
        """Return the numbers of a scale, in arrays whose shapes depend on that of the canvas."""
        factor, side, level = scale.factor, scaling.side, scaling.level
        room = tuple(length // factor // scale.size + BESIDE for length in canvas.seen)
        begin = max((canvas.first - HALO) // factor // side - 1 - scaling.first, 0)

        def mesh(values: float | NDArray[np.float32] | None) -> NDArray[np.float32]:
            """Return what there is from `begin` on; it goes on by its last row and column."""
            if not isinstance(values, np.ndarray):
                return np.full(room, values or 0.0, dtype=np.float32)
            part = values[begin : begin + room[0]]
            beyond = [(0, there - here) for there, here in zip(room, part.shape, strict=True)]
            return np.pad(part, beyond, mode="edge")

        if preprocessing.scaling == "asinh":
            stretch = 0.0, 0.0, 1.0 / level.sigma
        else:
            span = level.high - level.low
            stretch = preprocessing.floor, level.low, 1.0 / span if span > 0 else 0.0
        return cls(
            sigma=mesh(scaling.target if scaling.sigma is None else scaling.sigma),
            below=mesh(scaling.background),
            shown=mesh(scaling.shown),
            first=np.int32((scaling.first + begin) * side),
            side=np.float32(side),
            target=np.float32(scaling.target),
            noise=noise_of(scale.beam),
            filled=np.float32(level.sigma),
            stretch=np.array(stretch, dtype=np.float32),
        )


def pyramid(pixels: Any, factors: tuple[int, ...]) -> list[Any]:
    """Return pixels, and means of those with data in blocks of each further factor; NaN: none.

    Args:
        factors: 1, 2, 4 and so on; sides of `pixels` are multiples of the last.
    """
    finite = jnp.isfinite(pixels)
    total, count = jnp.where(finite, pixels, 0), finite.astype(jnp.float32)
    found = [pixels]
    for _ in factors[1:]:
        total, count = _pairs(total), _pairs(count)
        found.append(jnp.where(count > 0, total / jnp.maximum(count, 1), jnp.nan))
    return found


def _pairs(values: Any) -> Any:
    """Sum blocks of 2 x 2."""
    rows, cols = values.shape
    return values.reshape(rows // 2, 2, cols // 2, 2).sum(axis=(1, 3))


def shown(pixels: Any, top: Any, left: int, numbers: Any, scaling: str) -> Any:
    """Return pixels of a scale as the network is shown them; can be traced.

    Args:
        pixels: NaN where there is no data.
        top, left: row and column of the first pixel in the scale; below 0 outside it.
        numbers: a `ScaleNumbers`.
        scaling: of the preprocessing.
    """
    rows, cols = (jnp.arange(length) for length in pixels.shape)
    rows, cols = rows + top, cols + left
    place = rows - numbers.first, cols, numbers.side
    matched = pixels - _interpolated(numbers.below, *place)
    matched *= numbers.target / _interpolated(numbers.sigma, *place)
    filling = numbers.filled * numbers.noise[rows % SIDE][:, cols % SIDE]
    filling += _interpolated(numbers.shown, *place)
    whole = jnp.where(jnp.isnan(matched), filling, matched)
    floor, low, factor = numbers.stretch
    if scaling == "asinh":
        size = jnp.minimum(jnp.abs(whole * factor), LARGEST)
        root = jnp.log(size + jnp.sqrt(size * size + 1))
        return jnp.where(whole >= 0, root, -root)
    return jnp.clip((jnp.log(jnp.maximum(whole, floor)) - low) * factor, 0, 1)


def _interpolated(mesh: Any, rows: Any, cols: Any, side: Any) -> Any:
    """Interpolate a mesh at pixels: bilinear between centres of cells, constant beyond them."""
    lower, upper, share = _between(rows, side, mesh.shape[0])
    lines = mesh[lower] + share[:, None] * (mesh[upper] - mesh[lower])
    lower, upper, share = _between(cols, side, mesh.shape[1])
    before = lines[:, lower]
    return before + share * (lines[:, upper] - before)


def _between(places: Any, side: Any, count: int) -> tuple[Any, Any, Any]:
    """Return the two cells whose centres a place lies between, and its distance from the first."""
    at = jnp.clip((places + 0.5) / side - 0.5, 0, count - 1)
    first = at.astype(jnp.int32)
    return first, jnp.minimum(first + 1, count - 1), at - first
