"""What was found in a swept mosaic, as its products need it: made once, when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.products import islands, provenance
from cosmodeep_hpc.products.catalogue import IslandPlane, catalogue
from cosmodeep_hpc.products.cube import TALL, Paint, PlaneBox, painter
from cosmodeep_hpc.products.islands import Islands
from cosmodeep_hpc.products.names import stem
from cosmodeep_hpc.products.refine import Refined, Refinement
from cosmodeep_hpc.products.regions import IslandRegion, regions
from cosmodeep_hpc.survey.result import NO_DATA, MosaicResult, printable


@dataclass
class Findings:
    """A swept mosaic and what follows from it.

    Attributes:
        config: the configuration that it was swept with.
        refine: whether islands are followed at the scale of the beam.
        measures: of the refined mask, once it was painted.
    """

    swept: MosaicResult
    config: Config
    refine: bool = False
    measures: Refined | None = field(default=None, repr=False)

    @cached_property
    def cube(self) -> PlaneBox:
        """The axes of its file."""
        return PlaneBox.of(self.swept)

    @cached_property
    def islands(self) -> Islands:
        """Its islands, measured on the image.

        Raises:
            InputError: the image cannot be read again; so of all that follows from it.
        """
        options = self.config.classify
        return islands.find(self.swept, options.min_beams, options.high_threshold)

    @cached_property
    def cards(self) -> fits.Header:
        """Its provenance, and what islands of a map of pixels were kept by."""
        header, options = provenance.cards(self.swept), self.config.classify
        if self.swept.has_map:
            header["HITHRESH"] = (options.high_threshold, "which a pixel of each island reaches")
            header["MINBEAMS"] = (options.min_beams, "[beam] area of an island, at least")
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
        return regions(self.swept, self.islands, self.cube.numbers)

    @cached_property
    def catalogue(self) -> QTable:
        """The catalogue of its islands, with the columns of the refined mask where there is one."""
        name = printable(stem(self.swept.path))
        table = catalogue(name, self.islands.islands, self._places(), self.refined)
        table.meta = {
            "image": self.swept.name,
            "image_sha256": self.swept.sha256,
            "model": self.swept.model.path.name,
            "model_sha256": self.swept.model_sha256,
            "notes": tuple(provenance.notes(self.swept)),
        }
        return table

    def _places(self) -> list[IslandPlane]:
        numbers, frequencies = self.cube.numbers, self.cube.frequencies()
        return [
            IslandPlane(plane.image, number, frequency)
            for plane, number, frequency in zip(
                self.swept.planes, numbers, frequencies, strict=True
            )
        ]

    # --- masks on the image's pixels ---

    def mask(self, plane: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the mask of rows of a plane's cells: 1 in islands, 0 elsewhere, 255 no data."""
        blank = self.swept.planes[plane].blank(start, stop)
        inside = self.islands.labels[plane].rows(start, stop) > 0
        return np.where(blank, NO_DATA, inside).astype(np.uint8)

    @property
    def of_cells(self) -> Paint:
        """Paints the mask of cells on the image's pixels."""
        swept = self.swept
        shape = swept.planes[0].shape[0], swept.planes[0].image.shape[1]
        return painter(self.mask, shape, swept.cell, NO_DATA)

    def refinement(self) -> Refinement:
        """Return a refined mask, to be painted and measured from its beginning."""
        return Refinement(self.swept, self.islands, self.config.classify.refine_sigma)

    def of_pixels(self, refinement: Refinement) -> Paint:
        """Return what paints a refined mask, each row once: 1 emission, 0 none, 255 no data."""

        def paint(plane: int, start: int, stop: int) -> NDArray[np.uint8]:
            pixels = refinement.paint(plane, start, stop)
            pixels[self.of_cells(plane, start, stop) == NO_DATA] = NO_DATA
            return pixels

        return paint

    @property
    def refined_rows(self) -> int:
        """Rows of a refined mask painted at once: tall strips, each is read with a margin."""
        return self.cube.height(self.swept.cell, TALL)

    @property
    def refined(self) -> Refined | None:
        """The measures of the refined mask; None where none is wanted."""
        if self.refine and self.measures is None:  # nobody has written the mask
            refinement = self.refinement()
            for _ in self.cube.strips(self.refined_rows, self.of_pixels(refinement)):
                pass
            self.measures = refinement.refined
        return self.measures
