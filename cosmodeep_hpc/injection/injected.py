"""A source on the pixels of an image: at its place, turned, and seen through the beam."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.injection.sources import Source
from cosmodeep_hpc.islands.pixelareas import flux_areas, solid_angles
from cosmodeep_hpc.islands.positions import steps

FINE = 3
"""Places along a pixel's side that a source's brightness is averaged over."""
BEAMS = 3.0
"""Beams around a source that it is seen in."""


@dataclass(frozen=True)
class InjectedSource:
    """A source of 1 Jy on a part of an image's pixels.

    Attributes:
        rows, columns: the part, which the image may cut.
        seen: brightness through the beam, float32 (rows, columns) [Jy/arcsec^2].
        x, y: its middle, weighted by brightness [pixel].
    """

    rows: range
    columns: range
    seen: NDArray[np.float32]
    x: float
    y: float

    @property
    def half(self) -> NDArray[np.bool_]:
        """Where it is brighter than half of its maximum: bool (rows, columns)."""
        return np.asarray(self.seen > self.seen.max() / 2)


def injected(source: Source, image: Image, x: float, y: float, angle: float) -> InjectedSource:
    """Return a source at a place of an image, seen through the image's beam.

    Args:
        x, y: where its own middle lies [pixel].
        angle: position angle of its long axis, from north through east [deg].
    """
    step = steps(image.wcs, x, y)[0]
    pixel = image.pixel_scale
    around = 0.0 if image.beam is None else BEAMS * image.beam.major
    reach = math.ceil((source.reach + around) / pixel)
    row, col = round(y), round(x)
    rows, columns = range(row - reach, row + reach + 1), range(col - reach, col + reach + 1)
    down, across = np.asarray(rows, float) - y, np.asarray(columns, float) - x
    total = np.zeros((len(rows), len(columns)))
    turn = math.radians(angle)
    fine = (np.arange(FINE) + 0.5) / FINE - 0.5
    for dy in fine:
        for dx in fine:
            right, up = (across + dx)[None, :], (down + dy)[:, None]
            east, north = step[0, 0] * right + step[0, 1] * up, step[1, 0] * right + step[1, 1] * up
            along = east * math.sin(turn) + north * math.cos(turn)
            side = north * math.sin(turn) - east * math.cos(turn)
            total += source.brightness(along, side)
    area = float(flux_areas(image, solid_angles(image, np.array([x]), np.array([y])))[0])
    total /= total.sum() * area
    seen = total.astype(np.float32)
    if image.beam is not None:
        seen = image.beam.convolve(seen, pixel)
    weight = seen.astype(np.float64)
    middle_x = float((weight.sum(axis=0) @ across) / weight.sum()) + x
    middle_y = float((weight.sum(axis=1) @ down) / weight.sum()) + y
    ny, nx = image.shape
    inside = slice(max(-rows.start, 0), len(rows) - max(rows.stop - ny, 0))
    sides = slice(max(-columns.start, 0), len(columns) - max(columns.stop - nx, 0))
    return InjectedSource(rows[inside], columns[sides], seen[inside, sides], middle_x, middle_y)
