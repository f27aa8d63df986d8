"""The score of a mask of cells in one field: by pixels and by objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation import objectshares, pixelaccuracy
from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth
from cosmodeep_hpc.evaluation.objects import ObjectMatch
from cosmodeep_hpc.evaluation.pixelaccuracy import PixelAccuracy, average_precision


@dataclass(frozen=True, kw_only=True)
class MapScore:
    """How well a mask agrees with the sky.

    Attributes:
        pixels: cells counted.
        average_precision: of the map behind the mask; None: nothing ranks the cells; nan: no cell
            is bright.
        objects: objects and islands, matched.
    """

    pixels: PixelAccuracy
    average_precision: float | None
    objects: ObjectMatch

    @classmethod
    def of(
        cls,
        truth: FieldTruth,
        found: NDArray[np.bool_],
        precision: float | None = None,
    ) -> MapScore:
        """Compare a mask with the truth.

        Args:
            found: cells of the mask, bool (rows, cols).
            precision: average precision of the map behind it, see `precision_of`.
        """
        known = truth.known
        return cls(
            pixels=PixelAccuracy.of(truth.bright[known], found[known]),
            average_precision=precision,
            objects=ObjectMatch.of(truth, found),
        )


def precision_of(truth: FieldTruth, ranking: NDArray[np.float32]) -> float:
    """Return the average precision of a map.

    Args:
        ranking: a value of each cell, the higher, the likelier it is bright: float32 (rows, cols);
            NaN: it is never found.
    """
    return average_precision(truth.bright[truth.known], ranking[truth.known])


def by_pixels(fields: Mapping[str, MapScore]) -> dict[str, Any]:
    """Return the accuracy by pixels: of all fields together, their mean, and each by its name."""
    each = {name: field.pixels for name, field in fields.items()}
    ranked = {
        name: field.average_precision
        for name, field in fields.items()
        if field.average_precision is not None
    }
    images = {
        name: {
            **one.as_dict(),
            **({"average_precision": _number(ranked[name])} if name in ranked else {}),
        }
        for name, one in each.items()
    }
    return {
        **pixelaccuracy.over_fields(list(each.values()), list(ranked.values())),
        "an_image": images,
    }


def by_objects(fields: Mapping[str, MapScore]) -> dict[str, Any]:
    """Return completeness and purity of objects, see `objectshares.over_fields`."""
    return objectshares.over_fields({name: field.objects for name, field in fields.items()})


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
