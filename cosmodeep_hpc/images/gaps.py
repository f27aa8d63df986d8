"""Gaps of an image: what its pixels hold where there is no data.

NaN and exactly 0 are common. Others are zeros that a mosaic program, or compression, made into tiny
numbers, any other constant, and single pixels of absurd values. What is tiny is told by the image's
own pixels. A pixel of noise may be as small by chance, so tiny pixels count as padding only in
patches, and only where an image has far more of them than noise would have. Where an image has
steps, as whole numbers have, noise may be 0, and zeros are no data in patches alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit

if TYPE_CHECKING:
    from cosmodeep_hpc.images.image import Image

LINES = 64
"""Rows of an image that its gaps are told by, evenly over it."""
USUAL = 95
"""Percentage of the pixels with data that are at most as bright as what is called usual."""
NOTHING = 1e-9
"""Times the usual brightness: what is less is no data, wherever it lies."""
TINY = 1e-4
"""Times the usual brightness: what is less is padding, in patches."""
MANY = 0.01
"""Share of tiny pixels from which on an image has padding: noise has a hundredth of it."""
ABSURD = 1e15
"""Times the usual brightness: what is more is no data. No source is nearly so bright."""
BRIGHTEST = 1e10
"""What no pixel is brighter than [Jy/arcsec^2]: 1e12 K, where synchrotron emission ends, is 7e5 at
1 GHz and 7e9 at 100 GHz. Pixels above it do not count for what is usual."""
RUN = 4
"""Sides of a patch that a run of equal pixels is as long as, at least, where it is padding."""
LEFT = 0.05
"""Share of the pixels with data that padding of a constant must leave."""
STEPS = 50
"""Pixels one step above 0, and below, from which on an image has steps."""
OFTEN = 1.2
"""Times the zeros that noise has: where there are more, there are gaps."""
COARSE = 0.5
"""Share of zeros in noise from which on patches of them are no gaps."""
PATCH = 5
"""Side of a patch of padding, at least [pixel]; three beams, where noise correlates so far."""
BEAMS = 3.0


@dataclass(frozen=True)
class Gaps:
    """How the pixels without data of an image are told.

    Attributes:
        nothing: brightness up to which a pixel is no data, in any place [Jy/arcsec^2]; below 0: 0
            is data.
        tiny: brightness up to which pixels are padding in patches [Jy/arcsec^2]; 0: there is none.
        absurd: brightness above which a pixel is no data [Jy/arcsec^2].
        patch: side of a patch [pixel].
        constants: brightness of padding that is the same everywhere [Jy/arcsec^2].
        has_steps: whether noise may be exactly 0, as in whole numbers.
    """

    nothing: float
    tiny: float
    absurd: float
    patch: int
    constants: tuple[float, ...] = ()
    has_steps: bool = False

    @property
    def are_patches(self) -> bool:
        """Whether there may be patches of padding that single pixels do not tell."""
        return self.tiny > 0 or bool(self.constants)

    @classmethod
    def of(cls, image: Image) -> Gaps:
        """Return how the gaps of an image are told, by LINES of its rows.

        Raises:
            InputError: the image cannot be read.
        """
        ny = image.shape[0]
        chosen = sorted({int((n + 0.5) * ny / LINES) for n in range(LINES)})
        rows = np.concatenate([image.rows(row, row + 1) for row in chosen])
        lines = rows.reshape(-1)
        beam = 0.0 if image.beam is None else image.beam.major / image.pixel_scale
        patch = max(PATCH, 2 * int(BEAMS * beam / 2) + 1)
        constants = _constants(rows, RUN * patch)
        has_data = (np.abs(lines) <= BRIGHTEST) & (lines != 0)
        others = has_data & ~np.isin(lines, np.array(constants, np.float32))
        if others.sum() < LEFT * has_data.sum():  # the image itself is a constant
            constants, others = (), has_data
        size = np.abs(lines[others]).astype(np.float64)
        if size.size == 0:
            return cls(0.0, 0.0, BRIGHTEST, patch, constants)
        usual = float(np.percentile(size, USUAL))
        tiny = TINY * usual if np.mean(size <= TINY * usual) > MANY else 0.0
        largest = min(ABSURD * usual, BRIGHTEST)
        zeros, nothing = int((lines == 0).sum()), NOTHING * usual
        expected = _zeros_of_noise(lines) if zeros else 0.0
        if expected and zeros <= OFTEN * expected:
            nothing = -1.0
        elif expected and expected < COARSE * (expected + has_data.sum()):
            nothing, constants = -1.0, (*constants, 0.0)
        return cls(nothing, tiny, largest, patch, constants, expected > 0)

    def blank(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.int64] | int, ...]:
        """Make pixels that are no data wherever they lie NaN, in place.

        Returns:
            how many of each row were absurd or infinite, and how many were 0 in an image with
            steps: int64 (rows,), or 0.
        """
        low, high = np.float32(self.nothing), np.float32(self.absurd)
        if lie_between(pixels.reshape(-1), low, high):
            return 0, 0
        size = np.abs(pixels)
        absurd = size > high
        zeros = (pixels == 0).sum(axis=1) if self.has_steps and low >= 0 else 0
        pixels[absurd | ~(size > low)] = np.nan
        return np.asarray(absurd.sum(axis=1)), zeros

    def padding(
        self, pixels: NDArray[np.float32], zeros: NDArray[np.float32] | None
    ) -> NDArray[np.bool_] | None:
        """Return which pixels lie in patches of padding; None: there is no such patch.

        Args:
            pixels: with a patch's side more than is wanted around them, as far as the image goes.
            zeros: what a 0 may have become by compression: as large as the pixels [Jy/arcsec^2].
        """
        if not self.are_patches and zeros is None:
            return None
        from scipy.ndimage import maximum_filter, minimum_filter

        size = np.abs(pixels)
        small = ~(size > self.tiny)  # NaN is no data in any case
        if zeros is not None:
            small |= ~(size > zeros)
        for constant in self.constants:
            small |= pixels == np.float32(constant)
        if not small.any():
            return None
        inner = minimum_filter(small, self.patch, mode="constant", cval=True)
        return np.asarray(maximum_filter(inner, self.patch, mode="constant", cval=False))


def _zeros_of_noise(pixels: NDArray[np.float32]) -> float:
    """Return how many of the pixels (n,) noise makes 0; 0: they have no steps.

    In a Gaussian the logarithm falls by a from 0 to one step, and by 3 a from there to the next.
    """
    least = np.min(np.abs(pixels), initial=np.inf, where=pixels != 0)
    one, two = (
        [int((pixels == sign * steps * least).sum()) for sign in (1, -1)] for steps in (1, 2)
    )
    if min(one) < STEPS:
        return 0.0
    return float(max(one) * (sum(one) / max(sum(two), 1)) ** (1 / 3))


def _constants(rows: NDArray[np.float32], run: int) -> tuple[float, ...]:
    """Return the numbers other than 0 that rows (n, nx) have in runs of at least `run` pixels.

    Those that make up a share of MANY of all pixels.
    """
    if rows.shape[1] <= run:
        return ()
    same = (rows[:, 1:] == rows[:, :-1]) & (rows[:, 1:] != 0)
    if same.mean() < MANY:
        return ()
    ends = np.cumsum(np.pad(same, ((0, 0), (1, 0))), axis=1)
    found = rows[:, run:][ends[:, run:] - ends[:, :-run] == run]
    values, counts = np.unique(found, return_counts=True)
    many = (counts > MANY * rows.size) & (np.abs(values) <= BRIGHTEST)
    return tuple(float(v) for v in values[many])


@jit
def lie_between(pixels, low, high):  # type: ignore[no-untyped-def]
    """Return whether the absolute value of all pixels (n,) is above `low` and at most `high`."""
    good = True
    for i in range(len(pixels)):
        size = abs(pixels[i])
        good &= (size > low) & (size <= high)
    return good
