"""Accuracies by pixels and objects over all images, at the ways that are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cosmodeep_hpc.comparison.scoredmasks import MAPS, MaskWay, ScoredMasks
from cosmodeep_hpc.comparison.scoredtiles import MODEL
from cosmodeep_hpc.evaluation import mapscore
from cosmodeep_hpc.evaluation.fieldspread import mean_and_error
from cosmodeep_hpc.evaluation.mapscore import MapScore
from cosmodeep_hpc.evaluation.pixelaccuracy import PixelAccuracy


def choose(chosen_on: Sequence[ScoredMasks], images: Sequence[ScoredMasks]) -> dict[str, MaskWay]:
    """Return how each detector is used: in the way of largest IoU of all cells together.

    A finder that failed on all images to choose by is chosen on the images themselves.

    Args:
        chosen_on: images to choose by.
    """
    chosen: dict[str, MaskWay] = {}
    for family in MAPS:
        for some in (chosen_on, images):
            ways = dict.fromkeys(
                way for image in some for way in image.scores if way.family == family
            )
            if ways:
                chosen[family] = max(ways, key=lambda way: _iou(_of(some, way)))
                break
    return {family: way for family, way in chosen.items() if _of(images, way)}


def _of(images: Sequence[ScoredMasks], way: MaskWay) -> dict[str, MapScore]:
    return {image.name: image.scores[way] for image in images if way in image.scores}


def _iou(fields: Mapping[str, MapScore]) -> float:
    iou = PixelAccuracy.total(field.pixels for field in fields.values()).iou
    return -1.0 if np.isnan(iou) else iou


def detector_rows(
    images: Sequence[ScoredMasks], chosen: Mapping[str, MaskWay]
) -> dict[str, dict[str, Any]]:
    """Return the accuracy by pixels and objects of each detector.

    It includes by how much the IoU of the network is larger, image by image.
    """
    rows: dict[str, dict[str, Any]] = {}
    of_network = _of(images, chosen[MODEL]) if MODEL in chosen else {}
    for family, way in chosen.items():
        fields = _of(images, way)
        rows[family] = {
            "way": str(way),
            "threshold": way.threshold,
            "images": len(fields),
            "pixels": mapscore.by_pixels(fields),
            "objects": mapscore.by_objects(fields),
        }
        if of_network and family != MODEL:
            lead = [of_network[name].pixels.iou - one.pixels.iou for name, one in fields.items()]
            rows[family]["network_less_it"] = mean_and_error(lead)
    return rows
