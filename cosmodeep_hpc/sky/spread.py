"""Shock elements painted on an image, each spread evenly over its parallelogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.sky.cosmology import redshift_at
from cosmodeep_hpc.sky.emission import JANSKY, MPC_IN_CM, electron_slope
from cosmodeep_hpc.sky.lightcone import ARCSEC, ImagePlane, Orientation, Slab, replicas
from cosmodeep_hpc.sky.mesh import Field
from cosmodeep_hpc.sky.shocks import Elements

SAMPLE_SPACING = 2.0
"""Samples of an element lie no further apart than this along its sides [pixel]..."""
MOST_SAMPLES = 64
"""... unless there were more of them than this along a side."""
_NODES = 4096  # distances at which the redshift is tabled within a slab


def paint(
    image: NDArray[np.float64],
    elements: Elements,
    power: ArrayLike,
    slab: Slab,
    turned: Orientation,
    view: ImagePlane,
    seed: int,
) -> None:
    """Add the elements of one slab to an image of fluxes [Jy in a pixel].

    The flux of an element is S = P (1 + z)^(1 - alpha) / (4 pi D_L^2), at the redshift of its own
    distance. It is sampled on a jittered grid over its two sides, fine enough for the pixels.

    Args:
        image: float64 (view.full, view.full), added to; light outside of it is lost.
        elements: of the box.
        power: (n,), at the observed frequency, in the frame of the shock [erg/s/Hz].
        slab: where the box is put.
        turned: how.
        view: the image plane.
        seed: of the jitter, 64 bits; an element's jitter depends on it and its row alone.
    """
    near = slab.centre - 0.5 * slab.depth
    # An element reaches into the image only if its centre is no further outside [pixel].
    beyond = _longest(elements.first, elements.second) / near / (view.scale * ARCSEC)
    sine = min(np.sqrt(2) * (0.5 * view.full + beyond) * view.scale * ARCSEC, 0.995)  # of a corner
    far = (near + slab.depth) / np.sqrt(1 - sine**2)
    distance = np.linspace(near, far, _NODES)
    log_stretch = np.log1p(redshift_at(distance))
    light = (np.asarray(power) / (4 * np.pi * MPC_IN_CM**2 * JANSKY)).astype(np.float32)
    index = (0.5 * electron_slope(elements.mach)).astype(np.float32)
    table = (near, (_NODES - 1) / (far - near), log_stretch)
    signs = np.where(turned.flips, -1.0, 1.0)
    start = (np.asarray(turned.shift) + np.asarray(turned.flips)) * slab.side
    for corner in replicas(slab, view, beyond):
        _paint(
            image,
            elements.position,
            elements.first,
            elements.second,
            light,
            index,
            np.array(turned.axes),
            signs,
            start,
            corner,
            slab.side,
            slab.depth,
            1 / (view.scale * ARCSEC),
            beyond,
            table,
            np.uint64(seed),
        )


@jit
def _longest(first: Field, second: Field) -> float:
    """Return the furthest that an element reaches from its centre, 0 without elements [Mpc]."""
    furthest = 0.0
    for row in range(len(first)):
        one = two = 0.0
        for axis in range(3):
            one += first[row, axis] ** 2
            two += second[row, axis] ** 2
        furthest = max(furthest, 0.5 * (np.sqrt(one) + np.sqrt(two)))
    return furthest


@jit
def _random(state: Any) -> Any:
    """Return the next state of a 64-bit generator, and a number in [0, 1) (SplitMix64)."""
    state += np.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return state, float(z >> np.uint64(40)) / 16777216.0


@jit
def _paint(
    image: NDArray[np.float64],
    position: Field,
    first: Field,
    second: Field,
    light: Field,
    index: Field,
    axes: NDArray[Any],
    signs: NDArray[np.float64],
    start: NDArray[np.float64],
    corner: NDArray[np.float64],
    side: float,
    depth: float,
    pixels: float,
    beyond: float,
    table: tuple[float, float, NDArray[np.float64]],
    seed: Any,
) -> None:
    full = image.shape[0]
    middle = 0.5 * (full - 1)
    edge = 0.5 * full + beyond
    near, density, log_stretch = table
    place, ray = np.empty(3), np.empty(3)
    one, two = np.empty(3), np.empty(3)
    for row in range(len(light)):
        z = (signs[2] * position[row, axes[2]] + start[2]) % side
        if z >= depth:
            continue
        place[2] = z + corner[2]
        square = place[2] ** 2
        for axis in range(2):
            along = (signs[axis] * position[row, axes[axis]] + start[axis]) % side
            place[axis] = along + corner[axis]
            square += place[axis] ** 2
        distance = np.sqrt(square)
        for axis in range(3):
            ray[axis] = place[axis] / distance
        column, line = ray[0] * pixels + middle, ray[1] * pixels + middle
        if abs(column - middle) > edge or abs(line - middle) > edge:
            continue
        # Two sides as seen: what lies along the line of sight is lost.
        along_one = along_two = 0.0
        for axis in range(3):
            one[axis] = signs[axis] * first[row, axes[axis]]
            two[axis] = signs[axis] * second[row, axes[axis]]
            along_one += one[axis] * ray[axis]
            along_two += two[axis] * ray[axis]
        scale = pixels / distance
        for axis in range(2):
            one[axis] = (one[axis] - along_one * ray[axis]) * scale
            two[axis] = (two[axis] - along_two * ray[axis]) * scale
        if abs(column - middle) > 0.5 * (full + abs(one[0]) + abs(two[0])):
            continue
        if abs(line - middle) > 0.5 * (full + abs(one[1]) + abs(two[1])):
            continue
        n = min(int(np.hypot(one[0], one[1]) / SAMPLE_SPACING) + 1, MOST_SAMPLES)
        m = min(int(np.hypot(two[0], two[1]) / SAMPLE_SPACING) + 1, MOST_SAMPLES)
        nodes = (distance - near) * density
        node = min(int(nodes), len(log_stretch) - 2)
        part = nodes - node
        stretch = (1 - part) * log_stretch[node] + part * log_stretch[node + 1]
        share = light[row] * np.exp(-(1 + index[row]) * stretch) / (square * n * m)
        state = seed ^ (np.uint64(row + 1) * np.uint64(0xD1342543DE82EF95))
        for i in range(n):
            for j in range(m):
                state, u = _random(state)
                state, v = _random(state)
                u = (i + u) / n - 0.5
                v = (j + v) / m - 0.5
                x = column + 0.5 + u * one[0] + v * two[0]
                y = line + 0.5 + u * one[1] + v * two[1]
                if 0 <= x < full and 0 <= y < full:
                    image[int(y), int(x)] += share
