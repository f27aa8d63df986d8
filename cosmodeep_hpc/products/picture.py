"""Pictures of images with their tiles outlined, on sky coordinates.

matplotlib is imported where one is drawn, and not before.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from astropy.stats import mad_std
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.products import provenance, zooms
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.result import NO_DATA

CELLS_AT_ONCE = 2**22  # of a mask looked at
MAX_SIDE = 1500  # pixels of the picture's image at most: screens have no more
SAMPLE = 2**17  # values that the noise of a picture is measured on, about
MOST_PLANES = 9  # of a mosaic drawn: those of a large cube are picked evenly
RED, BLUE = "tab:red", "tab:blue"
LARGE, SMALL, LEAST = 8.0, 5.0, 3.0  # longer side of one plane, of each of many, of any [inch]
LEFT, RIGHT, BOTTOM, TOP = 1.3, 1.1, 0.9, 0.55  # of a plane, to the ends of its panel [inch]
LEGEND = 0.6  # of a plane to its legend, which is below the names of the axes [inch]
ZOOMS, ZOOM_EDGE, ZOOM_TITLE = 5, 0.15, 0.25  # zooms in a row; around each, and above it [inch]
LETTERS, LINE = 14, 0.14  # letters an inch, and height of a line [inch], of what stands below
SKY_AXES = {
    "RA": "Right ascension",
    "DEC": "Declination",
    "GLON": "Galactic longitude",
    "GLAT": "Galactic latitude",
}


def thumbnail(image: Image, max_side: int = MAX_SIDE) -> tuple[NDArray[np.float32], int]:
    """Average the image over square blocks so that no side is longer than `max_side`.

    Read by rows: memory does not grow with the image. Blocks without data are NaN; those at the
    upper and right edge may be cut.

    Returns:
        pixels [Jy/arcsec^2], and the side of a block [pixel].
    """
    block = max(1, -(-max(image.shape) // max_side))
    rows, cols = (slice(0, length) for length in image.shape)
    return zooms.part(image, rows, cols, block), block


def canvas(image: Image, title: str, sigma: float) -> tuple[Any, Any]:
    """Return a figure of the image in grey on sky coordinates, and its axes, both matplotlib's.

    The axes' pixel units are the image's own.

    Args:
        sigma: noise of its pixels [Jy/arcsec^2].
    """
    small, block = thumbnail(image)
    sheet = PlaneSheet(image)
    # of averaged blocks, where the noise is white
    return sheet.figure, sheet.draw(small, block, title, sigma / block)


class PlaneSheet:
    """A figure of several planes of an image, side by side."""

    def __init__(
        self, image: Image, panels: int = 1, caption: str = "", dpi: int = 120, zooms: int = 0
    ) -> None:
        """Make an empty sheet.

        Args:
            caption: what stands below.
            zooms: of parts of the planes, above the caption.
            dpi: pixels of the picture an inch.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        ny, nx = image.shape
        side = LARGE if panels == 1 else SMALL
        self.image, self.drawn = image, 0
        self.columns = math.ceil(math.sqrt(panels))
        self.plane = tuple(max(LEAST, side * length / max(ny, nx)) for length in (nx, ny))
        self.panel = (LEFT + self.plane[0] + RIGHT, BOTTOM + self.plane[1] + TOP)
        width = self.columns * self.panel[0]
        lines = textwrap.wrap(caption, int(LETTERS * width), max_lines=4, placeholder=" …")
        self.zoomed, self.zoom = 0, (width - ZOOM_EDGE) / ZOOMS
        self.text = LINE * len(lines)
        height = -(-panels // self.columns) * self.panel[1] + self.text
        height += -(-zooms // ZOOMS) * (self.zoom + ZOOM_TITLE)
        self.zooms = zooms
        self.figure = Figure(figsize=(width, height), dpi=dpi)
        FigureCanvasAgg(self.figure)
        below = self.figure.text(0.1 / width, 0.1 / height, "\n".join(lines), fontsize=8)
        below.set(linespacing=1.1, parse_math=False)

    def draw(
        self, small: NDArray[np.float32], block: int, title: str, noise: float | None = None
    ) -> Any:
        """Draw a plane in grey in the next panel, and return its axes.

        Args:
            small: the plane averaged over blocks of `block` x `block` pixels.
            noise: of `small`; measured where it is None.
        """
        row, column = divmod(self.drawn, self.columns)
        self.drawn += 1
        width, height = self.figure.get_size_inches()
        left = LEFT + column * self.panel[0]
        bottom = height - (row + 1) * self.panel[1] + BOTTOM
        place = (left / width, bottom / height, self.plane[0] / width, self.plane[1] / height)
        axes = self.figure.add_axes(place, projection=self.image.wcs)
        bar = axes.inset_axes((1 + 0.15 / self.plane[0], 0, 0.2 / self.plane[0], 1))
        draw(axes, self.image, small, block, noise, bar)
        axes.set_title(title, fontsize=11, parse_math=False)
        return axes

    def zoom_axes(self) -> Any:
        """Return the axes of the next zoom, without sky coordinates."""
        row, column = divmod(self.zoomed, ZOOMS)
        self.zoomed += 1
        width, height = self.figure.get_size_inches()
        side = self.zoom - ZOOM_EDGE
        left = ZOOM_EDGE + column * self.zoom
        rows_below = -(-self.zooms // ZOOMS) - row - 1
        bottom = self.text + rows_below * (self.zoom + ZOOM_TITLE) + ZOOM_EDGE
        return self.figure.add_axes((left / width, bottom / height, side / width, side / height))


def draw(
    axes: Any,
    image: Image,
    small: NDArray[np.float32],
    block: int,
    noise: float | None = None,
    bar: Any = None,
) -> None:
    """Draw a plane in grey on axes, whose pixel units are the image's own.

    Args:
        axes: with or without sky coordinates.
        small, block, noise: see `PlaneSheet.draw`.
        bar: axes for the bar of brightnesses; None: made, beside a smaller picture.
    """
    ny, nx = image.shape
    norm = brightness(_noise(small) if noise is None else noise)
    extent = (-0.5, small.shape[1] * block - 0.5, -0.5, small.shape[0] * block - 0.5)
    drawn = axes.imshow(
        small, origin="lower", cmap=greys(), norm=norm, extent=extent, interpolation="nearest"
    )
    axes.set_xlim(-0.5, nx - 0.5)
    axes.set_ylim(-0.5, ny - 0.5)
    if hasattr(axes, "coords"):
        for axis, coordinate in enumerate(axes.coords):
            coordinate.set_axislabel(axis_name(image.wcs, axis))
            if str(coordinate.get_format_unit()) == "hourangle":
                coordinate.set_separator("hms")  # plain letters: raised ones take a third longer
    place = {"ax": axes, "shrink": 0.9, "pad": 0.02} if bar is None else {"cax": bar}
    axes.figure.colorbar(drawn, **place, label="Jy/arcsec²").formatter.set_powerlimits((-2, 3))


def _noise(small: NDArray[np.float32]) -> float:
    """Return the robust noise of a thumbnail; 1 where it has none."""
    values = small.ravel()[:: max(1, small.size // SAMPLE)]
    values = values[np.isfinite(values)]
    noise = float(mad_std(values)) if len(values) else 0.0
    return noise if noise > 0 else 1.0


def brightness(noise: float) -> Any:
    """Return the scale of grey (astropy's normalisation) of a plane of this noise, in its unit."""
    from astropy.visualization import AsinhStretch, ImageNormalize

    return ImageNormalize(vmin=-2 * noise, vmax=60 * noise, stretch=AsinhStretch(0.1))


def greys() -> Any:
    """Return the colours of brightness: white to black, and a light blue without data."""
    from matplotlib import colormaps

    return colormaps["gray_r"].with_extremes(bad="#e2ecf6")


def axis_name(wcs: WCS, axis: int) -> str:
    """Return what an axis on the sky is called: 0 is that of an image's columns, 1 of its rows."""
    kind = str(wcs.wcs.ctype[axis])[:4].strip("-")
    return SKY_AXES.get(kind, kind)


def outline(
    axes: Any,
    where: NDArray[np.bool_],
    size: int,
    colour: str,
    label: str,
    transform: Any = None,
    shape: tuple[int, int] | None = None,
    *,
    counted: bool = True,
) -> None:
    """Outline each connected group of tiles `where` (rows, cols) on an image's axes.

    Args:
        label: in the legend, with how many there are where they are `counted`.
        transform: from pixels of the image to the axes, where they are those of another image.
        shape: of the image (ny, nx), which cuts the last tiles.
    """
    edges = tile_edges(where) * size
    if shape is not None:
        edges = np.minimum(edges, shape[::-1])
    edges -= 0.5
    how = {} if transform is None else {"transform": transform}
    shown = f"{label}: {int(where.sum())}" if counted else label
    _lines(axes, edges, colour, label=shown, **how)


def _lines(axes: Any, edges: NDArray[np.float64], colour: str, **how: Any) -> None:
    """Draw sides (n, 2, 2) of (x, y) as one line with gaps, which is faster than many."""
    from matplotlib.lines import Line2D

    gap = np.full((len(edges), 1, 2), np.nan)
    x, y = np.concatenate([edges, gap], axis=1).reshape(-1, 2).T
    axes.add_line(Line2D(x, y, color=colour, linewidth=1.3, **how))


def tile_edges(where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sides between tiles that are set and those that are not: (n, 2, 2) of (x, y)."""
    padded = np.pad(where, 1)
    row, col = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([np.stack([col, row], -1), np.stack([col + 1, row], -1)], 1)
    row, col = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([np.stack([col, row], -1), np.stack([col, row + 1], -1)], 1)
    return np.concatenate([level, upright]).astype(np.float64)


def save(figure: Any, path: Path | BinaryIO) -> None:
    """Write a figure as PNG, with nothing in it that changes from run to run.

    Its margins are not fitted (`bbox_inches="tight"` draws all twice), and noise, which hardly
    packs, is packed lightly: a third of the time.
    """
    packing = {"compress_level": 1}
    figure.savefig(path, format="png", metadata={"Software": None}, pil_kwargs=packing)


# --- of a swept mosaic ---


def write(found: Findings, path: Path) -> None:
    """Write the picture of a mosaic."""
    path.write_bytes(drawn(found))


def drawn(found: Findings) -> bytes:
    """Return the picture as PNG; it does not depend on the user's settings of matplotlib."""
    content = io.BytesIO()
    with _plain_style():
        save(figure(found), content)
    return content.getvalue()


def figure(found: Findings) -> Any:
    """Return a figure of the planes, from their thumbnails, signal and missing data outlined.

    Below stand the model and the notes.
    """
    swept = found.swept
    count = len(swept.planes)
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST_PLANES)).astype(int))
    caption = "; ".join([f"by {swept.model.path.name}", *provenance.notes(swept)])
    shown = zooms.largest(found, 0) if swept.has_map and count == 1 else []
    sheet = PlaneSheet(
        swept.planes[0].image, len(picked), _drawable(caption), dpi=100, zooms=len(shown)
    )
    for number in picked:
        plane = swept.planes[number]
        axes = sheet.draw(plane.thumbnail, plane.block, _drawable(title(found, number)))
        outlines(axes, found, number)
        for line in axes.lines:  # whole at the edge of the image, too
            line.set(clip_on=False, zorder=3)
        if axes.lines:
            _legend(axes)
        zooms.beam_and_scale(axes, plane.image)
    for island in shown:
        _zoom(sheet.zoom_axes(), found, island)
    return sheet.figure


def _zoom(axes: Any, found: Findings, island: int) -> None:
    """Draw an island at the image's own scale, with the outlines of all islands there.

    Args:
        island: its place in the table.
    """
    swept, number = found.swept, int(found.islands.table.plane[island])
    plane, (rows, cols) = swept.planes[number], zooms.window(found, island)
    noise = plane.tiles.noise[np.isfinite(plane.tiles.noise)]
    norm = brightness(float(np.median(noise)) if len(noise) else 1.0)
    zooms.draw(axes, found, island, norm, greys())
    cell = swept.cell
    down, across = (range(part.start // cell, -(-part.stop // cell)) for part in (rows, cols))
    (signal, _), step = _shown(found, number, down, across, zooms.PIXELS)
    edges = tile_edges(signal) * step + (across.start, down.start)
    _lines(axes, edges * cell - 0.5, RED)
    zooms.beam_and_scale(axes, plane.image)


def _legend(axes: Any) -> None:
    """Say below an image what its outlines are, where the legend hides nothing."""
    from matplotlib.transforms import ScaledTranslation

    down = ScaledTranslation(0, -LEGEND, axes.figure.dpi_scale_trans)
    axes.legend(
        loc="upper right", bbox_to_anchor=(1, 0), bbox_transform=axes.transAxes + down,
        borderaxespad=0, ncols=2, fontsize=9, frameon=False,
    )  # fmt: skip


def outlines(axes: Any, found: Findings, number: int, transform: Any = None) -> None:
    """Outline the islands of a plane in red, and what has no data in blue.

    Args:
        transform: see `outline`.
    """
    swept = found.swept
    shape = swept.planes[number].image.shape
    rows, cols = map(range, swept.planes[number].shape)
    (signal, blank), step = _shown(found, number, rows, cols, MAX_SIDE)
    for where, colour, label in ((signal, RED, "signal"), (blank, BLUE, "no data")):
        if where.any():
            size, counted = step * swept.cell, not swept.has_map  # its squares say nothing
            outline(axes, where, size, colour, label, transform, shape, counted=counted)


def _shown(
    found: Findings, number: int, rows: range, cols: range, most: int
) -> tuple[list[NDArray[np.bool_]], int]:
    """Return which squares of cells have signal, and which no data, and the cells of their sides.

    A square has what any of its cells has: a picture has no more pixels.

    Args:
        rows, cols: of cells.
        most: squares along a side.
    """
    step = max(1, -(-max(len(rows), len(cols)) // most))
    wide = found.swept.planes[number].shape[1]  # a strip is labelled as a whole
    height = max(1, CELLS_AT_ONCE // (wide * step)) * step
    parts: list[list[NDArray[np.bool_]]] = [[], []]
    for start in range(rows.start, rows.stop, height):
        mask = found.mask(number, start, min(start + height, rows.stop))[:, cols.start : cols.stop]
        down, across = (np.arange(0, length, step) for length in mask.shape)
        for part, value in zip(parts, (1, NO_DATA), strict=True):
            any_row = np.logical_or.reduceat(mask == value, down, axis=0)
            part.append(np.logical_or.reduceat(any_row, across, axis=1))
    return [np.concatenate(part) for part in parts], step


def title(found: Findings, number: int) -> str:
    """Return what stands above a plane; of a long name its two ends."""
    swept = found.swept
    plane, name = swept.planes[number], swept.name
    if len(name) > 45:
        name = f"{name[:22]}…{name[-22:]}"
    where = f" {list(plane.image.plane)}" if len(swept.planes) > 1 else ""
    if swept.has_map:
        table = found.islands.table
        own = table.cells[table.plane == number]
        share = 100 * own.sum() / math.prod(plane.shape)
        what = f"{len(own)} island{'s' * (len(own) != 1)}, {share:.2g} % of the image"
    else:
        mask = plane.tiles.mask(swept.tile_threshold)
        what = f"{int((mask == 1).sum())} of {mask.size} tiles signal"
    return f"{name}{where}\n{what} (probability ≥ {swept.threshold:.2f})"


_styling = Lock()


@contextmanager
def _plain_style() -> Iterator[None]:
    """Use matplotlib's own settings meanwhile, one thread after the other."""
    from matplotlib import style

    with _styling, style.context("default"):
        yield


def _drawable(text: str) -> str:
    """Return text with `?` for what matplotlib's font has not."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    known = {letter for letter in text if letter == "\n" or font.get_char_index(ord(letter))}
    return "".join(letter if letter in known else "?" for letter in text)
