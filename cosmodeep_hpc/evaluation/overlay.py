"""Pictures of an image with its right, missed and false tiles, as the paper's figure 7."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.evaluated import Evaluated
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.learn.metrics import is_found
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.products import picture
from cosmodeep_hpc.tiles.pairs import Pair
from cosmodeep_hpc.tiles.tiling import grid_shape

KINDS = {"1C": "#0072B2", "1F": "#E69F00", "0F": "#B0004E"}
"""Colours of the kinds of tiles that are drawn; the colour-blind can tell them apart."""

SHOWN = ("noise", "sky")
"""The images of a pair that are drawn, as the names of the pictures say."""


def draw(pair: Pair, image: Evaluated, model: TrainedModel, out: Path) -> None:
    """Draw `overlay-NAME-noise.png` and `overlay-NAME-sky.png`.

    1C: signal, found; 1F: signal, missed; 0F: noise, found. Noise tiles that were classified as
    noise are not marked.
    """
    masks = kinds(image, model.card.threshold)
    noise = open_image(pair.noise)
    sigma = model.card.preprocessing.measure(noise).sigma
    size = model.card.preprocessing.tile_size
    grid = grid_shape(noise.shape, size)
    for kind, shown in zip(SHOWN, (noise, open_image(pair.sky)), strict=True):
        rule = f"N_pix {model.card.n_pix}, F_th {model.card.f_th:g} Jy/arcsec²"
        figure, axes = picture.canvas(shown, f"{shown.path.name}: {rule}", sigma)
        for name, colour in KINDS.items():
            picture.outline(axes, on_grid(image, masks[name], grid), size, colour, name)
        # outside of the image, so that it hides no tile
        axes.legend(loc="upper right", bbox_to_anchor=(1, -0.03), ncols=len(KINDS), fontsize=9)
        with replacing(out / f"overlay-{image.name}-{kind}.png") as temporary:
            picture.save(figure, temporary)


def kinds(image: Evaluated, threshold: float) -> dict[str, NDArray[np.bool_]]:
    """Return which of an image's tiles are 1C, 1F, 0F and 0C, bool (n,) each.

    Args:
        threshold: probability from which a tile counts as found.
    """
    found = is_found(image.probability, threshold)
    return {
        "1C": image.signal & found,
        "1F": image.signal & ~found,
        "0F": ~image.signal & found,
        "0C": ~image.signal & ~found,
    }


def on_grid(image: Evaluated, mask: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask of the image's tiles on its tile grid, bool (rows, cols)."""
    placed = np.zeros(grid, dtype=np.bool_)
    placed[image.row[mask], image.col[mask]] = True
    return placed
