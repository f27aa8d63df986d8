"""Close-ups of tiles and PyBDSF's islands on the Noise image (figure 10 of the paper)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.comparison.finders import Found
from cosmodeep_hpc.comparison.scoredtiles import ScoredTiles, Scoring
from cosmodeep_hpc.comparison.scoring import ScoringRequest
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.learn.metrics import is_found
from cosmodeep_hpc.products import picture
from cosmodeep_hpc.tiles.pairs import Pair
from cosmodeep_hpc.tiles.tiling import grid_shape

FIELD = (1.5, 2.0)
"""Height and width of a close-up [deg], as in the paper."""
TILE_COLOURS = {"found": "deepskyblue", "false": "magenta", "missed": "white"}
"""They stand out from the image's colours, and from each other in grey too."""
ISLAND_COLOUR = "yellow"


def busiest(signal: NDArray[np.bool_], rows: int, cols: int) -> tuple[int, int]:
    """Return the corner of the window of tiles with most signal; the first of equal ones."""
    sums = np.pad(np.cumsum(np.cumsum(signal.astype(np.int64), axis=0), axis=1), ((1, 0), (1, 0)))
    inside = sums[rows:, cols:] - sums[:-rows, cols:] - sums[rows:, :-cols] + sums[:-rows, :-cols]
    row, col = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return int(row), int(col)


def draw(
    request: ScoringRequest, pair: Pair, image: ScoredTiles, islands: Found | None, out: Path
) -> None:
    """Draw `closeup-NAME.png`: the part of the image with most signal tiles.

    Draw one panel for each threshold of compare.drawn, or a single one with tiles alone if there
    are no islands. Tiles are marked as found with signal, found without, and missed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    noise, card = pair.open()[1], request.model.card
    size, rule = card.preprocessing.tile_size, request.rules[0]
    shape = grid_shape(noise.shape, size)
    signal = image.is_signal(rule)
    found = is_found(image.scores[Scoring.of_model(rule)], card.threshold)
    masks = {"found": signal & found, "false": found & ~signal, "missed": signal & ~found}
    on_grid = {name: np.zeros(shape, np.bool_) for name in masks}
    for name, mask in masks.items():
        on_grid[name][image.row[mask], image.col[mask]] = True

    tile = size * noise.pixel_scale / 3600
    rows, cols = (min(round(s / tile) or 1, n) for s, n in zip(FIELD, shape, strict=True))
    row, col = busiest(on_grid["found"] | on_grid["missed"], rows, cols)
    top, left = row * size, col * size
    height, width = min(rows * size, noise.shape[0] - top), min(cols * size, noise.shape[1] - left)
    pixels = noise.rows(top, top + height, slice(left, left + width))
    drawn = request.config.compare.drawn if islands is not None else ()

    panels = max(1, len(drawn))
    tall = 6.3 * height / width
    figure = Figure(figsize=(9 * panels, tall + 1.7), dpi=120)
    FigureCanvasAgg(figure)
    # no tight layout: it would make room for outlines beyond the part that is shown
    figure.subplots_adjust(
        left=0.9 / (9 * panels),
        right=1 - 0.5 / (9 * panels),
        bottom=1.15 / (tall + 1.7),
        top=1 - 0.4 / (tall + 1.7),
        wspace=0.2,
    )
    for number in range(panels):
        axes = figure.add_subplot(1, panels, number + 1, projection=noise.wcs.celestial)
        shown = _image(axes, pixels, top, left)
        figure.colorbar(shown, ax=axes, label="Jy/arcsec²", pad=0.02)
        title = f"{pair.noise.name}: N_pix {rule.n_pix}, F_th {rule.f_th:g} Jy/arcsec²"
        if islands is not None and drawn:
            mask = islands.mask(drawn[number])[top : top + height, left : left + width]
            _contours(axes, mask, top, left)
            title += f"; PyBDSF above {drawn[number]:g} sigma"
        for name, colour in TILE_COLOURS.items():
            inside = np.zeros(shape, np.bool_)
            part = (slice(row, row + rows), slice(col, col + cols))
            inside[part] = on_grid[name][part]
            picture.outline(axes, inside, size, colour, f"tiles {name}")
        axes.set_xlim(left - 0.5, left + width - 0.5)
        axes.set_ylim(top - 0.5, top + height - 0.5)
        axes.set_title(title, fontsize=10)
        for axis in (0, 1):
            axes.coords[axis].set_major_formatter("d.d")  # degrees, as the paper's
            axes.coords[axis].set_axislabel(picture.axis_name(noise.wcs, axis))
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="lower center",
        ncols=4,
        fontsize=9,
        facecolor="dimgrey",
        labelcolor="white",
    )
    with replacing(out / f"closeup-{image.name}.png") as temporary:
        picture.save(figure, temporary)


def _image(axes: Any, pixels: NDArray[np.float32], top: int, left: int) -> Any:
    """Draw the pixels in colour, at their place in the image."""
    from astropy.visualization import AsinhStretch, ImageNormalize

    values = pixels[np.isfinite(pixels)]
    noise = float(np.median(np.abs(values))) / 0.6745 if len(values) else 1.0
    norm = ImageNormalize(vmin=-2 * noise, vmax=30 * noise, stretch=AsinhStretch(0.1))
    height, width = pixels.shape
    extent = (left - 0.5, left + width - 0.5, top - 0.5, top + height - 0.5)
    return axes.imshow(
        pixels, origin="lower", cmap="inferno", norm=norm, extent=extent, interpolation="nearest"
    )


def _contours(axes: Any, mask: NDArray[np.bool_], top: int, left: int) -> None:
    """Draw the outlines of islands."""
    rows, cols = np.arange(mask.shape[0]) + top, np.arange(mask.shape[1]) + left
    if mask.any():
        axes.contour(cols, rows, mask, levels=[0.5], colors=ISLAND_COLOUR, linewidths=0.7)
    axes.plot([], [], color=ISLAND_COLOUR, label="PyBDSF islands")
