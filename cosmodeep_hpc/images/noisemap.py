"""A map of an image's noise that a user gives: opened, and checked to belong to the image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs.utils import pixel_to_pixel

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images import axes
from cosmodeep_hpc.images.array import ImageArray, header_of
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.decimated import expanded, shape_of, step_of
from cosmodeep_hpc.images.file import value
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.mosaic import Mosaic, open_mosaic
from cosmodeep_hpc.images.quiet import quiet
from cosmodeep_hpc.images.unit import Unit

APART = 0.5
"""Pixels by which a map may lie beside its image."""
ROWS = 256
"""Rows in which a value above 0 is sought at once."""
STAND_IN = "Jy/arcsec2"
"""Unit by which a map in the image's own unit is opened."""


@dataclass(frozen=True)
class NoiseMap:
    """The noise of each plane of a mosaic, on its pixels.

    Attributes:
        planes: the map's plane for each of the mosaic's; one may serve many.
        notes: what was assumed of the map.
    """

    planes: tuple[Image, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, source: Path | ImageArray, mosaic: Mosaic) -> NoiseMap:
        """Open a map of one plane, or of the mosaic's planes.

        A map without sky coordinates lies on the mosaic's pixels, and one without BUNIT is in the
        mosaic's unit; an array is both without a note.

        Raises:
            InputError: it cannot be opened, lies elsewhere, has other pixels or planes, or has no
                value above 0.
        """
        path = source.path if isinstance(source, ImageArray) else source
        given = _Given(path, mosaic)
        maps: dict[Beam | None, Mosaic] = {}
        planes: list[Image] = []
        with _told_of(path):
            for number, image in zip(mosaic.numbers, mosaic.planes, strict=True):
                if image.beam not in maps:
                    maps[image.beam] = open_mosaic(
                        source, beam=image.beam, complete=given.completed
                    )
                    given.refuse_elsewhere(maps[image.beam])
                planes.append(given.plane(maps[image.beam], number, image))
            if not any(map(_has_noise, planes)):
                raise InputError(
                    f"{path}: no value above 0 in it; expected the rms noise at each pixel of "
                    f"{mosaic.path.name}"
                )
        notes = () if isinstance(source, ImageArray) else given.notes()
        return cls(tuple(planes), notes)


class _Given:
    """What a map is given without, and takes from its mosaic."""

    def __init__(self, path: Path, mosaic: Mosaic) -> None:
        self.path, self.mosaic = path, mosaic
        self.unit = mosaic.planes[0].unit
        self.has_place = self.has_unit = self.in_own_unit = True

    def completed(self, header: fits.Header, lengths: tuple[int, ...]) -> fits.Header:
        """Return the map's header with what it lacks; see `open_mosaic`."""
        header = fits.Header(header, copy=True)
        self.has_place = axes.find_celestial(header, len(lengths)) is not None
        if not self.has_place:
            header = self._placed(header, lengths)
        unit = str(value(header, "BUNIT") or "").strip()
        self.has_unit = bool(unit)
        self.in_own_unit = self.has_unit and Unit.of(self.path, unit).spelling != self.unit
        if not self.in_own_unit:
            header["BUNIT"] = STAND_IN
        return header

    def _placed(self, header: fits.Header, lengths: tuple[int, ...]) -> fits.Header:
        """Return the header of a map without sky coordinates with those of the mosaic."""
        mosaic = self.mosaic
        on_sky = (1, 2)
        if len(lengths) == len(mosaic.axes):
            y, x = (len(mosaic.axes) - axis for axis in mosaic.celestial)
            on_sky = (x, y)
        return axes.placed(header, header_of(mosaic.wcs, mosaic.path.name), on_sky)

    def refuse_elsewhere(self, given: Mosaic) -> None:
        """Raise an InputError where the map has other pixels or planes, or another place."""
        mosaic, step = self.mosaic, step_of(given.path, given.header)
        ny, nx = shape_of(given.path, given.header, given.shape)
        if (ny, nx) != mosaic.shape:
            raise InputError(
                f"{self.path}: of {nx} x {ny} pixels; expected those of {mosaic.path.name}, "
                f"{mosaic.shape[1]} x {mosaic.shape[0]}"
            )
        of_map, of_image = (
            tuple(one.axes[axis] for axis in one.others if one.axes[axis] > 1)
            for one in (given, mosaic)
        )
        if of_map not in ((), of_image):
            these = f", or the {mosaic.n_planes} of {mosaic.path.name}" * (mosaic.n_planes > 1)
            raise InputError(f"{self.path}: of {given.n_planes} planes; expected one plane{these}")
        if self.has_place and (apart := _pixels_apart(given, mosaic, step)) > APART:
            where = f"{apart:.3g} pixels beside" if np.isfinite(apart) else "elsewhere than"
            raise InputError(
                f"{self.path}: on the sky it lies {where} {mosaic.path.name}; expected a map of "
                "that image: regrid it, or remove its sky coordinates (CTYPE) if it lies on the "
                "image's pixels"
            )

    def plane(self, given: Mosaic, number: int, image: Image) -> Image:
        """Return the map's plane for one of the mosaic's, which has this number in its file."""
        chosen = expanded(given.planes[number if given.n_planes > 1 else 0])
        if self.in_own_unit:
            return chosen
        return replace(chosen, to_surface_brightness=image.to_surface_brightness)

    def notes(self) -> tuple[str, ...]:
        """Return what was assumed of a file."""
        notes = []
        if not self.has_place:
            notes.append(
                "the map of the noise has no sky coordinates: taken to lie on the image's pixels"
            )
        if not self.has_unit:
            notes.append(f"the map of the noise has no BUNIT: taken in the image's, {self.unit}")
        return tuple(notes)


def _pixels_apart(given: Mosaic, mosaic: Mosaic, step: int) -> float:
    """Return how far pixels of a map lie from those of a mosaic [pixel]; inf: not to be told.

    Args:
        step: pixels of the mosaic from one of the map to the next.
    """
    ny, nx = mosaic.shape
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5)))
    with quiet():
        seen = [
            one.wcs.all_pix2world(x / by, y / by, 0) for one, by in ((given, step), (mosaic, 1))
        ]
        there = np.isfinite(seen).all(axis=(0, 1))  # corners of an all-sky image are not on the sky
        if not there.any():
            return np.inf
        column, row = pixel_to_pixel(given.wcs, mosaic.wcs, x[there] / step, y[there] / step)
    apart = np.hypot(column - x[there], row - y[there])
    return float(np.where(np.isfinite(apart), apart, np.inf).max())


def _has_noise(plane: Image) -> bool:
    """Return whether a map has a value above 0; a usual one has it in its first rows."""
    starts = range(0, plane.shape[0], ROWS)
    return any((plane.rows(start, start + ROWS) > 0).any() for start in starts)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Have errors say what the file is, beside its name."""
    try:
        yield
    except InputError as error:
        text = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}, the map of the noise: {text}") from error
