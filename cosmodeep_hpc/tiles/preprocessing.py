"""Preprocessing: from surface brightness to the numbers the network sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.tiles import Tiles
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.gaps import BRIGHTEST
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.tiles.noise import MAD_TO_SIGMA, have_data, median_deviation
from cosmodeep_hpc.tiles.stretch import scale_asinh, scale_log

# Rows read at once, and pixels at most that the noise of an image is measured on.
ROWS = 256
NOISE_SAMPLE = 2**22


@dataclass(frozen=True, kw_only=True)
class Level:
    """What an image's scaling is made with, measured once an image.

    Attributes:
        low, high: natural logarithms of the surface brightness scaled to 0 and 1 (log scalings).
        sigma: robust noise [Jy/arcsec^2] (median absolute deviation, as a standard deviation).
    """

    low: float
    high: float
    sigma: float


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The scaling of a tile set, which a model takes with it.

    Attributes:
        scaling: `minmax` and `range`: I below `floor` becomes `floor`, then log I is scaled to
            [0, 1] by the image's extremes or between `floor` and `ceiling` (the base of the
            logarithm cancels); `asinh`: asinh(I / sigma).
        floor, ceiling: [Jy/arcsec^2].
        tile_size: side of a tile [pixel].
        margin: pixels of the surroundings on each side of it that the network sees.

    Source: Gheller, Vazza & Bonafede (2018), section 4, steps ii and iii (`minmax`).
    """

    scaling: Literal["minmax", "range", "asinh"]
    floor: float
    ceiling: float
    tile_size: int
    margin: int = 0

    def __post_init__(self) -> None:
        """Refuse what a later version, or a damaged file, may ask for."""
        if self.scaling not in get_args(get_type_hints(Preprocessing)["scaling"]):
            raise ValueError(f"scaling {self.scaling!r}: unknown to this version")

    @classmethod
    def of(cls, tiles: Tiles) -> Preprocessing:
        """Return the preprocessing that a configuration asks for."""
        return cls(
            scaling=tiles.scaling,
            floor=tiles.floor,
            ceiling=tiles.ceiling,
            tile_size=tiles.size,
            margin=tiles.margin,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Return the preprocessing stored with a tile set or a model.

        Raises:
            TypeError, ValueError: they are not those of a preprocessing.
        """
        return cls(**values)

    @property
    def window(self) -> int:
        """Side of what the network sees of a tile [pixel]."""
        return self.tile_size + 2 * self.margin

    def measure(self, image: Image, pixels: NDArray[np.float32] | None = None) -> Level:
        """Measure what this scaling needs of an image; the same for any number of ranks.

        `pixels` is the whole plane [Jy/arcsec^2] where the caller holds it already.

        Raises:
            InputError: the image has no pixel with data.
        """
        sigma = robust_noise(image, pixels)
        if self.scaling != "minmax":
            return Level(low=math.log(self.floor), high=math.log(self.ceiling), sigma=sigma)
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for start in range(0, image.shape[0], ROWS):
            stop = min(start + ROWS, image.shape[0])
            rows = image.rows(start, stop) if pixels is None else pixels[start:stop]
            low = np.fmin(low, np.fmin.reduce(rows, axis=None))
            high = np.fmax(high, np.fmax.reduce(rows, axis=None))
        floor = np.float32(self.floor)
        return Level(
            low=float(np.log(np.fmax(low, floor))),
            high=float(np.log(np.fmax(high, floor))),
            sigma=sigma,
        )

    def apply(self, pixels: NDArray[np.float32], level: Level) -> NDArray[np.float32]:
        """Scale contiguous pixels [Jy/arcsec^2], of any shape, in place.

        NaN becomes what 0 becomes.
        """
        flat = pixels.reshape(-1)
        if self.scaling == "asinh":
            scale_asinh(flat, np.float32(1.0 / level.sigma))
            return pixels
        span = level.high - level.low
        factor = np.float32(1.0 / span if span > 0 else 0.0)
        scale_log(flat, np.float32(self.floor), np.float32(level.low), factor)
        return pixels


def robust_noise(
    image: Image,
    pixels: NDArray[np.float32] | None = None,
    *,
    at_most: int = NOISE_SAMPLE,
    gaps: bool = False,
) -> float:
    """Return the rms noise [Jy/arcsec^2]: 1.4826 times the median absolute deviation.

    Pixels without data and pixels exactly 0 (blanked borders) do not count; with `gaps`, those do
    that are noise. Images of more pixels
    than `at_most` are sampled by whole rows evenly over the image, a function of its shape alone.

    Args:
        gaps: leave out padding of any kind (see `Gaps`).

    Raises:
        InputError: no pixel with data, or no noise at all.
    """
    ny, nx = image.shape
    count = min(ny, max(1, at_most // nx))
    chosen = [int(r) for r in (np.arange(count, dtype=np.int64) * ny) // count]
    if pixels is not None:
        sample = pixels[chosen]
    else:
        read = image.data if gaps else image.rows
        whole = count == ny
        sample = read(0, ny) if whole else np.concatenate([read(r, r + 1) for r in chosen])
    sample = sample.reshape(-1)
    if not have_data(sample):
        sample = sample[np.isfinite(sample) & (gaps | (sample != 0))]
    if sample.size == 0:
        absurd = f"NaN, 0, or above {BRIGHTEST:g} Jy/arcsec2" if gaps else "NaN or 0"
        raise InputError(f"{image.path}: no pixel with data (all blank, {absurd})")
    sigma = float(MAD_TO_SIGMA * median_deviation(sample))
    if sigma <= 0:
        raise InputError(
            f"{image.path}: no noise in it (median absolute deviation 0: half of {sample.size} "
            "pixels with data or more have one value)"
        )
    return sigma
