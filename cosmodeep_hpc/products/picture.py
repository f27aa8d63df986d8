"""Pictures of images with their tiles outlined, on sky coordinates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from astropy.stats import mad_std
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.products.drawing.graticule import axis_name

MAX_SIDE = 1500  # pixels of the picture's image at most: screens have no more


def thumbnail(image: Image, max_side: int = MAX_SIDE) -> tuple[NDArray[np.float32], int]:
    """The image averaged over square blocks so that no side is longer than `max_side`.

    Read by rows: memory does not grow with the image. Blocks without data are NaN; pixels beyond
    the last whole block are left out.

    Returns:
        pixels [Jy/arcsec^2], and the side of a block [pixel].
    """
    ny, nx = image.shape
    block = max(1, -(-max(ny, nx) // max_side))
    small = np.full((max(1, ny // block), max(1, nx // block)), np.nan, dtype=np.float32)
    rows_at_once = max(1, 1024 // block)
    for first in range(0, small.shape[0], rows_at_once):
        last = min(first + rows_at_once, small.shape[0])
        pixels = image.rows(first * block, min(last * block, ny))[:, : small.shape[1] * block]
        pieces = pixels.reshape(last - first, -1, small.shape[1], pixels.shape[1] // small.shape[1])
        count = np.isfinite(pieces).sum(axis=(1, 3))
        total = np.nansum(pieces, axis=(1, 3))
        small[first:last] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return small, block


def canvas(image: Image, title: str, sigma: float) -> tuple[Any, Any]:
    """A figure of the image in grey on sky coordinates; its pixel units are the image's own.

    Args:
        sigma: noise of its pixels [Jy/arcsec^2].

    Returns:
        the matplotlib figure and its axes.
    """
    small, block = thumbnail(image)
    sheet = PlaneSheet(image)
    # of averaged blocks, where the noise is white
    return sheet.figure, sheet.draw(small, block, title, sigma / block)


class PlaneSheet:
    """A figure of several planes of an image, side by side."""

    def __init__(self, image: Image, panels: int = 1) -> None:
        """An empty sheet."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        ny, nx = image.shape
        self.image = image
        self.columns = math.ceil(math.sqrt(panels))
        self.rows = -(-panels // self.columns)
        self.drawn = 0
        side = 10 if panels == 1 else 7
        height = 1 + 0.8 * side * min(max(ny / nx, 0.2), 3)
        self.figure = Figure(figsize=(side * self.columns, height * self.rows), dpi=120)
        FigureCanvasAgg(self.figure)
        self.figure.subplots_adjust(left=0.1, right=0.99, bottom=0.08, top=0.94)

    def draw(
        self, small: NDArray[np.float32], block: int, title: str, noise: float | None = None
    ) -> Any:
        """Draw a plane in grey in the next panel; its pixel units are the image's own.

        Args:
            small: the plane averaged over blocks of `block` x `block` pixels.
            noise: of `small`; measured where it is None.

        Returns:
            the panel's matplotlib axes.
        """
        self.drawn += 1
        axes = self.figure.add_subplot(
            self.rows, self.columns, self.drawn, projection=self.image.wcs
        )
        draw(axes, self.image, small, block, noise)
        axes.set_title(title, fontsize=11)
        return axes


def draw(
    axes: Any,
    image: Image,
    small: NDArray[np.float32],
    block: int,
    noise: float | None = None,
) -> None:
    """Draw a plane in grey on axes, whose pixel units are the image's own.

    Args:
        axes: with or without sky coordinates.
        small, block, noise: as of `PlaneSheet.draw`.
    """
    ny, nx = image.shape
    norm = brightness(_noise(small) if noise is None else noise)
    extent = (-0.5, small.shape[1] * block - 0.5, -0.5, small.shape[0] * block - 0.5)
    drawn = axes.imshow(
        small, origin="lower", cmap="gray_r", norm=norm, extent=extent, interpolation="nearest"
    )
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(-0.5, ny - 0.5)
    if hasattr(axes, "coords"):
        for axis in (0, 1):
            axes.coords[axis].set_axislabel(axis_name(image.wcs, axis))
    axes.figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.02, label="Jy/arcsec²")


def _noise(small: NDArray[np.float32]) -> float:
    """Robust noise of a thumbnail; 1 where it has none."""
    values = small[np.isfinite(small)]
    noise = float(mad_std(values)) if len(values) else 0.0
    return noise if noise > 0 else 1.0


def brightness(noise: float) -> Any:
    """The scale of grey (an astropy normalisation) of a plane of this noise, and of its unit."""
    from astropy.visualization import AsinhStretch, ImageNormalize

    return ImageNormalize(vmin=-2 * noise, vmax=60 * noise, stretch=AsinhStretch(0.1))


def outline(
    axes: Any,
    where: NDArray[np.bool_],
    size: int,
    colour: str,
    label: str,
    transform: Any = None,
) -> None:
    """Outline each connected group of tiles `where` (rows, cols) on an image's axes.

    Args:
        transform: from pixels of the image to the axes, where they are those of another image.
    """
    from matplotlib.collections import LineCollection

    edges = tile_edges(where) * size - 0.5
    how = {} if transform is None else {"transform": transform}
    axes.add_collection(LineCollection(list(edges), colors=colour, linewidths=1.1, **how))
    axes.plot([], [], color=colour, label=f"{label}: {int(where.sum())}")


def tile_edges(where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The sides between a tile that is set and one that is not: (n, 2, 2) of (x, y), in tiles."""
    padded = np.pad(where, 1)
    row, col = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([np.stack([col, row], -1), np.stack([col + 1, row], -1)], 1)
    row, col = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([np.stack([col, row], -1), np.stack([col, row + 1], -1)], 1)
    return np.concatenate([level, upright]).astype(np.float64)


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG, with nothing in it that changes from run to run.

    Its margins are not fitted (`bbox_inches="tight"` draws all twice), and noise, which hardly
    packs, is packed lightly: half the time.
    """
    packing = {"compress_level": 3}
    figure.savefig(path, format="png", metadata={"Software": None}, pil_kwargs=packing)
