"""Options of tiles and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosmodeep_hpc.config.section import SEEDS, Section, option
from cosmodeep_hpc.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Tiles(Section):
    """How images become tiles (paper, sections 3.2, 3.3 and 4)."""

    # 9: the smallest with 3 x 3 bins in the network; 255: the largest whose counts fit 16 bits
    size: int = option(40, "side of a tile", unit="pixel", low=9, high=255)
    margin: int = option(
        0,
        "pixels of the surroundings that the network sees on each side of a tile; labels do not",
        unit="pixel",
        low=0,
        high=64,
    )
    scaling: Literal["minmax", "range", "asinh"] = option(
        "asinh",
        "minmax: log10 scaled to [0, 1] by each image's extremes (the paper); range: log10 scaled "
        "to [0, 1] between floor and ceiling; asinh: asinh(I / sigma), sigma the image's noise",
    )
    floor: float = option(
        1e-11, "values below become this, before log10", unit="Jy/arcsec^2", above=0
    )
    ceiling: float = option(1e-2, "upper end of the scaling 'range'", unit="Jy/arcsec^2", above=0)
    thresholds: tuple[float, ...] = option(
        (1e-7, 7.5e-8, 5e-8, 1e-8),
        "flux thresholds F_th at which bright Sky pixels are counted",
        unit="Jy/arcsec^2",
        above=0,
    )
    keep_sky: bool = option(False, "whether shards hold the Sky tiles too")
    images_per_shard: int = option(8, "images in one shard", low=1)
    validation: float = option(0.1, "share of the images kept for validation", low=0, below=1)
    seed: int = option(
        1, "seed of the split into training and validation images", low=0, high=SEEDS
    )

    @property
    def window(self) -> int:
        """Side of a tile with its margins [pixel]."""
        return self.size + 2 * self.margin

    def __post_init__(self) -> None:
        """Check each option, then those that depend on each other."""
        super().__post_init__()
        if self.floor >= self.ceiling:
            raise InputError(
                f"tiles.floor = {self.floor!r}: expected less than tiles.ceiling = {self.ceiling!r}"
            )
        if not self.thresholds or len(set(self.thresholds)) < len(self.thresholds):
            raise InputError(f"tiles.thresholds = {self.thresholds}: expected distinct values")


@dataclass(frozen=True, kw_only=True)
class Label(Section):
    """When a tile counts as signal (paper, section 3.3): more than n_pix Sky pixels above f_th."""

    f_th: float = option(1e-7, "flux threshold F_th", unit="Jy/arcsec^2", above=0)
    n_pix: int = option(
        40, "pixel threshold N_pix; a tile with exactly n_pix bright pixels is noise", low=0
    )
