"""What a sweep leaves of a mosaic: grids of cells, plane by plane, before they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.learn.metrics import is_found
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.tiles.preprocessing import Level

NO_DATA = 255  # in masks; probability is NaN there


@dataclass(frozen=True, kw_only=True)
class PlaneGrids:
    """What was found in a plane, on its grid of cells.

    Attributes:
        probability: float32 (rows, cols) of the grid of cells; NaN: no data.
        coverage: share of a cell's pixels with data, of those inside the image: float32, as above.
        noise: local rms noise of the image's own pixels [Jy/arcsec^2], float32, as above.
        thumbnail: the plane averaged over square blocks, float32 [Jy/arcsec^2]; NaN: no data.
        block: side of such a block [pixel of the image].
        level: what the scaling was made with.
        notes: what was done to it and what a user should know before believing the result.
    """

    probability: NDArray[np.float32]
    coverage: NDArray[np.float32]
    noise: NDArray[np.float32]
    thumbnail: NDArray[np.float32]
    block: int
    level: Level
    notes: tuple[str, ...]

    def signal(self, threshold: float) -> NDArray[np.bool_]:
        """Return whether a cell is signal: bool (rows, cols)."""
        return is_found(self.probability, threshold)

    def tile_mask(self, threshold: float) -> NDArray[np.uint8]:
        """Return the mask of cells: 1 signal, 0 noise, 255 no data: uint8 (rows, cols)."""
        blank = np.isnan(self.probability)
        return np.where(blank, NO_DATA, self.signal(threshold)).astype(np.uint8)


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
        tile: side of a tile, which overlap where it is larger than a cell [pixel of the image].
        rebin: pixels of the image along the side of one that the network saw.
        threshold: a cell is signal from this probability on.
    """

    path: Path
    sha256: str
    key: str
    axes: tuple[int, ...]
    planes: tuple[PlaneResult, ...]
    cell: int
    tile: int
    rebin: int
    threshold: float
    model: TrainedModel
    model_sha256: str

    @property
    def name(self) -> str:
        """The file's name, as every product can hold it."""
        return printable(self.path.name)


def printable(text: str) -> str:
    """Return text with `?` for what is no letter: names of files may be any bytes."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
