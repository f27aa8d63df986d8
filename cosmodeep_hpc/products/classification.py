"""The result of classifying one image: arrays, islands, a picture, and products if wanted."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, in_one_line
from cosmodeep_hpc.io.files import make_folder, path_of
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.products import picture, provenance, writing
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.products.folder import ProductFolder
from cosmodeep_hpc.products.names import record_of
from cosmodeep_hpc.tiles.tiling import tile_wcs

SHOWN = 20  # islands in a notebook's table, at most
COLUMNS = (
    *("number", "plane", "island_name", "ra_deg_cont", "dec_deg_cont", "flux_int", "flux_int_err"),
    *("flux_total", "flux_total_err", "snr", "solid_angle", "max_probability", "flag_edge"),
)
"""Of the catalogue, those in a notebook's table."""


class Classification:
    """What was found in an image.

    Grids and masks are (rows, columns) of one plane, (planes, rows, columns) of more: of those in
    `planes` alone, in the order of the file.
    """

    def __init__(self, findings: Findings, keeps: object = None, *, of_array: bool = False) -> None:
        """Take what was found.

        Args:
            keeps: what must live as long as the result, such as the folder of unpacked pixels.
            of_array: whether the image is no file, so that its name may be another's, too.
        """
        self._of_array = of_array
        self._findings, self._keeps = findings, keeps
        self._swept = findings.swept

    @property
    def probability(self) -> NDArray[np.float32]:
        """The calibrated probability of signal: float32; NaN: no data.

        On the map of pixels, where the model gives one; else on the grid of tiles.
        """
        return self._stacked([plane.probability for plane in self._swept.planes])

    @cached_property
    def probability_wcs(self) -> WCS:
        """World coordinates of `probability`: celestial, a pixel of it is a cell of the grid."""
        return tile_wcs(self.wcs, self._swept.cell)

    @property
    def tile_probability(self) -> NDArray[np.float32]:
        """The calibrated probability of signal on the grid of tiles: float32; NaN: no data."""
        return self._stacked([plane.tiles.probability for plane in self._swept.planes])

    @property
    def tiles(self) -> NDArray[np.uint8]:
        """The mask on the grid of tiles: uint8, 1 signal, 0 noise, 255 no data."""
        threshold = self._swept.tile_threshold
        return self._stacked([plane.tiles.mask(threshold) for plane in self._swept.planes])

    @cached_property
    def tile_wcs(self) -> WCS:
        """World coordinates of `tiles`: celestial, a pixel of it is a cell of the grid."""
        return tile_wcs(self.wcs, self._swept.tile_cell)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """The mask on the image's own pixels: uint8, 1 signal, 0 noise, 255 no data."""
        rows, paint = self._swept.planes[0].image.shape[0], self._findings.of_cells
        return self._stacked([paint(number, 0, rows) for number in range(len(self._swept.planes))])

    @property
    def planes(self) -> tuple[int, ...]:
        """The planes classified, in the order of grids and masks: numbers in the file, from 0.

        The column `plane` of the islands has these numbers.
        """
        return self._findings.cube.numbers

    @property
    def wcs(self) -> WCS:
        """World coordinates of the image's two axes on the sky."""
        return self._swept.planes[0].image.wcs

    @property
    def threshold(self) -> float:
        """The probability from which a cell is signal."""
        return self._swept.threshold

    @cached_property
    def islands(self) -> QTable:
        """The catalogue of islands: the columns and units of its file, a row an island."""
        return self._findings.catalogue.copy()

    @cached_property
    def compact(self) -> QTable:
        """The catalogue of compact sources in and beside islands, likewise."""
        return self._findings.compact.copy()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the image, and what a user should know before believing the result."""
        return tuple(provenance.notes(self._swept))

    @property
    def model(self) -> TrainedModel:
        """The model that it was classified with."""
        return self._swept.model

    @cached_property
    def record(self) -> dict[str, Any]:
        """How it came about: the content of the record that `write` leaves, without products."""
        return writing.record_with(self._findings, self._findings.config, {})

    def plot(self, ax: Any = None, plane: int = 0, *, image: bool = True) -> Any:
        """Draw a plane in grey with signal outlined in red and missing data in blue.

        Args:
            ax: matplotlib axes with `projection=found.wcs`; made where None. Other WCSAxes take
                the outlines alone.
            plane: its place among those classified.
            image: whether the image is drawn under the outlines.

        Returns:
            the axes.

        Raises:
            InputError: there is no such plane.
        """
        planes = self._swept.planes
        if not 0 <= plane < len(planes):
            raise InputError(f"plane {plane}: expected one of 0 to {len(planes) - 1}")
        shown = planes[plane]
        if ax is None:
            from matplotlib import pyplot

            figure = pyplot.figure(figsize=(8, 7))
            ax = figure.add_subplot(projection=self.wcs)
        if image:
            picture.draw(ax, shown.image, shown.thumbnail, shown.block)
            title = picture.title(self._findings, plane)
            ax.set_title(title, fontsize=11, parse_math=False)
        is_own = not hasattr(ax, "coords") or ax.wcs is self.wcs
        on_sky = None if is_own else ax.get_transform(self.wcs)
        picture.outlines(ax, self._findings, plane, on_sky)
        return ax

    @in_one_line
    def write(
        self,
        folder: str | Path,
        products: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
    ) -> dict[str, Path]:
        """Write products, as the command does, byte for byte, and their record.

        Others of this image are removed from the folder if another model or option gave them, and
        stay if this one did.

        Args:
            products: their names ("mask", "islands", ...); None: those of `classify.products`.
            overwrite: whether files that no sweep has left are written over, and those of another
                array of this name.

        Returns:
            the files written, by product.

        Raises:
            InputError: no such product, files in the way, products of another image of an array's
                name, a folder that cannot be written, or the image cannot be read again.
        """
        found, config = self._findings, self._findings.config
        if isinstance(products, str):
            raise InputError(f'products = "{products}": expected a list of names: ["{products}"]')
        if products is not None:
            writing.refuse_unknown(products)
            changes: dict[str, Any] = {"products": tuple(products)}
            config = replace(config, classify=replace(config.classify, **changes))
        place = ProductFolder(path_of("folder", folder), config, found.excluded, overwrite)
        place.spare_images([self._swept.path])
        make_folder(place.path)
        with place.locked(self._swept.path):
            if self._of_array and not overwrite:
                self._spare_another(place.path)
            record = writing.write(found, config, place.path)
        written = writing.of_config(config)
        return {made.name: place.path / record["products"][made.name] for made in written}

    def _spare_another(self, folder: Path) -> None:
        """Raise an InputError where products of another image have an array's name."""
        file = record_of(self._swept.path, folder)
        record = writing.finished(file)
        if record and record.get("image", {}).get("sha256") != self._swept.sha256:
            raise InputError(
                f"{file}: of another image called {self._swept.name}; give each array a name of "
                "its own (classify(..., name=...)), or replace the products (overwrite=True)"
            )

    def __repr__(self) -> str:
        tiles = self.record["tiles"]
        total, count = sum(tiles.values()), self.record["islands"]
        islands = f"{count} island{'s' * (count != 1)}"
        return (
            f"<{type(self).__name__} of {self._swept.name}: {tiles['signal']} of {total} tiles "
            f"signal (probability >= {self._swept.tile_threshold:.3g}), {islands}, "
            f"{tiles['no_data']} without data, by {self.model.path.name}>"
        )

    def _repr_png_(self) -> bytes:
        """Return the picture as PNG, for a notebook."""
        return picture.drawn(self._findings)

    def _repr_html_(self) -> str:
        """Return picture, notes and table of islands, for a notebook."""
        coded = base64.b64encode(self._repr_png_()).decode()
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        shown = self.islands[list(COLUMNS)][:SHOWN]
        for column in shown.itercols():
            if column.dtype.kind == "f":
                column.info.format = ".6g"
        more = len(self.islands) - len(shown)
        return (
            f"<p>{html.escape(repr(self)[1:-1])}</p>"
            f'<img alt="{html.escape(self._swept.name)}" src="data:image/png;base64,{coded}">'
            f"{f'<ul>{notes}</ul>' if notes else ''}"
            f"{shown._repr_html_()}"
            f"{f'<p>and {more} more: see islands</p>' if more else ''}"
        )

    def _stacked(self, planes: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return the planes' grids as one array."""
        return planes[0] if len(planes) == 1 else np.stack(planes)
