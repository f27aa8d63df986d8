"""Whether the noise of an image correlates as its beam makes it: a wrong beam shows by that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.beams import guess, said
from cosmodeep_hpc.images.image import Image

LINES = 8
"""Rows of an image that tell it, evenly over it."""
APART = 0.125
"""Beams between two pixels. Real noise is not quite white noise through the beam, but so near by it
correlates by 0.8 and more."""
FAR = 2.0
"""Beams between two pixels whose noise does not correlate."""
ALIKE = 0.8
"""Correlation that the beam must let expect: narrow ones say nothing of the noise."""
UNLIKE = 0.5
"""What is less is not the noise of the beam."""
LARGE = 4.0
"""Medians of differences that are no noise."""
DOUBT = "the noise does not correlate as through a beam"
"""What a note of it begins with."""
LEAST = 256
"""Pairs of pixels without which nothing is said."""


def beam_notes(image: Image) -> tuple[str, ...]:
    """Return a note where noise correlates far less than the beam lets expect; none elsewhere.

    Raises:
        InputError: the image cannot be read.
    """
    if image.beam is None:
        return ()
    pixel = image.pixel_scale
    apart = max(1, int(APART * image.beam.minor / pixel))
    expected = float(image.beam.noise_correlation(apart * pixel, 0.0))
    far = min(int(FAR * image.beam.major / pixel), image.shape[1] // 4)
    if expected < ALIKE or far < 2 * apart:  # the image is narrower than the beam
        return ()
    rows = sorted({int((n + 0.5) * image.shape[0] / LINES) for n in range(LINES)})
    found = correlation(np.concatenate([image.data(row, row + 1) for row in rows]), apart, far)
    if found is None or found > UNLIKE:
        return ()
    unit = guess(image.beam, pixel, image.shape)
    return (
        f"{DOUBT} of {said(image.beam)}: by {found:.2f} "
        f"over {apart} pixels, expected {expected:.2f}; {unit}check it, or give the right one "
        "with --beam BMAJ BMIN BPA (arcsec, arcsec, deg)",
    )


def correlation(rows: NDArray[np.float32], apart: int, far: int) -> float | None:
    """Return how pixels that lie `apart` correlate along rows (n, nx); None: too few have data.

    By differences, so the level of a row does not count, nor do compact sources, which are left
    out. Extended emission makes it higher, not lower.

    Args:
        far: distance [pixel] of pixels that do not correlate.
    """
    near, wide = (_difference(rows, distance) for distance in (apart, far))
    return None if near is None or not wide else 1 - (near / wide) ** 2


def _difference(rows: NDArray[np.float32], distance: int) -> float | None:
    """Return the mean of differences of pixels at a distance, without large ones; None: too few."""
    found = np.abs(rows[:, distance:] - rows[:, :-distance])
    found = found[np.isfinite(found)]
    if len(found) < LEAST:
        return None
    return float(found[found <= LARGE * np.median(found)].mean())
