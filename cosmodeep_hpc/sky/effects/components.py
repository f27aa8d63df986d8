"""Gaussian components, which compact sources are made of, and their image through the beam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.images.beam import FWHM, Beam

REACH = 6.0
"""Sigmas of its longer axis at which a component ends, at 1.5e-8 of its peak."""


@dataclass(frozen=True)
class Components:
    """Elliptical Gaussians on the sky; a point has no width.

    Attributes:
        column: float64 (n,), 0 at the centre of an image's first pixel [pixel].
        row: float64 (n,) [pixel].
        flux: float64 (n,) flux density, of either sign [Jy].
        major: float64 (n,) full width at half maximum of the long axis [arcsec].
        minor: float64 (n,) of the short axis [arcsec].
        angle: float64 (n,) position angle of the long axis, from north through east [rad].
    """

    column: NDArray[np.float64]
    row: NDArray[np.float64]
    flux: NDArray[np.float64]
    major: NDArray[np.float64]
    minor: NDArray[np.float64]
    angle: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.flux)

    def __getitem__(self, chosen: NDArray[Any]) -> Components:
        """Return the chosen components."""
        return Components(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @staticmethod
    def points(
        column: NDArray[np.float64], row: NDArray[np.float64], flux: NDArray[np.float64]
    ) -> Components:
        """Return points at places [pixel] with fluxes [Jy]."""
        none = np.zeros(len(flux))
        return Components(column, row, flux, none, none, none)

    @staticmethod
    def joined(parts: Sequence[Components]) -> Components:
        """Return the components of several sets, in their order."""
        return Components(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Components))
        )

    def with_flux(self, flux: NDArray[np.float64]) -> Components:
        """Return the same components with other fluxes [Jy]."""
        return replace(self, flux=flux)

    def beams(self, beam: Beam) -> NDArray[np.float64]:
        """Return flux over peak brightness seen through a round beam: 1 for a point [beam]."""
        long, short = (np.hypot(axis, beam.major) for axis in (self.major, self.minor))
        return np.asarray(long * short / beam.major**2)

    def spread(
        self,
        image: NDArray[np.float32],
        scale: float,
        beam: Beam,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Add the components, seen through the beam, to an image: exact at the pixels' centres.

        Component and beam are both Gaussian, so their covariances add. Nothing is averaged over a
        pixel, and a component's place within its pixel counts.

        Args:
            image: float32 (rows, columns) [Jy/arcsec^2]; it is changed.
            scale: side of a pixel [arcsec].
            beam: the beam.
            origin: row and column of the image's first pixel in the components' coordinates.
        """
        sine, cosine = np.sin(self.angle), np.cos(self.angle)
        long, short = (self.major / FWHM) ** 2, (self.minor / FWHM) ** 2
        turn = np.deg2rad(beam.angle)
        wide, narrow = (beam.major / FWHM) ** 2, (beam.minor / FWHM) ** 2
        # The long axis points along (column, row) = (-sin, cos): east is to the left.
        cc = long * sine**2 + short * cosine**2
        rr = long * cosine**2 + short * sine**2
        cr = (short - long) * sine * cosine
        cc = (cc + wide * np.sin(turn) ** 2 + narrow * np.cos(turn) ** 2) / scale**2
        rr = (rr + wide * np.cos(turn) ** 2 + narrow * np.sin(turn) ** 2) / scale**2
        cr = (cr + (narrow - wide) * np.sin(turn) * np.cos(turn)) / scale**2
        determinant = cc * rr - cr**2
        peak = self.flux / (2 * np.pi * np.sqrt(determinant) * scale**2)
        largest = np.sqrt((cc + rr) / 2 + np.sqrt(((cc - rr) / 2) ** 2 + cr**2))
        shape = np.stack([rr, -cr, cc]) / determinant
        place = np.stack([self.row - origin[0], self.column - origin[1]])
        _spread(image, place, peak, shape, REACH * largest)


@jit
def _spread(
    image: NDArray[np.float32],
    place: NDArray[np.float64],
    peak: NDArray[np.float64],
    shape: NDArray[np.float64],
    reach: NDArray[np.float64],
) -> None:
    """Add Gaussians peak exp(-(a dc^2 + 2 b dc dr + c dr^2) / 2) within `reach` of their places."""
    rows, columns = image.shape
    for i in range(len(peak)):
        row, column = place[0, i], place[1, i]
        top, bottom = max(0, int(np.ceil(row - reach[i]))), min(rows - 1, int(row + reach[i]))
        left = max(0, int(np.ceil(column - reach[i])))
        right = min(columns - 1, int(column + reach[i]))
        for r in range(top, bottom + 1):
            down = r - row
            for c in range(left, right + 1):
                across = c - column
                square = shape[0, i] * across * across + shape[2, i] * down * down
                square += 2 * shape[1, i] * across * down
                image[r, c] += np.float32(peak[i] * np.exp(-0.5 * square))
