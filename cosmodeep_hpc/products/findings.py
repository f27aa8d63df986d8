"""What was found in a swept mosaic, as its products need it: made once, when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.islands.excluded import Excluded
from cosmodeep_hpc.islands.islandlabels import IslandLabels
from cosmodeep_hpc.islands.islands import Islands
from cosmodeep_hpc.noise.correlation import DOUBT
from cosmodeep_hpc.products import provenance
from cosmodeep_hpc.products.catalogue import TablePlane, compact_table, islands_table
from cosmodeep_hpc.products.cube import Paint, PlaneBox, painter
from cosmodeep_hpc.products.names import stem
from cosmodeep_hpc.products.regions import IslandRegion, regions
from cosmodeep_hpc.survey.result import NO_DATA, MosaicResult, PlaneResult, printable
from cosmodeep_hpc.survey.view import is_validated


@dataclass
class Findings:
    """A swept mosaic and what follows from it.

    Attributes:
        config: the configuration that it was swept with.
        excluded: what is left out of the measures of islands; None: nothing.
    """

    swept: MosaicResult
    config: Config
    excluded: Excluded | None = None

    @cached_property
    def cube(self) -> PlaneBox:
        """The axes of its file."""
        return PlaneBox.of(self.swept)

    @cached_property
    def labels(self) -> IslandLabels:
        """Which cells belong to which island."""
        options = self.config.classify
        return IslandLabels.of(self.swept, options.min_beams, options.high_threshold)

    @cached_property
    def islands(self) -> Islands:
        """Its islands, measured on the image.

        Raises:
            InputError: the image cannot be read again; so of all that follows from it.
        """
        return Islands.of(self.swept, self.labels, self.excluded)

    @cached_property
    def cards(self) -> fits.Header:
        """Its provenance, and what islands of a map of pixels were kept by."""
        header, options = provenance.cards(self.swept), self.config.classify
        if self.swept.has_map:
            header["HITHRESH"] = (options.high_threshold, "which a pixel of each island reaches")
            header["MINBEAMS"] = (options.min_beams, "[beam] area of an island, at least")
        if self.excluded is not None:
            name = printable(self.excluded.name).encode("ascii", "replace").decode()
            header["EXCLUDED"] = (name, "left out of islands' measures")
        return header

    @cached_property
    def grid_header(self) -> fits.Header:
        """The header of what is on the grid of cells."""
        return self._header(self.swept.cell)

    @cached_property
    def tile_header(self) -> fits.Header:
        """The header of what is on the grid of tiles."""
        header = self._header(self.swept.tile_cell)
        header["THRESH"] = self.swept.tile_threshold
        return header

    def _header(self, cell: int) -> fits.Header:
        header = self.cube.header(cell)
        header.update(self.cards.copy())  # a header would share its cards
        return header

    @cached_property
    def pixel_header(self) -> fits.Header:
        """The header of what is on the image's pixels."""
        return self._header(1)

    @cached_property
    def regions(self) -> list[IslandRegion]:
        """The outlines of its islands."""
        return regions(self.swept, self.labels, self.islands.table, self.cube.numbers)

    @cached_property
    def catalogue(self) -> QTable:
        """The catalogue of its islands."""
        name = printable(stem(self.swept.path))
        return self._about(islands_table(name, self.islands.table, self._places()))

    @cached_property
    def compact(self) -> QTable:
        """The catalogue of compact sources in and beside its islands."""
        name = printable(stem(self.swept.path))
        return self._about(compact_table(name, self.islands.compact, self._places()))

    def _about(self, table: QTable) -> QTable:
        """Say of a table what it is of."""
        table.meta = {
            "image": self.swept.name,
            "image_sha256": self.swept.sha256,
            "model": self.swept.model.path.name,
            "model_sha256": self.swept.model_sha256,
            "notes": tuple(provenance.notes(self.swept)),
        }
        return table

    def _places(self) -> list[TablePlane]:
        numbers, frequencies = self.cube.numbers, self.cube.frequencies()
        return [
            TablePlane(plane.image, number, frequency, self._is_validated(plane))
            for plane, number, frequency in zip(
                self.swept.planes, numbers, frequencies, strict=True
            )
        ]

    def _is_validated(self, plane: PlaneResult) -> bool:
        """Return whether the model was validated on what it saw of a plane."""
        doubtful = any(note.startswith(DOUBT) for note in plane.notes)
        return is_validated(plane.image, self.swept.model.card, self.swept.rebin) and not doubtful

    # --- masks on the image's pixels ---

    def mask(self, plane: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the mask of rows of a plane's cells: 1 in islands, 0 elsewhere, 255 no data."""
        blank = self.swept.planes[plane].blank(start, stop)
        inside = self.labels.planes[plane].rows(start, stop) > 0
        return np.where(blank, NO_DATA, inside).astype(np.uint8)

    @property
    def of_cells(self) -> Paint:
        """Paints the mask of cells on the image's pixels."""
        swept = self.swept
        shape = swept.planes[0].shape[0], swept.planes[0].image.shape[1]
        return painter(self.mask, shape, swept.cell, NO_DATA)
