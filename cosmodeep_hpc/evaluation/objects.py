"""Accuracy by objects: those of the sky, and the islands found, matched by overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth
from cosmodeep_hpc.islands.labels import label

OVERLAP = 0.3
"""Share of an object's cells that islands must cover for it to be found, and share of an island's
cells that must lie on emission for it to be true."""
LEAST_BEAMS = 2.0
"""Area from which a group of bright cells of the sky is an object [beam]."""


@dataclass(frozen=True, kw_only=True)
class MatchedObjects:
    """Objects of a field, or islands found in it, each with whether it has its counterpart.

    Attributes:
        brightness: mean surface brightness of its cells over the noise of the image: of the Sky for
            objects, of the Noise image for islands: float64 (n,).
        size: its area [beam]: float64 (n,).
        flux: its integrated flux density [Jy]: float64 (n,), of the same image as `brightness`.
        matched: bool (n,).
    """

    brightness: NDArray[np.float64]
    size: NDArray[np.float64]
    flux: NDArray[np.float64]
    matched: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.matched)


@dataclass(frozen=True)
class ObjectMatch:
    """The objects of a field, and what was found in it.

    Attributes:
        objects: 8-connected cells of the sky brighter than F_th, of `LEAST_BEAMS` or more; matched:
            found, `OVERLAP` of its cells or more lie in islands.
        islands: those found; matched: true, `OVERLAP` of its cells or more lie on emission.
    """

    objects: MatchedObjects
    islands: MatchedObjects

    @classmethod
    def of(cls, truth: FieldTruth, found: NDArray[np.bool_]) -> ObjectMatch:
        """Match the objects of a field with the 8-connected islands of a mask.

        One island may find several objects, and several islands one object.

        Args:
            found: cells in islands, bool (rows, cols).
        """
        found = found & truth.known
        objects = label(truth.bright, LEAST_BEAMS * truth.beam_area / truth.cell_area)
        return cls(
            objects=_matched(truth, objects, truth.sky, found),
            islands=_matched(truth, label(found), truth.image, truth.emission),
        )


def _matched(
    truth: FieldTruth,
    labels: NDArray[np.int32],
    pixels: NDArray[np.float32],
    others: NDArray[np.bool_],
) -> MatchedObjects:
    """Measure labelled groups of cells on `pixels`, and match them with the cells of `others`."""
    count = int(labels.max(initial=0)) + 1
    flat = labels.ravel()
    cells = np.bincount(flat, minlength=count)[1:]
    inside = np.bincount(flat[others.ravel()], minlength=count)[1:]
    total = np.bincount(flat, pixels.ravel(), minlength=count)[1:]
    return MatchedObjects(
        brightness=total / (cells * truth.noise),
        size=cells * np.float64(truth.cell_area / truth.beam_area),
        flux=total * np.float64(truth.cell_area),
        matched=inside / cells >= OVERLAP,
    )
