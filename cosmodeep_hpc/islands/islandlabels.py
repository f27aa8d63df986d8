"""Which cells of a mosaic belong to which island: labels of all planes, numbered through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.islands.labels import Labels
from cosmodeep_hpc.survey.result import MosaicResult


@dataclass(frozen=True)
class IslandLabels:
    """The islands of a mosaic, each plane for itself.

    Numbers go up with the planes, then with the lowest row of an island, then with its first column
    there.

    Attributes:
        planes: which cells of each belong to islands, by numbers in the plane from 1.
        first: a plane each: how many islands the planes before it have.
    """

    planes: tuple[Labels, ...]
    first: tuple[int, ...]

    @classmethod
    def of(cls, swept: MosaicResult, min_beams: float, high: float) -> IslandLabels:
        """Label the islands of all planes.

        Args:
            min_beams: area from which islands of pixels are kept [beam]; those of tiles all are.
            high: probability that one of their pixels reaches, likewise.
        """
        labels: list[Labels] = []
        first: list[int] = []
        for plane in swept.planes:
            first.append(sum(map(len, labels)))
            if swept.has_map:
                least = min_beams * _beam_cells(plane.image, swept.cell)
                labels.append(Labels(plane, swept.threshold, least, high))
            else:
                labels.append(Labels(plane, swept.threshold))
        return cls(tuple(labels), tuple(first))

    def __len__(self) -> int:
        """Return how many islands there are."""
        return sum(map(len, self.planes))

    def rows(self, plane: int, start: int, stop: int) -> NDArray[np.int32]:
        """Return the numbers of islands of rows of a plane: int32 (rows, cols); 0 where none."""
        labels = self.planes[plane].rows(start, stop)
        return np.where(labels > 0, labels + self.first[plane], 0).astype(np.int32)

    def whole(self, plane: int) -> NDArray[np.int32]:
        """Return the same of all rows of a plane."""
        return self.rows(plane, 0, self.planes[plane].shape[0])


def _beam_cells(image: Image, cell: int) -> float:
    """Return the area of the beam, or of a pixel where it is not known [cell]."""
    area = image.pixel_scale**2 if image.beam is None else image.beam.area
    return area / (cell * image.pixel_scale) ** 2
