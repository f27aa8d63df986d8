"""The beam on the pixels of an image: its widths and its direction there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import FWHM, Beam
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane

REACH = 5.0
"""Standard deviations at which it ends."""
LEAST_WIDTH = 1.5
"""Pixels across it without which a source cannot be told from noise."""


@dataclass(frozen=True)
class PixelBeam:
    """The beam on the pixels of an image.

    Attributes:
        major, minor: full widths at half maximum [pixel].
        turn: from the columns' axis (x) towards the rows' (y) to its long axis [deg].
    """

    major: float
    minor: float
    turn: float

    @classmethod
    def of(cls, plane: MeasuredPlane) -> PixelBeam | None:
        """Return the beam of a plane; None where it is not known, or narrower than its pixels."""
        beam = plane.beam
        if beam is None or beam.minor < LEAST_WIDTH:
            return None
        return cls(beam.major, beam.minor, _turn(plane, beam))

    @property
    def reach(self) -> float:
        """Distance from its centre at which it ends [pixel]."""
        return REACH * self.major / FWHM

    @property
    def area(self) -> float:
        """Its area [pixel]."""
        return Beam(self.major, self.minor).area

    def profile(self, dx: NDArray[np.float64], dy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return it, 1 at its centre, at distances [pixel]."""
        along, across = self.along_axes(dx, dy)
        return np.asarray(np.exp(-(FWHM**2) / 2 * (along**2 + across**2)))

    def along_axes(
        self, dx: NDArray[np.float64], dy: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return distances [pixel] along its long and its short axis, in units of its widths."""
        cosine, sine = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        return (dx * cosine + dy * sine) / self.major, (dy * cosine - dx * sine) / self.minor

    def slopes(
        self, dx: NDArray[np.float64], dy: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return it, and how it changes as its centre moves along columns and along rows."""
        cosine, sine = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        along = (dx * cosine + dy * sine) / self.major**2
        across = (dy * cosine - dx * sine) / self.minor**2
        shape = self.profile(dx, dy)
        return (
            shape,
            FWHM**2 * shape * (along * cosine - across * sine),
            FWHM**2 * shape * (along * sine + across * cosine),
        )


def _turn(plane: MeasuredPlane, beam: Beam) -> float:
    """Return the direction of the beam's long axis on the pixels [deg]: from x towards y."""
    wcs = plane.image.wcs
    matrix = wcs.pixel_scale_matrix[[wcs.wcs.lng, wcs.wcs.lat]]  # to the east, and to the north
    angle = math.radians(beam.angle)
    dx, dy = np.linalg.solve(matrix, [math.sin(angle), math.cos(angle)])
    return math.degrees(math.atan2(dy, dx))
