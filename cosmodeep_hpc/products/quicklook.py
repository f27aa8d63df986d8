"""The quick look: a picture of the planes with their islands outlined."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cosmodeep_hpc.products.drawing import png
from cosmodeep_hpc.products.drawing.panel import BLUE, RED, Outline, palette, panel
from cosmodeep_hpc.survey.result import MosaicResult, PlaneResult

MOST = 9  # planes drawn: those of a large cube are picked evenly
SIDE, SIDE_OF_MANY = 900, 560  # of a plane in the picture [pixel], about


def write(swept: MosaicResult, path: Path) -> None:
    """Write the picture."""
    path.write_bytes(drawn(swept))


def drawn(swept: MosaicResult) -> bytes:
    """The planes drawn from their thumbnails, signal and missing data outlined: a PNG file."""
    count = len(swept.planes)
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(int))
    panels = [_panel(swept, swept.planes[number], len(picked)) for number in picked]
    columns = math.ceil(math.sqrt(len(panels)))
    height, width = panels[0].shape
    sheet = np.zeros((-(-len(panels) // columns) * height, columns * width), np.uint8)
    for number, picture in enumerate(panels):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = picture
    return png.packed(sheet, palette())


def _panel(swept: MosaicResult, plane: PlaneResult, panels: int) -> np.ndarray:
    signal, blank = plane.signal(swept.threshold), np.isnan(plane.probability)
    outlines = [Outline(signal, swept.cell, RED, "signal")]
    if blank.any():
        outlines.append(Outline(blank, swept.cell, BLUE, "no data"))
    side = SIDE if panels == 1 else SIDE_OF_MANY
    return panel(plane.image, plane.thumbnail, plane.block, title(swept, plane), outlines, side)


def title(swept: MosaicResult, plane: PlaneResult) -> str:
    """What stands above a plane."""
    signal = plane.signal(swept.threshold)
    where = f" {list(plane.image.plane)}" if len(swept.planes) > 1 else ""
    return (
        f"{swept.name}{where}: {int(signal.sum())} of {signal.size} tiles signal "
        f"(probability ≥ {swept.threshold:.2f})"
    )
