"""The telescope: its pointing, its pixels, its beam and its noise (paper, section 3.1)."""

from __future__ import annotations

import numpy as np
import scipy.fft
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.config.sky import Instrument
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky.draws import Purpose, draws

DECLINATIONS = (-75.0, -5.0)
"""Field centres lie between these declinations [deg]: the southern sky, the pole left out."""
MICRO = 1e-6


def beam_of(settings: Instrument) -> Beam:
    """Return the round beam of the settings."""
    return Beam(settings.beam, settings.beam)


def field_centre(seed: int, index: int) -> tuple[float, float]:
    """Return RA and Dec [deg] of image `index`, even over the southern sky; a pure function."""
    one, two = draws(seed, Purpose.FIELD_CENTRE, index).random(2)
    low, high = np.sin(np.deg2rad(DECLINATIONS))
    return round(360 * one, 4) % 360, round(
        float(np.rad2deg(np.arcsin(low + two * (high - low)))), 4
    )


def celestial_wcs(pixels: int, scale: float, centre: tuple[float, float]) -> WCS:
    """Return the coordinates of an image: orthographic (SIN), north up, RA growing to the left.

    Args:
        pixels: side of the image [pixel].
        scale: side of a pixel [arcsec].
        centre: RA and Dec [deg, ICRS] of the middle of the image.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [(pixels + 1) / 2] * 2
    wcs.wcs.crval = list(centre)
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.equinox = 2000.0
    return wcs


def noise(
    stream: np.random.Generator, pixels: int, scale: float, beam: Beam, workers: int = 1
) -> NDArray[np.float32]:
    """Return Gaussian noise of rms 1, with the correlation of noise seen through the beam.

    White noise on an infinitely fine grid, convolved with the beam and sampled at the centres of
    the pixels, has the correlation `Beam.noise_correlation`. A field with exactly this correlation
    is made on the pixels themselves: white noise is multiplied by the root of the correlation's
    transform. (The paper makes noise at 3 arcsec and convolves it: the same statistics, at ten
    times the cost.)

    Args:
        stream: random numbers.
        pixels: side of the image [pixel].
        scale: side of a pixel [arcsec].
        beam: the beam.
        workers: threads of the FFT; no influence on the result.

    Returns:
        float32 (pixels, pixels).
    """
    margin = int(np.ceil(4 * beam.major / scale))  # beyond which the correlation is below 1e-9
    side = scipy.fft.next_fast_len(pixels + margin, real=True)
    lag = scale * np.fft.fftfreq(side, 1 / side)
    correlation = beam.noise_correlation(lag, lag[:, None])
    power = np.maximum(scipy.fft.rfft2(correlation, workers=workers).real, 0)
    white = stream.standard_normal((side, side), dtype=np.float32)
    spectrum = scipy.fft.rfft2(white, workers=workers)
    spectrum *= np.sqrt(power).astype(np.float32)
    field = scipy.fft.irfft2(spectrum, s=(side, side), workers=workers)
    return np.ascontiguousarray(field[:pixels, :pixels])


def observe(
    sky: NDArray[np.float32], settings: Instrument, stream: np.random.Generator, workers: int = 1
) -> NDArray[np.float32]:
    """Return the Noise image of a Sky image: seen through the beam, with noise added.

    Args:
        sky: float32 (pixels, pixels) [Jy/arcsec^2].
        settings: beam, pixel and rms of the noise, which holds for the result.
        stream: random numbers of the noise.
        workers: threads of the FFT; no influence on the result.

    Returns:
        float32 (pixels, pixels) [Jy/arcsec^2].
    """
    beam = beam_of(settings)
    seen = beam.convolve(sky, settings.pixel_scale, workers)
    rms = beam.per_arcsec2(settings.noise_rms * MICRO)
    grain = noise(stream, len(sky), settings.pixel_scale, beam, workers)
    return np.asarray(seen + np.float32(rms) * grain)
