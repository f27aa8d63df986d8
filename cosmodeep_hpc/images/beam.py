"""The restoring beam: an elliptical Gaussian, and what it does to units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.errors import InputError

FWHM = float(np.sqrt(8 * np.log(2)))
"""Full width at half maximum of a Gaussian, in units of its sigma."""

_OVERSAMPLING = 15  # points along a pixel's side at which the kernel is averaged
_REACH = 5.0  # sigmas of the major axis at which the kernel ends


@dataclass(frozen=True)
class Beam:
    """An elliptical Gaussian beam.

    Attributes:
        major: full width at half maximum of the long axis [arcsec].
        minor: full width at half maximum of the short axis [arcsec].
        angle: position angle of the long axis, from north through east [deg].

    Raises:
        InputError: a width is not above 0, or a number is not finite.
    """

    major: float
    minor: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.major < np.inf and 0 < self.minor < np.inf and np.isfinite(self.angle)):
            raise InputError(
                f"beam of {self.major:g} x {self.minor:g} arcsec at {self.angle:g} deg: expected "
                "widths above 0, and finite numbers"
            )

    @property
    def area(self) -> float:
        """Solid angle, pi / (4 ln 2) major minor [arcsec^2]."""
        return float(np.pi / (4 * np.log(2)) * self.major * self.minor)

    @property
    def width(self) -> float:
        """Geometric mean of both widths [arcsec]."""
        return float(np.sqrt(self.major * self.minor))

    def in_pixels(self, side: float) -> Beam:
        """Return it in units of a pixel of this side [arcsec]."""
        return Beam(self.major / side, self.minor / side, self.angle)

    def per_arcsec2(self, per_beam: ArrayLike) -> Any:
        """Convert Jy/beam to Jy/arcsec^2."""
        return np.asarray(per_beam) / self.area

    def per_beam(self, per_arcsec2: ArrayLike) -> Any:
        """Convert Jy/arcsec^2 to Jy/beam."""
        return np.asarray(per_arcsec2) * self.area

    def profile(self, column: ArrayLike, row: ArrayLike) -> Any:
        """Return the beam, 1 at its centre, at offsets along columns (west) and rows (north).

        Args:
            column: [arcsec].
            row: [arcsec].
        """
        sine, cosine = np.sin(np.deg2rad(self.angle)), np.cos(np.deg2rad(self.angle))
        column, row = np.asarray(column), np.asarray(row)
        along = (row * cosine - column * sine) / self.major
        across = (row * sine + column * cosine) / self.minor
        return np.exp(-4 * np.log(2) * (along**2 + across**2))

    def kernel(self, scale: float) -> NDArray[np.float64]:
        """Return the beam averaged over pixels, sum 1, of odd size.

        A Sky image is even within a pixel; seen through the beam at the centre of a pixel it is
        the sum of its pixels times the beam's integral over each.

        Args:
            scale: side of a pixel [arcsec].
        """
        reach = int(np.ceil(_REACH * max(self.major, self.minor) / FWHM / scale))
        fine = (np.arange((2 * reach + 1) * _OVERSAMPLING) + 0.5) / _OVERSAMPLING - reach - 0.5
        dense = self.profile(fine * scale, (fine * scale)[:, None])
        kernel = dense.reshape(2 * reach + 1, _OVERSAMPLING, -1, _OVERSAMPLING).mean(axis=(1, 3))
        return np.asarray(kernel / kernel.sum())

    def convolve(
        self, image: NDArray[np.float32], scale: float, workers: int = 1
    ) -> NDArray[np.float32]:
        """Return an image of surface brightness seen through the beam; the sky around it is dark.

        Args:
            image: float32 (rows, columns), in any unit of surface brightness.
            scale: side of a pixel [arcsec].
            workers: threads of the FFT; no influence on the result.
        """
        import scipy.fft  # here, since a survey image needs its beam but no FFT

        kernel = self.kernel(scale)
        reach = len(kernel) // 2
        shape = tuple(scipy.fft.next_fast_len(side + 2 * reach, real=True) for side in image.shape)
        padded = np.zeros(shape, np.float32)
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        padded = np.roll(padded, (-reach, -reach), (0, 1))
        response = scipy.fft.rfft2(padded, workers=workers).real  # the kernel is symmetric
        spectrum = scipy.fft.rfft2(image, s=shape, workers=workers) * response
        seen = scipy.fft.irfft2(spectrum, s=shape, workers=workers)
        return np.ascontiguousarray(seen[: image.shape[0], : image.shape[1]])

    def noise_correlation(self, column: ArrayLike, row: ArrayLike) -> Any:
        """Return how white noise seen through the beam correlates, at a distance (columns, rows).

        The beam convolved with itself: a Gaussian sqrt(2) as wide.

        Args:
            column: [arcsec].
            row: [arcsec].
        """
        return np.sqrt(self.profile(column, row))
