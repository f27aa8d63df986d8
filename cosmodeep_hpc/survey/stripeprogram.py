"""The program of a stripe: from pixels as they are read to packed probabilities, on a device.

JAX compiles it for each shape of a canvas. Places, sizes, noise, beams and weights are numbers that
it is given, so that nothing is compiled from image to image of one shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosmodeep_hpc.engine.blocks import EDGE, EVEN
from cosmodeep_hpc.engine.byjax import BlockProgram
from cosmodeep_hpc.engine.enlarged import Frame
from cosmodeep_hpc.engine.jaxlayers import PRECISION, Weights
from cosmodeep_hpc.learn.pixelmap import BLANK, LEVELS, LOWEST
from cosmodeep_hpc.learn.viewfusion import LIMIT, Fusion
from cosmodeep_hpc.survey.canvas import HALO
from cosmodeep_hpc.survey.deviceview import ScaleNumbers, pyramid, shown
from cosmodeep_hpc.survey.scales import BESIDE, FACTORS


class FusionNumbers(NamedTuple):
    """A `Fusion` for one threshold, as arrays for a device."""

    straight: Any
    into: Any
    shift: Any
    out: Any
    offset: Any

    @classmethod
    def of(cls, fusion: Fusion, column: int) -> FusionNumbers:
        """Return the numbers of a threshold's column."""
        inputs = len(fusion.straight[column])
        into = np.array(fusion.into, dtype=np.float32).reshape(-1, inputs)
        given = fusion.straight[column], into, fusion.shift, fusion.out[column]
        return cls(*(np.asarray(each, np.float32) for each in (*given, fusion.offset[column])))


class ProgramInput(NamedTuple):
    """What the program of a stripe is given.

    Attributes:
        pixels: of a canvas.
        place: row of the view that its stripe begins with, rows and columns of the view, int32.
        scales: numbers of those that are used, finest first.
        fusion: of as many scales.
        weights: of the network.
    """

    pixels: Any
    place: Any
    scales: tuple[ScaleNumbers, ...]
    fusion: FusionNumbers
    weights: Weights


@dataclass(frozen=True)
class StripeProgram:
    """What is compiled: equal ones are compiled once.

    Attributes:
        network: over blocks of a view.
        scaling: of the preprocessing, see `Preprocessing`.
        block: side of a block that the network computes at a time, at most [pixel].
    """

    network: BlockProgram
    scaling: str
    block: int

    def run(self, given: ProgramInput, *, halo: int) -> tuple[Any, Any]:
        """Return the packed map of a canvas, and the outputs of its tiles."""
        canvas, place, scales, fusion, weights = given
        rows, cols = len(canvas) - 2 * halo, canvas.shape[1]
        around = HALO - halo
        wide = jnp.pad(canvas, ((around, around), (HALO, HALO)), constant_values=jnp.nan)
        factors = FACTORS[: len(scales)]
        views: list[Any] = []
        tiles = None
        levels = zip(factors, pyramid(wide, factors), scales, strict=True)
        for factor, mean, numbers in levels:
            beside = 0 if factor == 1 else BESIDE
            margin, extra = EDGE + beside, HALO // factor - EDGE - beside
            inner = mean[extra : len(mean) - extra, extra : mean.shape[1] - extra]
            top = place[0] // factor - margin
            seen = shown(inner, top, -margin, numbers, self.scaling)
            logits, *of_tiles = self._in_blocks(seen, weights, tiles=factor == 1)
            if factor == 1:
                views, tiles = [logits], of_tiles[0]
                continue
            whole = [-(-side // (factor * self.network.finest)) for side in (place[1], place[2])]
            first = (place[0] // factor - beside) // self.network.finest
            begins = first, -beside // self.network.finest
            cells = rows // self.network.finest, cols // self.network.finest
            origin = place[0] // self.network.finest, 0
            for axis in (0, 1):
                logits = _interpolated(
                    logits, axis, origin[axis] + jnp.arange(cells[axis]), factor,
                    begins[axis], whole[axis],
                )  # fmt: skip
            views.append(logits)
        probability = _fused(jnp.concatenate(views, axis=-1), fusion)
        inside = jnp.isfinite(canvas[halo : halo + rows])
        side = self.network.finest
        has_data = inside.reshape(rows // side, side, cols // side, side).any(axis=(1, 3))
        return _packed(probability, has_data), tiles

    def _in_blocks(self, seen: Any, weights: Weights, *, tiles: bool) -> list[Any]:
        """Return what the network says of what it is shown but for `EDGE` pixels around it."""
        wanted = [length - 2 * EDGE for length in seen.shape]
        unit = math.lcm(EVEN, self.network.tile) if tiles else EVEN
        parts = [_divided(length, unit, self.block) for length in wanted]
        (down, height), (across, width) = parts
        beyond = [(0, n * side - length) for (n, side), length in zip(parts, wanted, strict=True)]
        padded = jnp.pad(seen, beyond)
        window = height + 2 * EDGE, width + 2 * EDGE
        frame = Frame(window, EDGE, EDGE, height, width)

        def one(number: Any) -> tuple[Any, ...]:
            at = number // across * height, number % across * width
            part = lax.dynamic_slice(padded, at, window)
            logits, *of_tiles = self.network.outputs(part, weights, frame=frame, tiles=tiles)
            shape = height // self.network.tile, width // self.network.tile
            return logits, *(each.reshape(*shape, *each.shape[1:]) for each in of_tiles)

        sides = self.network.finest, self.network.tile
        return [
            _joined(found, down, across)[: wanted[0] // side, : wanted[1] // side]
            for found, side in zip(lax.map(one, jnp.arange(down * across)), sides, strict=False)
        ]


def _divided(length: int, unit: int, most: int) -> tuple[int, int]:
    """Return how many blocks of one length cover a length, and how long they are."""
    count = -(-length // max(most // unit * unit, unit))
    return count, -(-length // (count * unit)) * unit


def _joined(blocks: Any, down: int, across: int) -> Any:
    """Join blocks (n, rows, columns, ...), row by row of them."""
    _, rows, cols, *rest = blocks.shape
    ordered = jnp.swapaxes(blocks.reshape(down, across, rows, cols, *rest), 1, 2)
    return ordered.reshape(down * rows, across * cols, *rest)


def _interpolated(logits: Any, axis: int, cells: Any, factor: int, first: Any, count: Any) -> Any:
    """Interpolate log-odds of a coarser scale along an axis, between centres of cells.

    Args:
        cells: those of the finest scale that are asked for. factor: of them along one here.
        first: cell of the scale that `logits` begin with. count: of the whole scale.
    """
    centre = jnp.clip((cells + 0.5) / factor - 0.5, 0, count - 1)
    lower = centre.astype(jnp.int32)
    upper = jnp.minimum(lower + 1, count - 1)
    low, high = (jnp.take(logits, at - first, axis, mode="clip") for at in (lower, upper))
    share = jnp.expand_dims(centre - lower, tuple(n for n in range(logits.ndim) if n != axis))
    return low + share * (high - low)


def _fused(logits: Any, fusion: FusionNumbers) -> Any:
    """Return the probability of cells from log-odds at all scales (rows, columns, S T)."""
    cut = jnp.clip(logits, -LIMIT, LIMIT)
    total = jnp.matmul(cut, fusion.straight, precision=PRECISION) + fusion.offset
    units = jnp.matmul(cut, fusion.into.T, precision=PRECISION) + fusion.shift
    total += jnp.matmul(jax.nn.soft_sign(units), fusion.out, precision=PRECISION)
    return jax.nn.sigmoid(total)


def _packed(probability: Any, has_data: Any) -> Any:
    """Return probabilities as `pixelmap.packed` does; those without data are `BLANK`."""
    steps = jnp.rint(probability * LEVELS) + LOWEST
    return jnp.where(has_data, jnp.minimum(steps, 2**15 - 1), BLANK).astype(jnp.int16)


run = jax.jit(StripeProgram.run, static_argnums=0, static_argnames="halo")
"""`StripeProgram.run`, compiled."""
