"""What a sweep leaves of a mosaic: grids of cells, plane by plane, before they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.learn.metrics import is_found
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.learn.pixelmap import BLANK, unpacked
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.tiles.preprocessing import Level

NO_DATA = 255  # in masks; probability is NaN there


@dataclass(frozen=True, kw_only=True)
class TileGrids:
    """What was found in the tiles of a plane: float32 (rows, cols) each.

    Attributes:
        probability: of signal; NaN: no data.
        coverage: share of a tile's pixels with data, of those inside the image.
        noise: local rms noise of the image's own pixels [Jy/arcsec^2].
        background: the level that they would have without emission [Jy/arcsec^2].
    """

    probability: NDArray[np.float32]
    coverage: NDArray[np.float32]
    noise: NDArray[np.float32]
    background: NDArray[np.float32]

    def mask(self, threshold: float) -> NDArray[np.uint8]:
        """Return the mask of tiles: 1 signal, 0 noise, 255 no data: uint8 (rows, cols)."""
        return mask_of(self.probability, threshold)


@dataclass(frozen=True, kw_only=True)
class PlaneGrids:
    """What was found in a plane, on grids of cells.

    The cells of `probability`, masks and islands are those of the map of pixels, where the network
    gives one, and tiles elsewhere.

    Attributes:
        tiles: what was found in tiles.
        pixels: the map of pixels; None: there is none.
        thumbnail: the plane averaged over square blocks, float32 [Jy/arcsec^2]; NaN: no data.
        block: side of such a block [pixel of the image].
        level: what the scaling was made with.
        notes: what was done to it and what a user should know before believing the result.
    """

    tiles: TileGrids
    pixels: MapRows | None
    thumbnail: NDArray[np.float32]
    block: int
    level: Level
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        if self.pixels is not None:
            return self.pixels.shape
        rows, cols = self.tiles.probability.shape
        return rows, cols

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of each cell: float32 (rows, cols); NaN: no data."""
        return self.rows(0, self.shape[0])

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the probability of rows of cells: float32 (rows, cols); NaN: no data."""
        if self.pixels is None:
            return self.tiles.probability[start:stop]
        return unpacked(self.pixels.rows(start, stop))

    def blank(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return whether cells of some rows have no data: bool (rows, cols)."""
        if self.pixels is None:
            return np.isnan(self.tiles.probability[start:stop])
        return np.asarray(self.pixels.rows(start, stop) == BLANK)

    def signal(self, threshold: float, start: int, stop: int) -> NDArray[np.bool_]:
        """Return whether the probability of cells of some rows reaches a threshold: bool."""
        return is_found(self.rows(start, stop), threshold)


def mask_of(probability: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Return a mask: 1 from the threshold on, 0 below, 255 where the probability is NaN: uint8."""
    found = is_found(probability, threshold)
    return np.where(np.isnan(probability), NO_DATA, found).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class PlaneResult(PlaneGrids):
    """A classified plane.

    Attributes:
        image: the plane as it is in the file.
    """

    image: Image

    @classmethod
    def of(cls, image: Image, grids: PlaneGrids) -> PlaneResult:
        """Join what was found in a plane with its image, which no rank can send to another."""
        return cls(image=image, **vars(grids))


@dataclass(frozen=True, kw_only=True)
class MosaicResult:
    """A swept mosaic.

    Attributes:
        path: the file.
        sha256: its checksum.
        key: digest of everything that the products depend on: file, model and options.
        axes: lengths of the axes of its HDU, slowest first.
        planes: those swept, in the order of the file.
        cell: side of a cell of the grids [pixel of the image]; the last row and column are cut.
        tile_cell: the same of the grids of tiles.
        tile: side of a tile, which overlap where it is larger than a cell [pixel of the image].
        rebin: pixels of the image along the side of one that the network saw.
        threshold: a cell is signal from this probability on.
        tile_threshold: the same for a tile.
    """

    path: Path
    sha256: str
    key: str
    axes: tuple[int, ...]
    planes: tuple[PlaneResult, ...]
    cell: int
    tile_cell: int
    tile: int
    rebin: int
    threshold: float
    tile_threshold: float
    model: TrainedModel
    model_sha256: str

    @property
    def has_map(self) -> bool:
        """Whether cells are those of a map of pixels."""
        return all(plane.pixels is not None for plane in self.planes)

    def tiles_of(
        self, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row and column of the tile that the first pixel of each cell lies in."""
        return rows * self.cell // self.tile_cell, cols * self.cell // self.tile_cell

    @property
    def name(self) -> str:
        """The file's name, as every product can hold it."""
        return printable(self.path.name)


def printable(text: str) -> str:
    """Return text with `?` for what is no letter: names of files may be any bytes."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
