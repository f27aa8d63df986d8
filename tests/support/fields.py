"""Small Sky/Noise pairs made by hand, for tests that need images but no simulation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from astropy.io import fits

NOISE = 0.88e-7  # Jy/arcsec^2: 10 uJy/beam in a beam of 10 arcsec


def header(shape: tuple[int, int], pixel: float = 9.6, beam: float = 10.0) -> fits.Header:
    """A SIN header as imagers write it: pixel and beam in arcsec."""
    ny, nx = shape
    cards = {
        "CTYPE1": "RA---SIN",
        "CTYPE2": "DEC--SIN",
        "CRVAL1": 150.0,
        "CRVAL2": -35.0,
        "CRPIX1": (nx + 1) / 2,
        "CRPIX2": (ny + 1) / 2,
        "CDELT1": -pixel / 3600,
        "CDELT2": pixel / 3600,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "RADESYS": "ICRS",
        "BMAJ": beam / 3600,
        "BMIN": beam / 3600,
        "BPA": 0.0,
        "BUNIT": "Jy/arcsec2",
    }
    return fits.Header(cards)


def write(path: Path, pixels: np.ndarray, **cards: object) -> Path:
    """Write pixels with the header above; cards of value None are removed from it."""
    head = header(pixels.shape[-2:])
    for name, value in cards.items():
        if value is None:
            del head[name]
        else:
            head[name] = value
    fits.PrimaryHDU(np.asarray(pixels), head).writeto(path, overwrite=True)
    return path


def two_sources(shape: tuple[int, int] = (200, 280)) -> np.ndarray:
    """Noise, two pixels of 1000 times as much, and a corner without data; it cannot be changed."""
    made = np.random.default_rng(4).normal(0, NOISE, shape).astype(np.float32)
    made[90, 130] = made[20, 210] = 1e-4
    made[160:, :40] = np.nan
    made.setflags(write=False)
    return made


def blobs(shape: tuple[int, int], count: int, seed: int) -> np.ndarray:
    """A noise-free sky of `count` round blobs of 4 to 8 pixels and 3 to 30 times the noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    sky = np.zeros(shape)
    for _ in range(count):
        cy, cx = random.uniform(0, shape[0]), random.uniform(0, shape[1])
        width, peak = random.uniform(4, 8), random.uniform(3, 30) * NOISE
        sky += peak * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    return sky.astype(np.float32)


def write_pairs(
    folder: Path, count: int, shape: tuple[int, int] = (400, 400), seed: int = 0
) -> Path:
    """Write pairs sky-00000.fits, noise-00000.fits, ... of blobs in white noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        sky = blobs(shape, 12, 1000 * seed + number)
        random = np.random.default_rng((seed, number))
        noise = sky + random.normal(0, NOISE, shape).astype(np.float32)
        write(folder / f"sky-{number:05d}.fits", sky)
        write(folder / f"noise-{number:05d}.fits", noise)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Digests of all files of a folder but those that were not finished, by their names in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".part" not in path.suffixes
    }
