"""Coverage of the uv plane by an observation, and the beams that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from cosmodeep_hpc.config.sky import Effects, Instrument
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import FWHM
from cosmodeep_hpc.sky.effects import antennas

LIGHT = 299792458.0
"""Speed of light [m/s]."""
ARCSEC = float(np.pi / 648000)
"""One arcsec [rad]."""

_STEP = 60.0  # between two samples of a baseline [s]
_CHANNELS = 48
# spreads points evenly over the unit square, without gratings
_PLASTIC = 0.7548776662466927, 0.5698402909980532
_WINDOW = 0.9  # half side of the beams made here, in units of the primary beam's FWHM


@dataclass(frozen=True)
class Errors:
    """Times at which an antenna's gain is wrong.

    Attributes:
        gain: complex128 (n,) error to add to the gain, which is 1.
        antenna: int (n,).
        start: float64 (n,) share of the observation before the error begins.
        length: share of the observation that each error lasts.
    """

    gain: NDArray[np.complex128]
    antenna: NDArray[np.intp]
    start: NDArray[np.float64]
    length: float


@dataclass(frozen=True)
class Coverage:
    """The places of the uv plane that an observation has measured.

    Attributes:
        u: float64 (times, baselines) to the west, as columns of an image run [m].
        v: float64 (times, baselines) to the north [m].
        pairs: int (baselines, 2) the antennas.
        frequency: of the middle of the band [GHz].
        bandwidth: of the band [GHz].
        pixel: of the beams made from it [arcsec].
        side: of the beams made from it, even [pixel].
    """

    u: NDArray[np.float64]
    v: NDArray[np.float64]
    pairs: NDArray[np.intp]
    frequency: float
    bandwidth: float
    pixel: float
    side: int

    @property
    def cell(self) -> float:
        """Side of a cell of the uv plane [wavelengths]."""
        return 1 / (self.side * self.pixel * ARCSEC)

    def count(
        self, weight: NDArray[np.float64], mirrored: NDArray[np.float64], times: slice
    ) -> NDArray[np.float32]:
        """Count samples in the cells of the half plane, float32 (side, side / 2 + 1).

        Args:
            weight: of each baseline.
            mirrored: of each baseline seen from its other end, at (-u, -v).
            times: to be counted.
        """
        grid = np.zeros((self.side, self.side // 2 + 1), np.float32)
        u, v = self.u[times], self.v[times]
        used = (weight != 0) | (mirrored != 0)
        first = (np.arange(self.u.size).reshape(self.u.shape)[times][:, used]).ravel() * _CHANNELS
        low = (self.frequency - self.bandwidth / 2) * 1e9 / LIGHT / self.cell
        width = self.bandwidth * 1e9 / LIGHT / self.cell / _CHANNELS
        rows = np.broadcast_to(np.flatnonzero(used), u[:, used].shape).ravel()
        for sign, share in ((1.0, weight), (-1.0, mirrored)):
            _count(
                grid, sign * u[:, used].ravel(), sign * v[:, used].ravel(), share[rows], first,
                low, width,
            )  # fmt: skip
        return grid


def primary_beam(frequency: float) -> float:
    """Return the FWHM of an antenna's beam, 1.09 wavelengths / diameter [arcsec].

    Args:
        frequency: [GHz].
    """
    return float(1.09 * LIGHT / (frequency * 1e9) / antennas.DIAMETER / ARCSEC)


def check(settings: Instrument, effects: Effects) -> None:
    """Check that the telescope can observe at the frequency.

    Raises:
        InputError: the frequency is not one of ASKAP's, or the band reaches down to 0.
    """
    low, high = antennas.BAND
    if not low <= settings.frequency <= high:
        raise InputError(
            f"instrument.frequency = {settings.frequency:g} GHz: effects.dirty_beam and stripes "
            f"are ASKAP's; expected {low:g} to {high:g} GHz"
        )
    if effects.bandwidth >= 2 * settings.frequency:
        raise InputError(
            f"effects.bandwidth = {effects.bandwidth:g} GHz: expected less than twice "
            f"instrument.frequency = {settings.frequency:g} GHz"
        )


def observe(declination: float, settings: Instrument, effects: Effects, pixel: float) -> Coverage:
    """Return the coverage of an observation of a field at a declination [deg].

    Args:
        declination: of the field's centre [deg].
        settings: frequency.
        effects: duration and bandwidth.
        pixel: side of a pixel of the beams made from it [arcsec].

    Raises:
        InputError: the frequency is not one of ASKAP's, the band reaches down to 0, or the field
            never rises.
    """
    check(settings, effects)
    earth, pairs = antennas.baselines()
    hour = antennas.hour_angles(declination, effects.duration, _STEP)
    jitter = (np.arange(hour.size * len(earth)) * _PLASTIC[0]).reshape(hour.size, -1) % 1 - 0.5
    u, v = antennas.track(earth, hour[:, None] + jitter * _STEP * antennas.SIDEREAL, declination)
    reach = _WINDOW * primary_beam(settings.frequency) / pixel
    side = 2 * scipy.fft.next_fast_len(int(np.ceil(reach)), real=True)
    return Coverage(-u, v, pairs, settings.frequency, effects.bandwidth, pixel, side)


def density(coverage: Coverage) -> NDArray[np.float32]:
    """Return the samples in each cell of the half plane; both ends of each baseline count."""
    one = np.ones(len(coverage.pairs))
    return coverage.count(one, one, slice(None))


def weights(
    number: NDArray[np.float32], coverage: Coverage, robust: float, beam: float
) -> NDArray[np.float32]:
    """Return the weights of the cells, with a sum of 1 over the whole plane.

    Samples are weighted by their density (Briggs), then by a Gaussian in the length of the
    baseline. The Gaussian's width makes the dirty beam as sharp at its peak as the restoring beam;
    a dirty beam that is less sharp without it stays as it is.

    Args:
        number: samples in each cell of the half plane.
        coverage: gives the cells.
        robust: from -2, each cell alike, to 2, each sample alike.
        beam: FWHM of the restoring beam [arcsec].

    Source: Briggs (1995), PhD thesis, New Mexico Institute of Mining and Technology, chapter 3.
    """
    twice = np.full(number.shape[1], 2.0)  # but for u = 0, the other half plane is the mirror image
    twice[0] = 1.0
    mean = float((number**2 @ twice).sum() / (number @ twice).sum())
    weight = number / (1 + number * ((5 * 10**-robust) ** 2 / mean))
    v = scipy.fft.fftfreq(coverage.side, 1 / coverage.side) * coverage.cell
    u = np.arange(number.shape[1]) * coverage.cell
    ring = np.rint(np.hypot(u, v[:, None]) / coverage.cell).astype(np.intp)
    light = np.bincount(ring.ravel(), (weight * twice).ravel())
    square = (np.arange(len(light)) * coverage.cell) ** 2

    def sharpness(width: float) -> float:
        tapered = light * np.exp(-2 * np.pi**2 * width**2 * square)
        return float((tapered * square).sum() / tapered.sum())

    sigma = beam / FWHM * ARCSEC
    low, high = 0.0, 2 * sigma
    for _ in range(40):
        middle = (low + high) / 2
        if sharpness(middle) > 1 / (2 * np.pi**2 * sigma**2):
            low = middle
        else:
            high = middle
    taper = [np.exp(-2 * np.pi**2 * high**2 * axis**2) for axis in (v, u)]
    weight = weight * taper[0][:, None] * taper[1]
    return np.asarray(weight / (weight @ twice).sum(), np.float32)


def dirty_beam(weight: NDArray[np.float32], coverage: Coverage) -> NDArray[np.float32]:
    """Return the dirty beam, 1 at its centre, seen through the primary beam; (side, side).

    Its centre is its first pixel, and negative offsets come from its end, as for an FFT. Each
    primary beam of a mosaic is imaged by itself: sidelobes end with it.

    Args:
        weight: weights of the cells.
        coverage: gives pixel and side.
    """
    return _windowed(weight, coverage)


def error_beam(
    number: NDArray[np.float32],
    weight: NDArray[np.float32],
    coverage: Coverage,
    errors: Errors,
) -> NDArray[np.float32]:
    """Return what gain errors add to the image of a source of 1 Jy/beam, laid out as `dirty_beam`.

    A wrong gain 1 + g of an antenna adds g times the visibilities of its baselines, for a while:
    stripes through the source, across the arcs that those baselines sweep.
    """
    real, imaginary = np.zeros((2, *number.shape), np.float32)
    times = len(coverage.u)
    for gain, antenna, start in zip(errors.gain, errors.antenna, errors.start, strict=True):
        here = (coverage.pairs == antenna) @ np.array([1.0, -1.0])  # -1: its gain is conjugated
        begin = int(start * times)
        while_wrong = slice(begin, begin + max(1, round(errors.length * times)))
        real += coverage.count(gain.real * abs(here), gain.real * abs(here), while_wrong)
        imaginary += coverage.count(gain.imag * here, -gain.imag * here, while_wrong)
    share = weight / np.maximum(number, 1)
    return _windowed(share * (real + 1j * imaginary), coverage)


def draw_errors(stream: np.random.Generator, effects: Effects, declination: float) -> Errors:
    """Draw which antenna is wrong, when, and by how much."""
    even, normal = stream.random((2, effects.stripes)), stream.standard_normal((2, effects.stripes))
    hour = antennas.hour_angles(declination, effects.duration, _STEP)
    seconds = (len(hour) * (hour[1] - hour[0]) if len(hour) > 1 else _STEP) / antennas.SIDEREAL
    length = min(1.0, effects.error_length * 60 / seconds)
    return Errors(
        gain=effects.gain_error * (normal[0] + 1j * normal[1]) / np.sqrt(2),
        antenna=(even[0] * len(antennas.positions())).astype(np.intp),
        start=even[1] * (1 - length),
        length=length,
    )


def _windowed(plane: NDArray[np.generic], coverage: Coverage) -> NDArray[np.float32]:
    """Return the image of a half plane, seen through the primary beam."""
    side = coverage.side
    beam = scipy.fft.irfft2(plane, s=(side, side)) * side**2
    away = scipy.fft.fftfreq(side, 1 / side) * coverage.pixel / primary_beam(coverage.frequency)
    window = np.exp(-4 * np.log(2) * away**2)
    return np.asarray(beam * window * window[:, None], np.float32)


@jit
def _count(
    grid: NDArray[np.float32],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    weight: NDArray[np.float64],
    first: NDArray[np.intp],
    low: float,
    width: float,
) -> None:
    """Add the channels of samples to their cells; each lies anywhere in its part of the band.

    `low` and `width` are the lowest frequency and the channel's width [cells per metre].
    """
    side, half = grid.shape
    for i in range(len(u)):
        for channel in range(_CHANNELS):
            within = (first[i] + channel) * _PLASTIC[1] % 1.0
            per_metre = low + (channel + within) * width
            column, row = int(np.rint(u[i] * per_metre)), int(np.rint(v[i] * per_metre))
            if 0 <= column < half - 1 and abs(row) < half - 1:
                grid[row % side, column] += np.float32(weight[i])
