"""The value types of the comparison by pixels and objects: ways to mark cells, and their scores."""

from __future__ import annotations

from dataclasses import dataclass

from cosmodeep_hpc.comparison.scoredtiles import MODEL
from cosmodeep_hpc.evaluation.mapscore import MapScore

SMOOTHED, MASKED = "smoothed", "smoothed, masked"
MAPS = {
    MODEL: "the network's islands of pixels",
    SMOOTHED: "a smoothed map",
    MASKED: "a smoothed map in which compact sources are masked",
    "pybdsf": "PyBDSF islands, as in the paper",
    "pybdsf peak": "PyBDSF islands with a bright peak, its default",
    "wavelets": "PyBDSF islands of the image and of its wavelet planes",
    "aegean": "Aegean islands above BANE's noise",
    "continunet": "ContinUNet's segmentation",
}
"""The detectors that mark pixels, in the order of the tables."""


@dataclass(frozen=True)
class MaskWay:
    """One way in which a detector marks cells.

    Attributes:
        family: the detector, of MAPS.
        setting: its description for people.
        threshold: in the detector's unit; None: its own.
    """

    family: str
    setting: str
    threshold: float | None = None

    def __str__(self) -> str:
        return self.setting if self.threshold is None else f"{self.setting} >= {self.threshold:.3g}"


@dataclass(frozen=True)
class ScoredMasks:
    """One image: the scores of all masks of its cells.

    Attributes:
        name: of the pair.
        scores: by the way; a detector that failed on the image has none.
    """

    name: str
    scores: dict[MaskWay, MapScore]
