"""Single tiles by kind (1C, 1F, 0F, 0C), as Noise and as Sky: an addition to figure 8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.evaluated import Evaluated
from cosmodeep_hpc.evaluation.overlay import kinds
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.paper.skypanel import GREYS, SKY_RANGE
from cosmodeep_hpc.products import picture
from cosmodeep_hpc.sky.pictures import SKY_COLOURS, evenly
from cosmodeep_hpc.tiles.labels import count_bright
from cosmodeep_hpc.tiles.pairs import Pair

COUNT = 10
"""Most tiles of a kind that are drawn."""
CELL = 1.2
"""Side of a tile's picture and the gap to the next [inch]."""
BLOCK = 2 * CELL + 0.35
"""Height of a kind: its Noise tiles with words above, and its Sky tiles [inch]."""
MEANING = {
    "1C": "signal,\nfound",
    "1F": "signal,\nmissed",
    "0F": "no signal,\nfound",
    "0C": "no signal,\nnot found",
}


def chosen(
    images: Sequence[Evaluated], threshold: float, count: int = COUNT
) -> dict[str, list[tuple[int, int]]]:
    """Choose tiles of each kind, (number of the image, of its tile), the most probable first.

    They are spread evenly over all tiles of the kind in the order of probability, so that the clear
    cases and the doubtful ones are seen.

    Args:
        threshold: probability from which a tile counts as found.
        count: tiles of a kind, at most.
    """
    masks = [kinds(image, threshold) for image in images]
    found = {}
    for name in MEANING:
        every = [(n, int(t)) for n, mask in enumerate(masks) for t in np.flatnonzero(mask[name])]
        every.sort(key=lambda place: -float(images[place[0]].probability[place[1]]))
        found[name] = [every[i] for i in evenly(len(every), count)]
    return found


def totals(images: Sequence[Evaluated], threshold: float) -> dict[str, int]:
    """Return the total number of tiles of each kind."""
    masks = [kinds(image, threshold) for image in images]
    return {name: sum(int(mask[name].sum()) for mask in masks) for name in MEANING}


def draw(
    pairs: Sequence[Pair], images: Sequence[Evaluated], card: Card, title: str, path: Path
) -> str:
    """Draw tiles of each kind: a row of Noise tiles, and their Sky tiles below.

    Args:
        pairs: the images' files.
        images: the model's classification of their tiles.
        card: of the model.
        title: the model's name.
        path: the PNG file to write.

    Returns:
        a description of the picture.

    Raises:
        InputError: an image cannot be read, or the picture not written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    found, counts = chosen(images, card.threshold), totals(images, card.threshold)
    opened = {n: pairs[n].open() for n in sorted({n for few in found.values() for n, _ in few})}
    norms = {
        n: picture.brightness(card.preprocessing.measure(noise).sigma)
        for n, (_, noise) in opened.items()
    }
    sky_norm = LogNorm(*SKY_RANGE, clip=True)
    width, height = 1.8 + COUNT * CELL, 1.8 + len(found) * BLOCK
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    for line, (kind, few) in enumerate(found.items()):
        top = height - 0.75 - line * BLOCK  # inches, as all lengths here
        words = f"{kind}\n{MEANING[kind]}\n{counts[kind]} tiles"
        figure.text(
            0.85 / width, (top - BLOCK / 2) / height, words, ha="center", va="center", fontsize=11
        )
        for column, (n, tile) in enumerate(few):
            sky, noise = opened[n]
            size, one = card.preprocessing.tile_size, images[n]
            place = int(one.row[tile]) * size, int(one.col[tile]) * size
            pixels = _tile(sky, place, size)
            bright = int(count_bright(pixels[None], [card.f_th])[0, 0])
            shown = (
                (_tile(noise, place, size), GREYS, norms[n]),
                (np.maximum(pixels, np.float32(SKY_RANGE[0])), SKY_COLOURS, sky_norm),
            )
            for step, (content, colours, norm) in enumerate(shown):
                left, lower = 1.7 + column * CELL, top - 0.25 - (step + 1) * CELL
                box = left / width, lower / height, 0.95 * CELL / width, 0.95 * CELL / height
                axes = figure.add_axes(box)
                axes.set_axis_off()
                axes.imshow(content, origin="lower", cmap=colours, norm=norm)
                if step == 0:
                    p = f"p {float(one.probability[tile]):.3f}, {bright} px"
                    axes.set_title(p, fontsize=9.5, pad=3)
    arcmin = card.preprocessing.tile_size * card.pixel_scale / 60
    figure.suptitle(
        f"{title}: tiles of {arcmin:.1f}' of {len(images)} images, Noise above, Sky below\n"
        f"p: probability of signal, found from {card.threshold:.3f}; px: Sky pixels above "
        f"{card.f_th:g} Jy/arcsec², signal from {card.n_pix + 1}",
        fontsize=12, y=1 - 0.15 / height,
    )  # fmt: skip
    for start, norm, colours, name in (
        (0.12, next(iter(norms.values())), GREYS, "Noise [Jy/arcsec²]"),
        (0.57, sky_norm, SKY_COLOURS, "Sky [Jy/arcsec²]"),
    ):
        bar: Any = figure.colorbar(
            ScalarMappable(norm=norm, cmap=colours),
            cax=figure.add_axes((start, 0.6 / height, 0.38, 0.15 / height)),
            orientation="horizontal",
            label=name,
        )
        bar.ax.tick_params(labelsize=9)
    with replacing(path) as temporary:
        picture.save(figure, temporary)
    return ", ".join(f"{counts[kind]} {kind}" for kind in found)


def _tile(image: Image, place: tuple[int, int], size: int) -> NDArray[np.float32]:
    row, column = place
    return image.rows(row, row + size, slice(column, column + size))
