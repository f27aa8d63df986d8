"""What a model finds through beams of 6 to 60 arcsec, by both rules of `classify.view`.

    python -m benchmarks.beams [--model robust] [--pixels 3 4 5]

Halos (Gaussians) in noise that the beam correlates: eight for each beam, size and brightness, of a
fixed size in beams, and of a fixed size on the sky. One is found if the mask has 30 % of the pixels
within its half maximum. Beside it: pixels and tiles that are signal in fields without halos, of
noise alone and with compact sources. Seeded; some 6 minutes of a core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

import cosmodeep_hpc as cd
from cosmodeep_hpc.images.beam import FWHM, Beam

BEAMS = (6.0, 10.0, 15.0, 25.0, 45.0, 60.0)
PEAKS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Brightness of the middle of a halo, in units of the noise."""
SIDE = 640
"""Pixels along a side of a field."""
HALOS = 4
"""Halos along each of the two columns of a field: eight in all."""
IN_BEAMS = 8.0
"""Full width at half maximum of a halo of a fixed size in beams."""
ON_SKY = 180.0
"""Full width at half maximum of a halo of a fixed size on the sky [arcsec]."""
PART = 0.3
POINTS = 400
"""Beams that a compact source has for itself, on average."""


def header(beam: float, pixel: float) -> fits.Header:
    """Return the header of a field [arcsec]."""
    head = fits.Header()
    for axis, kind, value, step in ((1, "RA---SIN", 150.0, -pixel), (2, "DEC--SIN", -35.0, pixel)):
        head[f"CTYPE{axis}"], head[f"CRVAL{axis}"], head[f"CRPIX{axis}"] = kind, value, SIDE / 2
        head[f"CDELT{axis}"], head[f"CUNIT{axis}"] = step / 3600, "deg"
    head["RADESYS"], head["BUNIT"] = "ICRS", "Jy/beam"
    head["BMAJ"] = head["BMIN"] = beam / 3600
    head["BPA"] = 0.0
    return head


def through(beam: float, sky: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a field seen through a beam [pixel], which has a sum of 1."""
    away = np.fft.fftfreq(SIDE)
    response = np.exp(-2 * (np.pi * np.hypot(away, away[:, None]) * beam / FWHM) ** 2)
    return np.asarray(np.fft.ifft2(np.fft.fft2(sky) * response).real)


def noise(beam: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of standard deviation 1 that a beam [pixel] correlates."""
    seen = through(beam, random.normal(size=(SIDE, SIDE)))
    return seen / seen.std()


def points(beam: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return compact sources of 3 to 300 times the noise, N(>S) as 1/S."""
    count = int(SIDE**2 / (POINTS * Beam(beam, beam).area))
    sky = np.zeros((SIDE, SIDE))
    bright = np.minimum(3 / (1 - random.random(count)), 300.0)
    np.add.at(sky, tuple(random.integers(0, SIDE, (2, count))), bright)
    return through(beam, sky) * 2 * np.pi * (beam / FWHM) ** 2


def places(random: np.random.Generator) -> NDArray[np.float64]:
    """Return the centres of the halos of a field [pixel], (n, 2): row and column."""
    step = SIDE / HALOS
    rows = (np.arange(HALOS) + 0.5) * step
    grid = np.array([(y, x) for y in rows for x in (0.28 * SIDE, 0.72 * SIDE)])
    return grid + random.uniform(-20, 20, grid.shape)


def halos_found(mask: NDArray[np.uint8], places: NDArray[np.float64], width: float) -> int:
    """Count the halos of which the mask has a share of `PART` within their half maximum.

    Args:
        places: their centres. width: full width at half maximum [pixel].
    """
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = (np.hypot(y - row, x - col) < width / 2 for row, col in places)
    return sum(bool(np.mean(mask[disc] == 1) >= PART) for disc in inside)


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="robust")
    parser.add_argument("--pixels", type=float, nargs="+", default=[3.0, 4.0, 5.0])
    args = parser.parse_args(words)
    model = cd.load_model(args.model)
    print("beam [arcsec], pixels a beam: found of 8 at " + ", ".join(map(str, PEAKS)) + " sigma")
    for view in ("scale", "beam"):
        print(f"classify.view = {view}")
        for beam in BEAMS:
            for per_beam in args.pixels:
                print(line(model, view, beam, per_beam), flush=True)


def line(model: cd.TrainedModel, view: str, beam: float, per_beam: float) -> str:
    """Return what a model finds through a beam [arcsec] of so many pixels."""
    head = header(beam, beam / per_beam)

    def swept(image: NDArray[np.float64]) -> cd.Classification:
        options = {"view": view, "any_scale": True}
        return cd.classify((1e-5 * image).astype(np.float32), head, model=model, **options)

    shown = [f"{beam:3.0f} {per_beam:g}:"]
    for width in (IN_BEAMS * per_beam, ON_SKY / beam * per_beam):
        counts = []
        for peak in PEAKS:
            random = np.random.default_rng([int(beam), int(per_beam), int(10 * peak)])
            where = places(random)
            y, x = np.mgrid[:SIDE, :SIDE]
            spread = 2 * (width / FWHM) ** 2
            image = noise(per_beam, random)
            for row, col in where:
                image += peak * np.exp(-((y - row) ** 2 + (x - col) ** 2) / spread)
            counts.append(halos_found(swept(image).mask, where, width))
        shown.append(" / ".join(map(str, counts)))
    random = np.random.default_rng([int(beam), int(per_beam)])
    grain = noise(per_beam, random)
    for image in (grain, grain + points(per_beam, random)):
        found = swept(image)
        tiles = np.mean(found.tiles == 1)
        shown.append(f"{np.mean(found.mask == 1):.4f} of the pixels, {tiles:.3f} of the tiles")
    return "  ".join(shown)


if __name__ == "__main__":
    main()
