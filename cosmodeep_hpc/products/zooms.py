"""Zooms of the largest islands of a plane, the beam, and a scale bar."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.islands.positions import name
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.view import averaged

MOST = 10
"""Islands that are zoomed, the largest."""
AROUND = 0.4
"""What is shown on each side of an island, in units of its longer side."""
LEAST = 12.0
"""Beams, or pixels where it is not known, along the side of a zoom, at least."""
PIXELS = 240
"""Pixels along the side of a zoom, at most."""
PIXELS_AT_ONCE = 2**22
"""Pixels of an image that are read at a time."""
BAR = 0.25
"""Share of a picture's side that a scale bar takes, at most."""
LENGTHS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000, 72000)
"""Of scale bars [arcsec]."""
SECONDS, MINUTES = 60, 3600


def largest(found: Findings, plane: int) -> list[int]:
    """Return the largest islands of a plane by their places in the table, at most `MOST`."""
    table = found.islands.table
    own = np.flatnonzero(table.plane == plane)
    order = np.lexsort((table.number[own], -table.cells[own]))
    return [int(place) for place in own[order][:MOST]]


def window(found: Findings, island: int) -> tuple[slice, slice]:
    """Return the rows and columns of the image that a zoom shows: a square, cut by its edges.

    Args:
        island: its place in the table.
    """
    table = found.islands.table
    image = found.swept.planes[table.plane[island]].image
    unit = 1.0 if image.beam is None else image.beam.width / image.pixel_scale
    low, left = int(table.y_min[island]), int(table.x_min[island])
    above, right = int(table.y_max[island]) + 1, int(table.x_max[island]) + 1
    half = max((0.5 + AROUND) * max(above - low, right - left), LEAST * unit / 2)
    middle = (low + above) / 2, (left + right) / 2
    rows, cols = (
        slice(max(0, int(at - half)), min(length, int(np.ceil(at + half))))
        for at, length in zip(middle, image.shape, strict=True)
    )
    return rows, cols


def draw(axes: Any, found: Findings, island: int, norm: Any, colours: Any) -> None:
    """Draw an island on axes without sky coordinates, in pixels of the image, without outlines.

    Args:
        island: its place in the table.
        norm, colours: of brightness.
    """
    table = found.islands.table
    image = found.swept.planes[table.plane[island]].image
    rows, cols = window(found, island)
    block = max(1, -(-max(rows.stop - rows.start, cols.stop - cols.start) // PIXELS))
    pixels = part(image, rows, cols, block)
    left, below = cols.start - 0.5, rows.start - 0.5
    extent = (left, left + pixels.shape[1] * block, below, below + pixels.shape[0] * block)
    axes.imshow(
        pixels, origin="lower", cmap=colours, norm=norm, extent=extent, interpolation="nearest"
    )
    axes.set_xlim(left, cols.stop - 0.5)
    axes.set_ylim(below, rows.stop - 0.5)
    axes.set(xticks=[], yticks=[])
    title = f"{table.number[island]} {name(table.ra[island], table.dec[island])}".rstrip()
    axes.set_title(title, fontsize=8, parse_math=False)


def part(
    image: Image, rows: slice, cols: slice, block: int, at_once: int = PIXELS_AT_ONCE
) -> NDArray[np.float32]:
    """Return a part of an image averaged over blocks, of which it reads some rows at a time."""
    height = max(1, at_once // (block * (cols.stop - cols.start))) * block
    strips = [
        averaged(image.data(start, min(start + height, rows.stop), cols), block)
        for start in range(rows.start, rows.stop, height)
    ]
    return np.concatenate(strips)


def beam_and_scale(axes: Any, image: Image) -> None:
    """Draw the beam in the lower left corner of axes in pixels, and a scale bar in the right one.

    On images that are turned, the beam is turned with them.
    """
    from matplotlib.patches import Ellipse

    (left, right), (below, above) = axes.get_xlim(), axes.get_ylim()
    side, pixel = min(right - left, above - below), image.pixel_scale
    edge = 0.04 * side
    if image.beam is not None:
        major, minor = image.beam.major / pixel, image.beam.minor / pixel
        if major < side / 2:
            reach = edge + major / 2
            angle = north(image) + 90 + image.beam.angle * handedness(image)
            axes.add_patch(
                Ellipse(
                    (left + reach, below + reach), major, minor, angle=angle, facecolor="none",
                    edgecolor="tab:blue", hatch="////", linewidth=1,
                )
            )  # fmt: skip
    fitting = [length for length in LENGTHS if length / pixel <= BAR * (right - left)]
    if fitting:
        long = fitting[-1] / pixel
        ends = right - edge - long, right - edge
        axes.plot(ends, (below + edge, below + edge), color="black", linewidth=2)
        axes.text(
            ends[1], below + 1.4 * edge, said(fitting[-1]), fontsize=8, ha="right",
            va="bottom",
        )  # fmt: skip


def said(length: int) -> str:
    """Return an angle [arcsec] in words."""
    if length < SECONDS:
        return f"{length} arcsec"
    return f"{length // SECONDS} arcmin" if length < MINUTES else f"{length // MINUTES} deg"


def north(image: Image) -> float:
    """Return how far north in the image's middle is turned from its columns' upward end [deg].

    Counter-clockwise, as matplotlib turns.
    """
    x, y = _step(image, 0, 1)
    return float(np.rad2deg(np.arctan2(-x, y)))


def handedness(image: Image) -> int:
    """Return 1 where east is left of north, as on the sky, else -1."""
    up, east = _step(image, 0, 1), _step(image, 1, 0)
    return 1 if up[0] * east[1] - up[1] * east[0] > 0 else -1


def _step(image: Image, east: int, north: int) -> tuple[float, float]:
    """Return where a small step on the sky leads in the image's middle [pixel]."""
    ny, nx = image.shape
    middle = (nx - 1) / 2, (ny - 1) / 2
    sky = image.wcs.pixel_to_world(*middle)
    there = sky.directional_offset_by((0 if north else 90) * u.deg, image.pixel_scale * u.arcsec)
    x, y = image.wcs.world_to_pixel(there)
    return float(x) - middle[0], float(y) - middle[1]
