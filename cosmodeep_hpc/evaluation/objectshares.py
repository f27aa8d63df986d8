"""Completeness and purity of objects over all fields: in all, and in bins of what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.fieldspread import share_and_error
from cosmodeep_hpc.evaluation.objects import LEAST_BEAMS, OVERLAP, MatchedObjects, ObjectMatch

EDGES: dict[str, tuple[float, ...]] = {
    "brightness": (0, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10),
    "size": (0, 5, 10, 20, 50, 100, 200, 500),
    "flux": (0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
"""Lower edges of the bins: surface brightness over the noise, area [beam] and flux density [Jy].
A bin includes its lower edge, and the first one what lies below; the last has no upper edge."""


def over_fields(fields: Mapping[str, ObjectMatch]) -> dict[str, Any]:
    """Return completeness and purity of the objects of all fields, by the fields' names.

    Completeness is the share of objects found, purity the share of islands that are true.
    """
    objects = [match.objects for match in fields.values()]
    islands = [match.islands for match in fields.values()]
    return {
        "overlap": OVERLAP,
        "least_beams": LEAST_BEAMS,
        "completeness": shares(objects),
        "purity": shares(islands),
        "bins": {
            name: {
                "edges": list(edges),
                "completeness": binned(objects, name, edges),
                "purity": binned(islands, name, edges),
            }
            for name, edges in EDGES.items()
        },
        "an_image": {
            name: {
                "objects": len(match.objects),
                "found": int(match.objects.matched.sum()),
                "islands": len(match.islands),
                "true": int(match.islands.matched.sum()),
            }
            for name, match in fields.items()
        },
    }


def shares(fields: Sequence[MatchedObjects]) -> dict[str, Any]:
    """Return how many there are, how many are matched, and the share with its standard error."""
    return _counted([field.matched for field in fields])


def binned(
    fields: Sequence[MatchedObjects], name: str, edges: Sequence[float]
) -> list[dict[str, Any]]:
    """Return the shares in bins of brightness, size or flux.

    Args:
        name: of the measure.
        edges: lower edges of the bins.
    """
    places = [np.searchsorted(edges, getattr(field, name), side="right") - 1 for field in fields]
    return [
        _counted(
            [
                field.matched[np.maximum(place, 0) == number]
                for field, place in zip(fields, places, strict=True)
            ]
        )
        for number in range(len(edges))
    ]


def _counted(matched: Sequence[NDArray[np.bool_]]) -> dict[str, Any]:
    parts, wholes = [int(one.sum()) for one in matched], [len(one) for one in matched]
    return {"count": sum(wholes), "matched": sum(parts), **share_and_error(parts, wholes)}
