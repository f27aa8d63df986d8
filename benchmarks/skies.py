"""Noise as images have it, with its truth: what local noise and background are judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

FWHM = 8 * np.log(2)
Field = NDArray[np.float64]
Maker = Callable[[tuple[int, int], float, np.random.Generator], Field]


@dataclass(frozen=True)
class NoisyField:
    """A kind of field.

    Attributes:
        beam: full width at half maximum [pixel]; 0: the noise is white.
        shape: (ny, nx) [pixel].
        sigma: makes the true noise of each pixel.
        sky: makes what is added to the noise.
        spoil: what is done to the sum.
    """

    beam: float = 1.04
    shape: tuple[int, int] = (600, 600)
    sigma: Callable[[tuple[int, int]], Field] = np.ones
    sky: Maker | None = None
    spoil: Callable[[Field], Field] = field(default=lambda image: image)

    def made(self, seed: int) -> tuple[NDArray[np.float32], Field]:
        """Return an image and its true noise."""
        random = np.random.default_rng(seed)
        truth = self.sigma(self.shape)
        image = noise(self.shape, self.beam, random) * truth
        if self.sky is not None:
            image = image + self.sky(self.shape, self.beam, random)
        with np.errstate(over="ignore"):
            return self.spoil(image).astype(np.float32), truth


def noise(shape: tuple[int, int], beam: float, random: np.random.Generator) -> Field:
    """Return white noise of standard deviation 1 through a beam [pixel]."""
    rows, cols = (np.fft.fftfreq(side) for side in shape)
    away = np.hypot(rows[:, None], cols)
    response = np.exp(-2 * (np.pi * away * beam) ** 2 / FWHM)
    seen = np.fft.ifft2(np.fft.fft2(random.normal(size=shape)) * response).real
    return np.asarray(seen / seen.std())


def radius(shape: tuple[int, int], row: float = 0.5, col: float = 0.5) -> Field:
    """Return the distance of pixels from a place, in parts of the sides."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return np.asarray(np.hypot(y - row * shape[0], x - col * shape[1]))


def halo(peak: float, scale: float) -> Maker:
    """Return a maker of an exponential halo of an e-folding radius [pixel] near the middle."""
    return lambda shape, beam, random: peak * np.exp(-radius(shape, 0.48, 0.48) / scale)


def points(area: float) -> Maker:
    """Return a maker of compact sources above 3, one on `area` pixels; N(>S) as 1/S."""

    def make(shape: tuple[int, int], beam: float, random: np.random.Generator) -> Field:
        count = int(shape[0] * shape[1] / area)
        sky = np.zeros(shape)
        bright = np.minimum(3 / (1 - random.random(count)), 1000.0)
        np.add.at(sky, tuple(random.integers(0, side, count) for side in shape), bright)
        return np.asarray(gaussian_filter(sky, beam / FWHM**0.5) * 2 * np.pi * beam**2 / FWHM)

    return make


def lobes(peak: float) -> Maker:
    """Return a maker of two lobes of 190 pixels with filaments, as those of Fornax A."""

    def make(shape: tuple[int, int], beam: float, random: np.random.Generator) -> Field:
        filaments = gaussian_filter(random.normal(size=shape), 6)
        filaments /= filaments.std()
        sides = [1 / (1 + (radius(shape, 0.5, col) / 95) ** 8) for col in (0.27, 0.73)]
        lit = peak * sum(sides) * (1 + 0.35 * filaments).clip(0.1)
        return np.asarray(gaussian_filter(lit, beam / FWHM**0.5))

    return make


def primary(shape: tuple[int, int]) -> Field:
    """Return the noise of a pointing divided by its primary beam, 0.1 at 382 pixels."""
    return np.asarray(np.exp(radius(shape) ** 2 / (2 * 178.0**2)))


def pointings(shape: tuple[int, int]) -> Field:
    """Return the noise of a mosaic of pointings 250 pixels apart."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    centres = [np.arange(-100, side + 200, 250) for side in shape]
    weight = sum(
        np.exp(-((y - row) ** 2 + (x - col) ** 2) / 110.0**2)
        for row in centres[0]
        for col in centres[1]
    )
    return np.asarray(1 / np.sqrt(weight))


def step(shape: tuple[int, int]) -> Field:
    """Return noise that rises six times in the middle."""
    return np.asarray(np.where(np.arange(shape[1]) < 0.53 * shape[1], 1.0, 6.0) * np.ones(shape))


def diagonal(shape: tuple[int, int]) -> Field:
    """Return noise that rises six times along a diagonal."""
    both = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))
    return np.asarray(np.where(both < 0.9 * shape[0], 1.0, 6.0))


def deep(shape: tuple[int, int]) -> Field:
    """Return noise that is six times lower in a square of 220 pixels."""
    inside = [abs(np.arange(side) - 0.5 * side) < 110 for side in shape]
    return np.asarray(np.where(np.logical_and.outer(*inside), 1 / 6, 1.0))


def rising(shape: tuple[int, int]) -> Field:
    """Return noise that rises tenfold from the left to the right."""
    return np.asarray(np.geomspace(1, 10, shape[1]) * np.ones(shape))


def bands(shape: tuple[int, int]) -> Field:
    """Return noise that is three times as high in every other band of 100 rows."""
    return np.asarray((1.0 + np.arange(shape[0]) // 100 % 2 * 2)[:, None] * np.ones(shape))


def stripes(shape: tuple[int, int], beam: float, random: np.random.Generator) -> Field:
    """Return stripes of an amplitude of 2, 60 pixels apart."""
    along = np.add.outer(0.8 * np.arange(shape[0]), 0.6 * np.arange(shape[1]))
    return np.asarray(2 * np.sin(2 * np.pi * along / 60))


def cut_at(distance: float) -> Callable[[Field], Field]:
    """Return what leaves NaN beyond a distance from the middle [pixel]."""
    return lambda image: np.where(radius(image.shape) > distance, np.nan, image)


def spotted(image: Field) -> Field:
    """Put absurd values and infinities into an image."""
    image[100, 100], image[300, 301], image[500, 20], image[7, 7] = 1e30, -1e25, np.inf, -np.inf
    return image


FIELDS = {
    "flat": NoisyField(),
    "flat, beam 3": NoisyField(beam=3.0),
    "flat, beam 5": NoisyField(beam=5.0),
    "white, no beam": NoisyField(beam=0.0, sky=halo(5, 31)),
    "primary beam 0.1": NoisyField(
        shape=(800, 800),
        sigma=primary,
        sky=lambda shape, beam, random: 15 * np.exp(-((radius(shape, 0.48, 0.48) / 7) ** 2) / 2),
        spoil=cut_at(382),
    ),
    "primary beam 0.3": NoisyField(sigma=primary, spoil=cut_at(276)),
    "primary beam 0.1, beam 4": NoisyField(
        beam=4.0, shape=(800, 800), sigma=primary, spoil=cut_at(382)
    ),
    "step": NoisyField(sigma=step),
    "step, beam 3": NoisyField(beam=3.0, sigma=step),
    "diagonal step": NoisyField(sigma=diagonal),
    "deep square": NoisyField(sigma=deep),
    "pointings": NoisyField(sigma=pointings),
    "rising tenfold": NoisyField(shape=(600, 1000), sigma=rising),
    "bands": NoisyField(sigma=bands),
    "stripes": NoisyField(sky=stripes),
    "lobes of 100": NoisyField(beam=2.0, shape=(512, 512), sky=lobes(100)),
    "lobes of 10": NoisyField(beam=2.0, shape=(512, 512), sky=lobes(10)),
    "halo of 5": NoisyField(shape=(384, 384), sky=halo(5, 31)),
    "halo of 30": NoisyField(shape=(384, 384), sky=halo(30, 31)),
    "sources": NoisyField(sky=points(600)),
    "crowded": NoisyField(beam=1.5, sky=points(60)),
    "most crowded": NoisyField(beam=1.5, sky=points(25)),
    "crowded, beam 4": NoisyField(beam=4.0, sky=points(300)),
    "constant of 3": NoisyField(sky=lambda shape, beam, random: np.full(shape, 3.0)),
    "slope of 10": NoisyField(
        sky=lambda shape, beam, random: np.linspace(0, 10, shape[1]) * np.ones(shape)
    ),
    "bowl": NoisyField(
        sky=lambda shape, beam, random: (
            60 * np.exp(-((radius(shape, 0.4, 0.4) / 12) ** 2) / 2)
            - 6 * np.exp(-((radius(shape, 0.4, 0.4) / 70) ** 2) / 2)
        )
    ),
    "circle of data": NoisyField(spoil=cut_at(250)),
    "absurd pixels": NoisyField(spoil=spotted),
    "20 x 20": NoisyField(shape=(20, 20)),
    "19 x 19, beam 2": NoisyField(beam=2.0, shape=(19, 19)),
    "64 x 300": NoisyField(beam=1.5, shape=(64, 300)),
    "12 x 400": NoisyField(beam=1.5, shape=(12, 400)),
}
