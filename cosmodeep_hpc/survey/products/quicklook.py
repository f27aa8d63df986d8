"""The quick look: a picture of the planes with their islands outlined."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmodeep_hpc.survey import picture
from cosmodeep_hpc.survey.swept import Swept, SweptPlane

MOST = 9  # planes drawn: those of a large cube are picked evenly


def write(swept: Swept, path: Path) -> None:
    """Draw the planes from their thumbnails, signal and missing data outlined."""
    count = len(swept.planes)
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(int))
    drawing = picture.Sheet(swept.planes[0].image, len(picked))
    for number in picked:
        plane = swept.planes[number]
        axes = drawing.draw(plane.thumbnail, plane.block, _title(swept, plane))
        picture.outline(axes, plane.signal(swept.threshold), swept.cell, "tab:red", "signal")
        blank = np.isnan(plane.probability)
        if blank.any():
            picture.outline(axes, blank, swept.cell, "tab:blue", "no data")
        axes.legend(loc="upper right", fontsize=9)
    picture.save(drawing.figure, path)


def _title(swept: Swept, plane: SweptPlane) -> str:
    signal = plane.signal(swept.threshold)
    where = f" {list(plane.image.plane)}" if len(swept.planes) > 1 else ""
    return (
        f"{swept.path.name}{where}: {int(signal.sum())} of {signal.size} tiles signal "
        f"(probability ≥ {swept.threshold:.2f})"
    )
