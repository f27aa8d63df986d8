"""Images of noise and blobs, made in a moment: what is timed does not depend on the sky in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

NOISE = 0.88e-7  # Jy/arcsec^2, the paper's


def header_of(side: int, pixel: float, beam: float) -> fits.Header:
    """Return the header of an image in Jy/arcsec^2 with a round beam [arcsec both]."""
    return fits.Header(
        {
            "CTYPE1": "RA---SIN",
            "CTYPE2": "DEC--SIN",
            "CRVAL1": 30.0,
            "CRVAL2": -40.0,
            "CRPIX1": side / 2 + 0.5,
            "CRPIX2": side / 2 + 0.5,
            "CDELT1": -pixel / 3600,
            "CDELT2": pixel / 3600,
            "BUNIT": "Jy/arcsec2",
            "BMAJ": beam / 3600,
            "BMIN": beam / 3600,
        }
    )


def write_pair(folder: Path, number: int, side: int) -> None:
    """Write a Sky/Noise pair of side x side pixels with a few hundred blobs."""
    random = np.random.default_rng(number)
    sky = np.zeros((side, side), dtype=np.float32)
    y, x = np.mgrid[-20:20, -20:20]
    for _ in range(max(1, side * side // 40_000)):
        row, col = random.integers(20, side - 20, 2)
        peak, width = random.uniform(2, 30) * NOISE, random.uniform(3, 8)
        blob = peak * np.exp(-(x**2 + y**2) / (2 * width**2))
        sky[row - 20 : row + 20, col - 20 : col + 20] += blob.astype(np.float32)
    noise = sky + random.normal(0, NOISE, sky.shape).astype(np.float32)
    header = header_of(side, 9.6, 10)
    fits.PrimaryHDU(sky, header).writeto(folder / f"sky-{number:05d}.fits")
    fits.PrimaryHDU(noise, header).writeto(folder / f"noise-{number:05d}.fits")
