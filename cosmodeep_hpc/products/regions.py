"""Islands as region files: DS9's, which CARTA reads too, and CASA's.

The package `regions` reads them, and does not write them: its DS9 files (0.12) begin with what all
regions share in an order that changes from run to run, a single region's name among it; polygons
in pixels are in degrees in its CASA files; and without islands a file has no first line, by which
CARTA tells the formats apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.islands.islandlabels import IslandLabels
from cosmodeep_hpc.islands.islandtable import IslandTable
from cosmodeep_hpc.islands.positions import icrs, name
from cosmodeep_hpc.products.outlines import outlines
from cosmodeep_hpc.survey.result import MosaicResult

# CARTA leaves out lines it does not know; DS9 takes its first line for a comment.
DS9_HEAD = """# Region file format: DS9 version 4.1
global color=red dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1 highlite=1 \
dash=0 fixed=0 edit=1 move=1 delete=1 include=1 source=1
"""
CASA_HEAD = "#CRTFv0 CASA Region Text Format version 0\n"


@dataclass(frozen=True)
class IslandRegion:
    """An island to be drawn.

    Attributes:
        label: number, name, and the plane where there are several.
        corners: float64 (n, 2): ICRS right ascension and declination [deg] where `on_sky`, else x
            and y [pixel, from 0]: a corner of a cell may lie beyond the edge of the projection.
    """

    label: str
    corners: NDArray[np.float64]
    on_sky: bool


def regions(
    swept: MosaicResult, labels: IslandLabels, islands: IslandTable, numbers: Sequence[int]
) -> list[IslandRegion]:
    """Return the outlines of all islands, in the order of their numbers.

    Args:
        numbers: of the planes swept, in the order of the file, from 0.
    """
    drawn = []
    for number, plane in enumerate(swept.planes):
        first = labels.first[number]
        found = outlines(labels.planes[number], swept.cell, plane.image.shape, first)
        if not found:
            continue
        pixels = np.concatenate([outline.corners for outline in found])
        sky = icrs(plane.image.wcs, pixels[:, 0], pixels[:, 1])
        ends = np.cumsum([len(outline.corners) for outline in found])
        for outline, corners in zip(found, np.split(sky, ends[:-1]), strict=True):
            on_sky = bool(np.isfinite(corners).all())
            label = _label(islands, outline.number, numbers)
            drawn.append(IslandRegion(label, corners if on_sky else outline.corners, on_sky))
    return drawn


def _label(islands: IslandTable, number: int, numbers: Sequence[int]) -> str:
    """Return what stands beside an island."""
    where = f" plane {numbers[islands.plane[number - 1]]}" if len(numbers) > 1 else ""
    return f"{number} {name(islands.ra[number - 1], islands.dec[number - 1])}".rstrip() + where


def write_ds9(regions: Sequence[IslandRegion], path: Path) -> None:
    """Write DS9 polygons: on the sky (icrs); in pixels from 1 (image) only where there is none."""
    text = DS9_HEAD
    for frame in ("icrs", "image"):
        drawn = [region for region in regions if region.on_sky == (frame == "icrs")]
        if drawn:
            text += frame + "\n"
        for region in drawn:
            first, digits = (0, 7) if region.on_sky else (1, 2)
            corners = ",".join(f"{number + first:.{digits}f}" for number in region.corners.flat)
            text += f"polygon({corners}) # text={{{region.label}}}\n"
    path.write_text(text, encoding="ascii")


def write_casa(regions: Sequence[IslandRegion], path: Path) -> None:
    """Write CASA polygons: on the sky (ICRS), in pixels from 0 where there is none."""
    text = CASA_HEAD
    for region in regions:
        unit, digits = ("deg", 7) if region.on_sky else ("pix", 2)
        corners = ", ".join(
            f"[{x:.{digits}f}{unit}, {y:.{digits}f}{unit}]" for x, y in region.corners
        )
        frame = "coord=ICRS, " if region.on_sky else ""
        text += f'poly [{corners}] {frame}linewidth=1, color=red, label="{region.label}"\n'
    path.write_text(text, encoding="ascii")
