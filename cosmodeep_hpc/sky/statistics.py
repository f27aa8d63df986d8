"""Statistics of a pair of images, measured when it is made and kept in a small file beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.config.tiles import Tiles
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import read_json, replacing
from cosmodeep_hpc.sky.occupancy import occupancy, tile_levels
from cosmodeep_hpc.tiles.noise import MAD_TO_SIGMA, median_deviation

FORMAT = 1
"""Raise it when the same images would give other statistics."""
FOLDER = "statistics"
N_PIX = (40, 9)
"""The paper's pixel thresholds N_pix."""
DECADES = (-11, -2)
"""Range of the flux histogram, log10 of Jy/arcsec^2: the dynamic range of the paper."""
PER_DECADE = 10
SAMPLE = 1 << 20
"""Pixels that suffice for the rms of the noise: it is then known to 0.1 %."""


@dataclass(frozen=True)
class CountingRule:
    """The rule by which tiles are counted.

    Attributes:
        tile: side of a tile [pixel].
        thresholds: flux thresholds F_th [Jy/arcsec^2].
        n_pix: pixel thresholds N_pix.
    """

    tile: int
    thresholds: tuple[float, ...]
    n_pix: tuple[int, ...] = N_PIX

    @classmethod
    def of(cls, tiles: Tiles) -> CountingRule:
        """Return the rule of a configuration."""
        return cls(tiles.size, tiles.thresholds)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Statistics of one pair.

    Attributes:
        index: of the pair.
        config: identifies its configuration: the card CONFIG of its files.
        rule: how tiles were counted.
        pixels: rows and columns.
        pixel_scale: side of a pixel [arcsec].
        tiles: whole tiles.
        signal_tiles: tiles with more than n_pix Sky pixels above a threshold; a row for each
            of rule.n_pix, a column for each of rule.thresholds.
        fainter, histogram, brighter: Sky pixels below, in and above the bins of `edges`.
        sky_min, sky_max: of the Sky image [Jy/arcsec^2].
        sky_flux: sum of the Sky image [Jy].
        noise_min, noise_max: of the Noise image [Jy/arcsec^2].
        noise_rms: of the Noise image, from its median absolute deviation [Jy/arcsec^2].
        halos: number of halos in the field; None without a catalogue.
    """

    index: int
    config: str
    rule: CountingRule
    pixels: tuple[int, int]
    pixel_scale: float
    tiles: int
    signal_tiles: tuple[tuple[int, ...], ...]
    fainter: int
    histogram: tuple[int, ...]
    brighter: int
    sky_min: float
    sky_max: float
    sky_flux: float
    noise_min: float
    noise_max: float
    noise_rms: float
    halos: int | None


def edges() -> NDArray[np.float64]:
    """Return the edges of the bins of the flux histogram [Jy/arcsec^2]."""
    low, high = DECADES
    return np.logspace(low, high, (high - low) * PER_DECADE + 1)


def measure(
    sky: NDArray[np.float32],
    noise: NDArray[np.float32],
    *,
    index: int,
    config: str,
    rule: CountingRule,
    pixel_scale: float,
    halos: int | None,
) -> Statistics:
    """Return the statistics of a pair.

    Args:
        sky, noise: (rows, columns) [Jy/arcsec^2].
        index: of the pair.
        config: the card CONFIG of its files.
        rule: how tiles are counted.
        pixel_scale: side of a pixel [arcsec].
        halos: number of halos in the field, if known.
    """
    levels = tile_levels(sky, rule.tile, rule.n_pix)
    signal = occupancy(levels[None], rule.thresholds)
    fainter, histogram, brighter = flux_histogram(sky)
    return Statistics(
        index=index,
        config=config,
        rule=rule,
        pixels=(sky.shape[0], sky.shape[1]),
        pixel_scale=pixel_scale,
        tiles=levels.shape[1],
        signal_tiles=tuple(tuple(int(n) for n in row) for row in signal),
        fainter=fainter,
        histogram=tuple(int(n) for n in histogram),
        brighter=brighter,
        sky_min=float(sky.min()),
        sky_max=float(sky.max()),
        sky_flux=float(sky.sum(dtype=np.float64)) * pixel_scale**2,
        noise_min=float(noise.min()),
        noise_max=float(noise.max()),
        noise_rms=robust_rms(noise),
        halos=halos,
    )


def flux_histogram(sky: NDArray[np.float32]) -> tuple[int, NDArray[np.int64], int]:
    """Count the pixels below the bins of `edges`, in each of them, and above: all pixels in total.

    Args:
        sky: [Jy/arcsec^2].
    """
    low, high = DECADES
    bins = (high - low) * PER_DECADE
    within = sky[sky >= 10.0**low]
    place = ((np.log10(within) - low) * PER_DECADE).astype(np.int32)
    counts = np.bincount(np.clip(place, 0, bins), minlength=bins + 1)
    return sky.size - within.size, counts[:bins], int(counts[bins])


def robust_rms(noise: NDArray[np.float32]) -> float:
    """Return the rms of Gaussian noise under sources, from the median absolute deviation.

    An image of more than SAMPLE pixels is sampled at every second (third, ...) row and column.
    """
    step = max(1, isqrt(noise.size // SAMPLE))
    sample = np.ascontiguousarray(noise[::step, ::step])
    return MAD_TO_SIGMA * float(median_deviation(sample.reshape(-1)))


def path_of(out: Path, index: int) -> Path:
    """Return the file of the statistics of a pair."""
    return out / FOLDER / f"{index:05d}.json"


def write(out: Path, statistics: Statistics) -> None:
    """Write the statistics of a pair, completely or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    content = {"format": FORMAT, **asdict(statistics)}
    with replacing(path_of(out, statistics.index)) as temporary:
        temporary.write_text(json.dumps(content) + "\n")


def read(out: Path, index: int, config: str, rule: CountingRule) -> Statistics | None:
    """Return the statistics of a pair, or None unless they are of these images and this rule.

    Args:
        out: folder of the pair.
        index: of the pair.
        config: the card CONFIG of its files.
        rule: how tiles should have been counted.
    """
    path = path_of(out, index)
    if not path.exists():
        return None
    try:
        content = read_json(path)
        if content.pop("format") != FORMAT:
            return None
        content["rule"] = CountingRule(**_with_tuples(content["rule"]))
        found = Statistics(**_with_tuples(content))
    except (InputError, KeyError, TypeError, AttributeError):
        return None  # of another version, or cut short: measured again
    same = (found.index, found.config, found.rule) == (index, config, rule)
    return found if same else None


def _with_tuples(content: dict[str, Any]) -> dict[str, Any]:
    """Turn lists into tuples, which JSON does not know."""
    return {name: _as_tuple(value) for name, value in content.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def measure_files(paths: tuple[Path, Path, Path], index: int, rule: CountingRule) -> Statistics:
    """Read a pair and return its statistics.

    Args:
        paths: the halo catalogue, the Sky and the Noise image.
        index: of the pair.
        rule: how tiles are counted.

    Raises:
        InputError: one of the files cannot be read, or the two images differ in size.
    """
    catalogue, sky_path, noise_path = paths
    (sky, header), (noise, _) = _image(sky_path), _image(noise_path)
    if sky.shape != noise.shape:
        raise InputError(f"{noise_path}: {noise.shape}, expected {sky.shape} as {sky_path.name}")
    halos = None
    if catalogue.exists():
        with naming(catalogue):
            halos = int(fits.getheader(catalogue, 1)["NAXIS2"])
    return measure(
        sky,
        noise,
        index=index,
        config=str(header.get("CONFIG", "")),
        rule=rule,
        pixel_scale=round(abs(float(header["CDELT2"])) * 3600, 9),
        halos=halos,
    )


def _image(path: Path) -> tuple[NDArray[np.float32], Any]:
    with naming(path), fits.open(path, memmap=False) as file:
        return np.asarray(file[0].data, np.float32), file[0].header
