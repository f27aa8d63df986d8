"""Images with a model's classification of their tiles: figures 7, 8 and 9 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.evaluation.evaluated import Evaluated
from cosmodeep_hpc.evaluation.overlay import KINDS, kinds, on_grid
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.metrics import accuracy, is_found
from cosmodeep_hpc.paper import skypanel
from cosmodeep_hpc.paper.regions import FieldRegion
from cosmodeep_hpc.paper.skypanel import ImagePart
from cosmodeep_hpc.products import picture
from cosmodeep_hpc.tiles.pairs import Pair
from cosmodeep_hpc.tiles.tiling import grid_shape


@dataclass(frozen=True)
class Classified:
    """One model's classification of one image.

    Attributes:
        title: the model's name in figures.
        card: of the model.
        image: its tiles, their labels and their probabilities.
    """

    title: str
    card: Card
    image: Evaluated

    @property
    def words(self) -> str:
        """The model's rule and its accuracy on the image, in words."""
        counts = accuracy(self.image.signal, is_found(self.image.probability, self.card.threshold))
        values = {name: getattr(counts, name) for name in ("As", "Ws", "Wv")}
        ratios = [f"{n} {'-' if np.isnan(v) else format(v, '.3f')}" for n, v in values.items()]
        return f"{rule_words(self.card)}: {', '.join(ratios)}"


def rule_words(card: Card) -> str:
    """Say which labels a model's tiles had."""
    return f"N_pix {card.n_pix}, F_th {card.f_th:g} Jy/arcsec²"


def draw(pair: Pair, one: Classified, path: Path) -> str:
    """Draw a whole Noise image with the tiles that are 1C, 1F and 0F; 0C are not marked.

    Args:
        path: the PNG file to write.

    Returns:
        a description of the picture.

    Raises:
        InputError: the image cannot be read, or the picture not written.
    """
    _, noise = pair.open()
    sigma = one.card.preprocessing.measure(noise).sigma
    sheet = skypanel.PanelSheet(skypanel.panel_size(noise, 13))
    axes, drawn = skypanel.draw(sheet, noise, "noise", sigma=sigma)
    mark_kinds(axes, one, ImagePart.whole(noise), noise.shape, fontsize=7.5)
    # outside of the image, so that it hides no tile
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1), fontsize=11)
    words = f"{noise.path.name}, {one.words}"
    axes.set_title(f"{one.title}: {words}", fontsize=13)
    sheet.bar(drawn, extend="both")
    with replacing(path) as temporary:
        picture.save(sheet.figure, temporary)
    return words


def draw_regions(
    pair: Pair, models: Sequence[Classified], regions: Sequence[FieldRegion], path: Path
) -> str:
    """Draw the same regions of a Sky image as several models see them, a row for each.

    Args:
        models: their classifications of the image.
        regions: on the grid of the first model's tiles; at least one.
        path: the PNG file to write.

    Returns:
        a description of the picture.

    Raises:
        InputError: the image cannot be read, or the picture not written.
    """
    sky, _ = pair.open()
    across, down = len(regions), len(models)
    sheet = skypanel.PanelSheet((4.6, 4.6), across, down)
    size = models[0].card.preprocessing.tile_size
    drawn = None
    for one in models:
        for region in regions:
            window = region.window(size, sky.shape)
            axes, drawn = skypanel.draw(sheet, sky, "sky in grey", window=window)
            own = one.card.preprocessing.tile_size
            skypanel.mesh(axes, window, own, colors="0.8", linewidths=0.4)
            mark_kinds(axes, one, window, sky.shape, fontsize=10)
            axes.set_title(f"{region.what}\n{rule_words(one.card)}", fontsize=10.5)
    sheet.bar(drawn, extend="both")
    with replacing(path) as temporary:
        picture.save(sheet.figure, temporary)
    parts, rows = (
        f"{n} {word}{'s' * (n != 1)}" for n, word in ((across, "region"), (down, "model"))
    )
    return f"{sky.path.name}, {parts} by {rows}"


def mark_kinds(
    axes: Any, one: Classified, window: ImagePart, shape: tuple[int, int], fontsize: float
) -> None:
    """Outline and name the tiles that are 1C, 1F and 0F."""
    size, image = one.card.preprocessing.tile_size, one.image
    masks = kinds(image, one.card.threshold)
    inside = window.holds(image.row, image.col, size)
    grid = grid_shape(shape, size)
    for name, colour in KINDS.items():
        picture.outline(axes, on_grid(image, masks[name], grid), size, colour, name)
        here = masks[name] & inside
        skypanel.mark(
            axes, image.row[here], image.col[here], size, name,
            rim="white", color=colour, fontsize=fontsize, weight="bold",
        )  # fmt: skip
