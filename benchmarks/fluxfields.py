"""Images with sources put into them: mock noise, and real images where nothing stands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

import cosmodeep_hpc as cd
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.injection.injected import InjectedSource, injected
from cosmodeep_hpc.injection.sources import Arc, Bridge, Halo, Source
from cosmodeep_hpc.sky.instrument import noise

BEAMS = {6.0: 4.0, 10.0: 3.0, 15.0: 4.0, 25.0: 4.0, 45.0: 4.5}
"""Pixels across each beam [arcsec]."""
VIEW = 9.6
"""Pixels that the network was trained on [arcsec]: finer beams are seen as wide as this."""
COARSE = 20.0
"""Beams from which on images are seen in pixels as wide as the beam [arcsec]."""
SHAPES = ("halo", "arc", "bridge")
SIDE, GRID = 1500, 3
"""Pixels along a side of a field, and sources along it."""
PEAKS = (2.0, 30.0)
"""Maxima of sources through the beam, over the noise."""
POINTS = 600
"""Beams that a compact source has for itself."""
ON_SOURCE = 2
"""Compact sources on each of the others."""
FILLED = 0.15
"""Share of a real image that islands have up to which the rest of it counts as noise."""
IN_IMAGE = 3
"""Sources put into a real image at a time."""
SURE = 5.0
"""Ratio of flux to error from which an island counts."""
FREQUENCY = 1.4e9  # [Hz] PyBDSF asks for one; fluxes do not depend on it


@dataclass(frozen=True)
class Field:
    """An image with sources in it.

    Attributes:
        pixels: all of it [Jy/arcsec^2]. compact: what compact sources add; None: not known.
        rms: noise where each source is [Jy/arcsec^2].
        before: pixels in islands without the sources; None: there are none.
    """

    name: str
    image: Image
    shape: str
    pixels: NDArray[np.float64]
    sources: list[tuple[InjectedSource, float]]
    compact: NDArray[np.float64] | None
    rms: list[float]
    before: NDArray[np.bool_] | None = None


def drawn(shape: str, unit: float, random: np.random.Generator) -> Source:
    """Draw a source of a shape; sizes are in units of `unit` [arcsec]."""
    if shape == "halo":
        return Halo(unit * np.exp(random.uniform(np.log(1.5), np.log(5))), random.uniform(0.6, 1))
    width = unit * np.exp(random.uniform(np.log(1.4), np.log(3.5)))
    return Arc(8 * width, width) if shape == "arc" else Bridge(8 * width, width)


def mock_fields(beams: Sequence[float], count: int, seed: int) -> Iterator[Field]:
    """Yield fields of mock noise: `count` of each shape and beam [arcsec]."""
    for number, (beam, across) in enumerate(BEAMS.items()):
        if beam not in beams:
            continue
        for kind, shape in enumerate(SHAPES):
            for field in range(count):
                random = np.random.default_rng([seed, number, kind, field])
                yield mock_field(f"mock-{beam:g}-{shape}-{field}", shape, beam, across, random)


def mock_field(
    name: str, shape: str, beam: float, across: float, random: np.random.Generator
) -> Field:
    """Return a field of noise of 10 uJy/beam with sources of a shape and compact ones."""
    pixel = beam / across
    image = open_empty(name, beam, pixel)
    seen = image.beam
    assert seen is not None
    rms = 1e-5 / seen.area
    pixels = rms * noise(random, SIDE, pixel, seen).astype(np.float64)
    points = np.zeros((SIDE, SIDE), np.float32)
    count = int(SIDE**2 * pixel**2 / seen.area / POINTS)
    places = random.integers(0, SIDE, (2, count))
    np.add.at(points, tuple(places), np.minimum(3 / (1 - random.random(count)), 300))
    sources, step = [], SIDE / GRID
    for row in range(GRID):
        for col in range(GRID):
            source = drawn(shape, max(beam, VIEW), random)
            x, y = (np.array([col, row]) + 0.5) * step + random.uniform(-20, 20, 2)
            made = injected(source, image, x, y, random.uniform(0, 180))
            flux = np.exp(random.uniform(*np.log(PEAKS))) * rms / float(made.seen.max())
            pixels[inside(made)] += flux * made.seen
            sources.append((made, flux))
            bright = np.argwhere(made.half) + (made.rows.start, made.columns.start)
            for at in random.choice(bright, ON_SOURCE):
                points[tuple(at)] += random.uniform(10, 60)
    compact = seen.convolve(points, pixel).astype(np.float64) * rms * seen.area / pixel**2
    return Field(name, image, shape, pixels + compact, sources, compact, [rms] * len(sources))


def open_empty(name: str, beam: float, pixel: float) -> Image:
    """Return an image without content [arcsec both]."""
    header = fits.Header({"BUNIT": "Jy/beam", "BMAJ": beam / 3600, "BMIN": beam / 3600, "BPA": 0.0})
    for axis, kind, value, step in ((1, "RA---SIN", 150.0, -pixel), (2, "DEC--SIN", -35.0, pixel)):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = kind, value
        header[f"CRPIX{axis}"], header[f"CDELT{axis}"] = (SIDE + 1) / 2, step / 3600
        header[f"CUNIT{axis}"] = "deg"
    return cd.open_image(np.zeros((SIDE, SIDE), np.float32), header, name=name)


def real_fields(folder: Path, wanted: int, seed: int, model: Any) -> Iterator[Field]:
    """Yield real images with sources in them until so many are put in.

    A source lies where the image has data and no island, and where nothing stands out of it when
    its compact sources are cut and it is smoothed by 1.5 beams.
    """
    images = []
    for path in sorted(folder.glob("*.fits")):
        try:
            image = cd.open_image(path)
            view = view_of(image)
            found = cd.classify(path, model=model, any_scale=True, view=view)
        except cd.InputError as error:
            print(f"left out: {error}")
            continue
        if image.beam is None or min(image.shape) < 200:
            print(f"left out: {path.name}: no beam, or smaller than 200 pixels")
            continue
        share = float(np.mean(found.mask == 1))
        if share > FILLED:
            print(f"left out: {path.name}: {100 * share:.0f} % of it is emission")
            continue
        images.append((image, found, free(image, found)))
    put, turn = 0, 0
    while put < wanted:
        for number, (image, found, room) in enumerate(images):
            shape = SHAPES[turn % 3]
            random = np.random.default_rng([seed, number, turn])
            field = real_field(image, found, room, shape, random)
            if field.sources:
                put += len(field.sources)
                yield field
        turn += 1


def view_of(image: Image) -> str:
    """Return what an image is averaged to before the network sees it."""
    return "beam" if image.beam is not None and image.beam.width > COARSE else "scale"


def free(image: Image, found: Any) -> NDArray[np.bool_]:
    """Return where an image has data and nothing that stands out."""
    pixels = image.pixels()
    cells = found._findings.swept.planes[0].tiles.noise
    side = found._findings.swept.tile_cell
    rms = np.repeat(np.repeat(cells, side, 0), side, 1)[: image.shape[0], : image.shape[1]]
    ratio = np.nan_to_num((pixels - np.nanmedian(pixels)) / rms)
    wide = image.beam.width / image.pixel_scale
    compact = ndimage.maximum_filter(ratio, int(wide) | 1) > SURE
    smooth = ndimage.gaussian_filter(np.where(compact, 0, np.clip(ratio, -3, 3)), 1.5 * wide)
    spread = 1.4826 * np.median(np.abs(smooth - np.median(smooth)))
    out = (smooth - np.median(smooth)) > 4 * spread
    out = ndimage.binary_dilation(out, iterations=int(2 * wide)) | (found.mask != 0)
    return np.isfinite(pixels) & ~out


def real_field(
    image: Image,
    found: Any,
    room: NDArray[np.bool_],
    shape: str,
    random: np.random.Generator,
) -> Field:
    """Return a real image with a few sources where there is room."""
    room = room.copy()
    cells = found._findings.swept.planes[0].tiles.noise
    side, pixel = found._findings.swept.tile_cell, image.pixel_scale
    pixels = image.pixels().astype(np.float64)
    unit = max(image.beam.width, pixel * found._findings.swept.rebin)
    sources, noises = [], []
    for _ in range(IN_IMAGE):
        source = drawn(shape, unit, random)
        need = {"halo": 4 / HALO, "arc": 0.55, "bridge": 0.55}[shape] * source.reach / pixel
        away = ndimage.distance_transform_edt(np.pad(room, 1))[1:-1, 1:-1]
        places = np.argwhere(away > need)
        if not len(places):
            continue
        row, col = places[random.integers(len(places))]
        made = injected(source, image, float(col), float(row), random.uniform(0, 180))
        rms = float(cells[row // side, col // side])
        flux = np.exp(random.uniform(*np.log(PEAKS))) * rms / float(made.seen.max())
        pixels[inside(made)] += flux * made.seen
        sources.append((made, flux))
        noises.append(rms)
        y, x = np.ogrid[: room.shape[0], : room.shape[1]]
        room &= np.hypot(y - row, x - col) > 2 * need
    before = found.mask == 1
    return Field(image.path.stem, image, shape, pixels, sources, None, noises, before)


HALO = 8.0
"""e-folding radii that a halo reaches."""


def inside(made: InjectedSource) -> tuple[slice, slice]:
    """Return the part of an image that a source lies in."""
    return (
        slice(made.rows.start, made.rows.stop),
        slice(made.columns.start, made.columns.stop),
    )
