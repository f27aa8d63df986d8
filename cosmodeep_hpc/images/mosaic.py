"""Open files and arrays: the planes of the sky in them, and which of them are wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.images import axes
from cosmodeep_hpc.images.array import ArrayPixels, ImageArray
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.beams import Beams
from cosmodeep_hpc.images.compressed import CompressedPixels, image_header
from cosmodeep_hpc.images.distortion import pixel_scale
from cosmodeep_hpc.images.file import Hdu, scan, value
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.packed import PackedPixels
from cosmodeep_hpc.images.pixels import Pixels, PlainPixels, StoredNumbers
from cosmodeep_hpc.images.quiet import quiet
from cosmodeep_hpc.images.unit import Unit
from cosmodeep_hpc.images.unpack import is_packed

MOST_PLANES = 100_000

Complete = Callable[[fits.Header, tuple[int, ...]], fits.Header]
"""Adds to a header, given the lengths of its axes, what it lacks."""


@dataclass(frozen=True)
class Mosaic:
    """An open file, or image in memory, with one plane of the sky or many.

    Attributes:
        path: the file, by the name it was asked for; the name of an image in memory.
        header: of the image; of a tile-compressed one as it was before.
        hdu: number of its HDU.
        axes: lengths of the file's axes, slowest first.
        celestial: indices of y and x in `axes`; y is the slower one.
        wcs: world coordinates of those two, in the file's order of axes.
        planes: those asked for, in the order of the file.
        numbers: the numbers of those planes, from 0.
    """

    path: Path
    header: fits.Header
    hdu: int
    axes: tuple[int, ...]
    celestial: tuple[int, int]
    wcs: WCS
    _assumed: tuple[str, ...]
    _beams: Beams
    _pixels: Pixels
    planes: tuple[Image, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def others(self) -> tuple[int, ...]:
        """Indices in `axes` of those that are not on the sky, slowest first.

        `Image.plane` counts along them.
        """
        return tuple(axis for axis in range(len(self.axes)) if axis not in self.celestial)

    @property
    def n_planes(self) -> int:
        """Planes in the file, asked for or not."""
        return math.prod(self.axes[axis] for axis in self.others)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of every plane."""
        return self.axes[self.celestial[0]], self.axes[self.celestial[1]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of any of its planes, each said once."""
        return tuple(dict.fromkeys(note for plane in self.planes for note in plane.notes))

    def with_planes(self, numbers: Iterable[int]) -> Mosaic:
        """Return the same with planes of these numbers.

        A plane whose beam is 0 or NaN in a table of beams, as that of a flagged channel, has no
        data where its unit needs a beam, unless all of them are so.

        Raises:
            InputError: no such plane; no usable unit or beam.
        """
        numbers = tuple(numbers)
        lengths = [self.axes[axis] for axis in self.others]
        unit = Unit.of(self.path, str(value(self.header, "BUNIT") or ""))
        area = pixel_scale(self.wcs) ** 2
        planes: list[Image] = []
        refused: InputError | None = None
        for number in numbers:
            if not 0 <= number < self.n_planes:
                raise InputError(f"{self.path}: no plane {number}; it has {self.n_planes} (from 0)")
            plane = tuple(int(i) for i in np.unravel_index(number, lengths)) if lengths else ()
            fits_axes = {
                len(self.axes) - axis: index for axis, index in zip(self.others, plane, strict=True)
            }
            seen = self._beams.of_plane(number, fits_axes)
            notes = [*self._assumed, *seen.notes]
            frequency, failure = None, ""
            if unit.is_temperature:
                known = axes.frequency(self.header, fits_axes, len(self.axes))
                if known is not None:
                    frequency, origin = known
                    at = f"{frequency / 1e9:.6g} GHz ({origin})" if self.n_planes == 1 else origin
                    notes.append(f"{unit.text} converted by Rayleigh-Jeans at {at}")
            try:
                factor = unit.factor(seen.beam, area, frequency, seen.why)
            except InputError as error:
                if not seen.is_flagged:
                    raise
                refused, factor = error, np.nan
                failure = f"no beam ({seen.why}), which {unit.text} needs"
            planes.append(
                Image(
                    path=self.path,
                    header=self.header,
                    shape=self.shape,
                    wcs=self.wcs,
                    beam=seen.beam,
                    to_surface_brightness=factor,
                    plane=plane,
                    unit=unit.spelling,
                    notes=tuple(dict.fromkeys(notes)),
                    _pixels=self._pixels,
                    failure=failure,
                )
            )
        if refused is not None and all(np.isnan(image.to_surface_brightness) for image in planes):
            raise refused
        return replace(self, planes=tuple(planes), numbers=numbers)


def open_image(
    image: Path | ImageArray,
    *,
    hdu: int | str | None = None,
    plane: int | None = None,
    beam: Beam | None = None,
    unpacked: Path | None = None,
) -> Image:
    """Open the first image of the sky in a FITS file, or one in memory; a cube needs a `plane`.

    Args:
        hdu: number or name of another HDU.
        plane: in the order of the file, from 0.
        beam: in place of the file's.
        unpacked: where the content of a packed file was unpacked to.

    Raises:
        InputError: not FITS, truncated, no image, no celestial coordinates, no or unknown BUNIT,
            or a unit that needs a beam and none is known.
    """
    with quiet():
        found = _opened(image, hdu, beam, unpacked)
        if found.n_planes != 1 and plane is None:
            sides = " x ".join(map(str, reversed(found.axes)))
            raise InputError(
                f"{found.path}: axes of {sides} pixels; expected one plane: "
                "axes beyond the two on the sky of length 1"
            )
        return found.with_planes([plane or 0]).planes[0]


def open_mosaic(
    image: Path | ImageArray,
    *,
    hdu: int | str | None = None,
    planes: Sequence[int] | None = None,
    beam: Beam | None = None,
    unpacked: Path | None = None,
    complete: Complete | None = None,
) -> Mosaic:
    """Open a FITS file, or an image in memory, with all its planes or some.

    Args:
        hdu: number or name of an HDU; the first with an image of the sky where None.
        planes: numbers of the planes wanted, from 0 in the order of the file; all where None.
        beam: in place of the file's.
        unpacked: where the content of a packed file was unpacked to; messages name the file.
        complete: adds to its header what it lacks.

    Raises:
        InputError: not FITS, truncated, no image, no celestial coordinates, no or unknown BUNIT,
            a unit that needs a beam and none is known, or no such plane.
    """
    with quiet():
        found = _opened(image, hdu, beam, unpacked, complete)
        if planes is None and found.n_planes > MOST_PLANES:
            raise InputError(
                f"{found.path}: {found.n_planes} planes; expected at most {MOST_PLANES} at once: "
                "choose some with --plane (in Python planes=)"
            )
        return found.with_planes(range(found.n_planes) if planes is None else sorted(set(planes)))


def _opened(
    image: Path | ImageArray,
    hdu: int | str | None,
    beam: Beam | None,
    unpacked: Path | None,
    complete: Complete | None = None,
) -> Mosaic:
    """Open a file and choose its HDU, or take an image in memory, without a plane as yet."""
    try:
        if isinstance(image, ImageArray):
            return _in_memory(image, beam, complete)
        return _in_file(image, unpacked or image, hdu, beam, complete)
    except InputError:
        raise
    except Exception as error:  # a header damaged in a way that nobody thought of
        path = image.path if isinstance(image, ImageArray) else image
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: its header cannot be understood ({type(error).__name__}: {reason}); "
            "expected a FITS image: copy or make it again"
        ) from error


def _in_memory(image: ImageArray, beam: Beam | None, complete: Complete | None) -> Mosaic:
    lengths = image.numbers.shape
    _refuse_empty(image.path, lengths)
    header = complete(image.header, lengths) if complete else image.header
    wcs, celestial, notes = axes.celestial_wcs(image.path, header, lengths)
    beams = Beams(image.path, image.path, header, (), beam)
    pixels = ArrayPixels(image, celestial)
    return Mosaic(image.path, header, 0, lengths, celestial, wcs, notes, beams, pixels)


def _in_file(
    path: Path,
    place: Path,
    wanted: int | str | None,
    beam: Beam | None,
    complete: Complete | None,
) -> Mosaic:
    """Open the file at `place`, which messages call `path`."""
    with naming(path):
        packed = is_packed(place)
    hdus: Iterable[Hdu] = scan(path, place)
    if not packed:  # the headers of a packed file are read as far as they are needed
        hdus = list(hdus)
    chosen = _chosen(path, hdus, wanted)
    _refuse_empty(path, chosen.axes)
    header = image_header(place, path, chosen) if chosen.compressed else chosen.header
    if complete:
        header = complete(header, chosen.axes)
    wcs, celestial, notes = axes.celestial_wcs(path, header, chosen.axes)
    stored = StoredNumbers.of(path, header)
    pixels_of: Callable[[Path], Pixels]
    if chosen.compressed:
        pixels_of = partial(CompressedPixels, hdu=chosen, celestial=celestial, stored=stored)
    else:
        pixels_of = partial(
            PlainPixels, start=chosen.start, axes=chosen.axes, celestial=celestial, stored=stored
        )
    pixels = PackedPixels(place, pixels_of) if packed else pixels_of(place)
    beams = Beams(path, place, header, hdus, beam)
    return Mosaic(path, header, chosen.number, chosen.axes, celestial, wcs, notes, beams, pixels)


def _chosen(path: Path, hdus: Iterable[Hdu], wanted: int | str | None) -> Hdu:
    """Find the HDU of a number or name; the first with an image of the sky where None is wanted.

    Raises:
        InputError: there is none.
    """
    if isinstance(wanted, str) and wanted.strip().isdigit():
        wanted = int(wanted)
    passed: list[Hdu] = []
    for hdu in hdus:
        passed.append(hdu)
        if wanted is None:
            if len(hdu.axes) >= 2 and axes.find_celestial(hdu.header, len(hdu.axes)):
                return hdu
        elif hdu.number == wanted or (isinstance(wanted, str) and hdu.is_called(wanted)):
            if len(hdu.axes) < 2:
                raise InputError(
                    f"{path}: HDU {wanted} holds no image; expected one of at least two axes"
                )
            return hdu
    if wanted is not None:
        names = ", ".join(f"{h.number} {h.name}".strip() for h in passed)
        raise InputError(f"{path}: no HDU {wanted} in it; expected one of: {names}")
    images = [hdu for hdu in passed if len(hdu.axes) >= 2]
    if not images:
        raise InputError(f"{path}: no image in it; expected a FITS image of at least two axes")
    return images[0]  # refused later, by what it has instead of sky coordinates


def _refuse_empty(path: Path, lengths: tuple[int, ...]) -> None:
    if 0 in lengths:
        sides = " x ".join(map(str, reversed(lengths)))
        raise InputError(f"{path}: axes of {sides} pixels; expected one plane or more")
