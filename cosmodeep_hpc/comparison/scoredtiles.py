"""The value types of the comparison: label rules, ways to score, and an image's scored tiles."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.sky.occupancy import PAPER

MODEL = "cosmodeep"
FAMILIES = {
    MODEL: "the network's probability",
    "smoothed": "a smoothed pixel of the tile",
    "matched": "a pixel of a matched filter of several scales",
    "pybdsf": "PyBDSF islands, as in the paper",
    "pybdsf peak": "PyBDSF islands with a bright peak, its default",
    "aegean": "Aegean islands above BANE's noise",
}
"""The detectors and what each decides by, in the order of the tables."""
ISLANDS = ("pybdsf", "pybdsf peak", "aegean")
"""The detectors that find islands."""


@dataclass(frozen=True, order=True)
class LabelRule:
    """When a tile counts as signal: more than `n_pix` Sky pixels brighter than `f_th`.

    Attributes:
        n_pix: pixel threshold N_pix.
        f_th: flux threshold F_th [Jy/arcsec^2].
    """

    n_pix: int
    f_th: float

    def __str__(self) -> str:
        return f"N_pix {self.n_pix}, F_th {self.f_th:g}"


PAPERS_RULES = tuple(LabelRule(n_pix, f_th) for n_pix, f_th in PAPER)
"""The eight rules of the paper (its table 2)."""


@dataclass(frozen=True)
class Scoring:
    """One way in which a detector scores tiles.

    Attributes:
        family: the detector, of FAMILIES.
        setting: its description for people.
        n_pix, f_th: of the label rules that it serves; None: any.
    """

    family: str
    setting: str
    n_pix: int | None = None
    f_th: float | None = None

    def serves(self, rule: LabelRule) -> bool:
        """Return whether its scores are meant for labels of this rule."""
        return self.n_pix in (None, rule.n_pix) and self.f_th in (None, rule.f_th)

    @classmethod
    def of_model(cls, rule: LabelRule) -> Scoring:
        """Return the network's way to score by a rule."""
        return cls(MODEL, "probability", rule.n_pix, rule.f_th)


@dataclass(frozen=True)
class IslandCount:
    """The number and area of an image's islands above a threshold, and of the false ones.

    An island is false if the Sky is nowhere in it brighter than the faintest F_th of the paper.
    Areas are in pixels.
    """

    islands: int
    area: int
    false_islands: int
    false_area: int

    def __add__(self, other: IslandCount) -> IslandCount:
        """Return the islands of both images together."""
        return IslandCount(
            self.islands + other.islands,
            self.area + other.area,
            self.false_islands + other.false_islands,
            self.false_area + other.false_area,
        )


@dataclass(frozen=True, kw_only=True)
class ScoredTiles:
    """One image: the truth of its tiles, and their scores by each detector.

    Attributes:
        name: of the pair.
        pixels: with data.
        pixel_area: [arcsec^2].
        row, col: int32 (n,), places of its tiles.
        n_pix: pixel thresholds of `levels`.
        levels: float32 (len(n_pix), n), the (n_pix + 1)-th brightest Sky pixel of each tile
            [Jy/arcsec^2]: a tile is signal if it exceeds F_th.
        flux: float64 (n,), of the Sky in each tile [Jy].
        peak: float32 (n,), the Sky's brightest pixel as seen through the beam, over the noise.
        snr: by the name of an ideal limit float64 (n,), see `limits`.
        scores: by the way float32 (n,): the higher, the likelier signal; NaN is never found.
        counts: by a finder's name and its threshold [sigma].
        failures: by a finder's name, why it has no score.
        seconds: by a detector's name.
        versions: of the finders.
    """

    name: str
    pixels: int
    pixel_area: float
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    n_pix: tuple[int, ...]
    levels: NDArray[np.float32]
    flux: NDArray[np.float64]
    peak: NDArray[np.float32]
    snr: dict[str, NDArray[np.float64]]
    scores: dict[Scoring, NDArray[np.float32]]
    counts: dict[str, dict[float, IslandCount]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def level(self, n_pix: int) -> NDArray[np.float32]:
        """Return the (n_pix + 1)-th brightest Sky pixel of each tile [Jy/arcsec^2]."""
        return np.asarray(self.levels[self.n_pix.index(n_pix)])

    def is_signal(self, rule: LabelRule) -> NDArray[np.bool_]:
        """Return which tiles are signal by a rule, bool (n,)."""
        return self.level(rule.n_pix) > np.float32(rule.f_th)
