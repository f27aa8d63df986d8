"""A Sky image cut into tiles, each with its label: figures 3 and 4 of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.paper import regions, skypanel
from cosmodeep_hpc.paper.skypanel import ImagePart
from cosmodeep_hpc.products import picture
from cosmodeep_hpc.tiles.labels import count_bright, is_signal
from cosmodeep_hpc.tiles.tiling import coverage, cut

MOST = 60
"""Most tiles along a side with written labels; in larger images only the signal is outlined."""
SIGNAL, NOISE = "#7FDBFF", "0.75"
"""Colours of the labels 1 and 0."""


@dataclass(frozen=True)
class Labelled:
    """The tiles of a Sky image.

    Attributes:
        size: side of a tile [pixel].
        whole: bool (rows, cols), tiles that lie in the image and have data in every pixel.
        signal: bool (rows, cols), the whole tiles with signal.
    """

    size: int
    whole: NDArray[np.bool_]
    signal: NDArray[np.bool_]

    @classmethod
    def of(cls, sky: Image, size: int, label: Label) -> Labelled:
        """Cut and label a Sky image.

        Raises:
            InputError: it cannot be read, or has no whole tile.
        """
        tiles = cut(sky.pixels(), size)
        whole = coverage(tiles) == 1
        if not whole.any():
            raise InputError(
                f"{sky.path}: no tile of {size} x {size} pixels that all have data; expected a "
                "larger image"
            )
        signal = np.zeros_like(whole)
        signal[whole] = is_signal(count_bright(tiles[whole], [label.f_th])[:, 0], label.n_pix)
        return cls(size, whole, signal)


def draw(sky: Image, tiles: Labelled, label: Label, path: Path, *, zoom: bool) -> str:
    """Draw a Sky image with its tiles and their labels: 1 signal, 0 none.

    Args:
        label: the rule of the labels.
        path: the PNG file to write.
        zoom: show only the region of the largest object.

    Returns:
        a description of the picture.

    Raises:
        InputError: the image cannot be read, or the picture not written.
    """
    found = regions.chosen(tiles.signal) if zoom else []
    if zoom and not found:
        found = [regions.FieldRegion("no signal", 0, 0, regions.SIDE)]
    window = found[0].window(tiles.size, sky.shape) if zoom else ImagePart.whole(sky)
    size = (7.0, 7.0 * window.shape[0] / window.shape[1]) if zoom else skypanel.panel_size(sky, 13)
    sheet = skypanel.PanelSheet(size)
    axes, drawn = skypanel.draw(sheet, sky, "sky", window=window)
    write_labels(axes, tiles, window, fontsize=12 if zoom else 7)
    rows, cols = np.nonzero(tiles.whole)
    ones = tiles.signal[tiles.whole][window.holds(rows, cols, tiles.size)]
    words = f"{sky.path.name}: {int(ones.sum())} of {len(ones)} tiles with signal"
    rule = f"1: more than {label.n_pix} pixels above {label.f_th:g} Jy/arcsec²"
    axes.set_title(f"{words}\n{rule}", fontsize=11 if zoom else 13)
    sheet.bar(drawn, extend="both")
    with replacing(path) as temporary:
        picture.save(sheet.figure, temporary)
    return words


def write_labels(axes: Any, tiles: Labelled, window: ImagePart, fontsize: float) -> None:
    """Outline the tiles with signal in a window, and write 1 or 0 into each tile."""
    rows, cols = np.nonzero(tiles.whole)
    keep = window.holds(rows, cols, tiles.size)
    rows, cols = rows[keep], cols[keep]
    picture.outline(axes, tiles.signal, tiles.size, SIGNAL, "signal")
    if max(window.shape) > MOST * tiles.size:
        return
    skypanel.mesh(axes, window, tiles.size, colors="0.45", linewidths=0.4)
    is_one = tiles.signal[rows, cols]
    for signal, colour, rim in ((True, SIGNAL, "black"), (False, NOISE, None)):
        few = is_one == signal
        skypanel.mark(
            axes, rows[few], cols[few], tiles.size, str(int(signal)),
            rim=rim, color=colour, fontsize=fontsize, weight="bold" if signal else "normal",
        )  # fmt: skip
