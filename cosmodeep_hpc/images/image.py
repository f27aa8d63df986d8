"""One plane of an image, read by rows and in Jy/arcsec^2, with its place on the sky."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.images import axes, compressed
from cosmodeep_hpc.images.array import ArrayPixels, ImageArray
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.beams import Beams
from cosmodeep_hpc.images.cards import value
from cosmodeep_hpc.images.hdu import Hdu, choose, scan
from cosmodeep_hpc.images.pixels import Pixels, StoredNumbers, StoredPixels
from cosmodeep_hpc.images.quiet import quiet
from cosmodeep_hpc.images.storage import PackedFile, Storage, storage_of
from cosmodeep_hpc.images.unit import Unit


@dataclass(frozen=True)
class Image:
    """An open image: one plane of a file.

    Attributes:
        path: the file, by the name it was asked for.
        header: header of the HDU with the image.
        shape: (ny, nx) of the plane; y is the slower of its two axes in the file.
        wcs: world coordinates of the plane's two axes, in the file's order of axes.
        beam: restoring beam, or None where none is known.
        to_surface_brightness: factor from the file's unit to Jy/arcsec^2.
        plane: its index on the file's other axes, slowest first, from 0; () where it has two axes.
        unit: the file's unit as understood.
        notes: what was assumed of it.
    """

    path: Path
    header: fits.Header = field(repr=False)
    shape: tuple[int, int]
    wcs: WCS
    beam: Beam | None
    to_surface_brightness: float
    plane: tuple[int, ...]
    unit: str
    notes: tuple[str, ...]
    _pixels: Pixels = field(repr=False)

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel [arcsec], the geometric mean of its two sides."""
        return axes.pixel_scale(self.wcs)

    def rows(self, start: int, stop: int, columns: slice = slice(None)) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the plane in Jy/arcsec^2; infinite pixels become NaN.

        Memory is that of what is asked, however large the plane. Threads may call it at once.

        Args:
            columns: those wanted, without a step.

        Raises:
            InputError: the file ends early or cannot be read.
        """
        rows = range(*slice(start, stop).indices(self.shape[0]))
        wanted = range(*columns.indices(self.shape[1]))
        if wanted.step != 1:
            raise ValueError(f"columns {columns}: expected no step")
        try:
            return self._pixels.read(self.plane, rows, wanted, self.to_surface_brightness)
        except Exception as error:  # astropy and the decompressors raise what their parts raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{self.path}: rows {start} to {stop - 1} cannot be read ({reason}); "
                "expected a whole file: copy or make it again"
            ) from error

    def pixels(self) -> NDArray[np.float32]:
        """The whole plane, float32 (ny, nx), in Jy/arcsec^2."""
        return self.rows(0, self.shape[0])


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
        hdu: number or EXTNAME of another HDU.
        plane: in the order of the file, from 0.
        beam: in place of the file's.
        unpacked: where the content of a packed file was unpacked to.

    Raises:
        InputError: not FITS, truncated, no image, no celestial coordinates, no or unknown BUNIT,
            or a unit that needs a beam and none is known.
    """
    with quiet():
        found = OpenFile.of(image, hdu, unpacked)
        if found.n_planes != 1 and plane is None:
            sides = " x ".join(map(str, reversed(found.hdu.axes)))
            raise InputError(
                f"{found.path}: axes of {sides} pixels; expected one plane: "
                "axes beyond the two on the sky of length 1"
            )
        return found.images(beam, [plane or 0])[0]


@dataclass(frozen=True)
class OpenFile:
    """A file with the HDU that was chosen in it, or an image in memory.

    Attributes:
        storage: where other HDUs are read from; None in memory, where there are none.
        header: of the image.
        celestial: indices of y and x in the HDU's axes.
    """

    path: Path
    storage: Storage | None
    hdu: Hdu
    header: fits.Header
    wcs: WCS
    celestial: tuple[int, int]
    notes: tuple[str, ...]
    _hdus: Sequence[Hdu] | Iterator[Hdu]
    _pixels: Pixels

    @classmethod
    def of(
        cls, image: Path | ImageArray, wanted: int | str | None, unpacked: Path | None
    ) -> OpenFile:
        """Open a file and choose its HDU, or take an image in memory.

        Raises:
            InputError: as of `open_image`.
        """
        try:
            if isinstance(image, ImageArray):
                return cls._in_memory(image)
            return cls._in_file(image, wanted, unpacked)
        except InputError:
            raise
        except Exception as error:  # a header damaged in a way that nobody thought of
            path = image.path if isinstance(image, ImageArray) else image
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path}: its header cannot be understood ({type(error).__name__}: {reason}); "
                "expected a FITS image: copy or make it again"
            ) from error

    @classmethod
    def _in_memory(cls, image: ImageArray) -> OpenFile:
        lengths = image.numbers.shape
        _refuse_empty(image.path, lengths)
        hdu = Hdu(0, image.header, 0, 0, 0, lengths, compressed=False)
        wcs, celestial, notes = axes.celestial_wcs(image.path, image.header, lengths)
        pixels = ArrayPixels(image, celestial)
        return cls(image.path, None, hdu, image.header, wcs, celestial, notes, (), pixels)

    @classmethod
    def _in_file(cls, path: Path, wanted: int | str | None, unpacked: Path | None) -> OpenFile:
        with naming(path):
            storage = storage_of(unpacked or path)
        hdus: Sequence[Hdu] | Iterator[Hdu] = scan(path, storage)
        if storage.size is not None:
            hdus = list(hdus)
        return cls._with(path, unpacked or path, storage, hdus, choose(path, hdus, wanted))

    @classmethod
    def _with(
        cls,
        path: Path,
        place: Path,
        storage: Storage,
        hdus: Sequence[Hdu] | Iterator[Hdu],
        chosen: Hdu,
    ) -> OpenFile:
        _refuse_empty(path, chosen.axes)
        header = chosen.header
        if chosen.compressed:
            header = compressed.image_header(place, path, chosen)
        wcs, celestial, notes = axes.celestial_wcs(path, header, chosen.axes)
        scaling = StoredNumbers.of(path, header)
        pixels: Pixels
        if chosen.compressed:
            pixels = compressed.CompressedPixels(
                place, chosen.number, chosen.axes, celestial, scaling
            )
        else:
            if isinstance(storage, PackedFile):
                storage.data_end = chosen.start + chosen.size
            pixels = StoredPixels(storage, chosen.start, chosen.axes, celestial, scaling)
        return cls(path, storage, chosen, header, wcs, celestial, notes, hdus, pixels)

    @property
    def others(self) -> tuple[int, ...]:
        """Indices of the axes that are not on the sky, slowest first."""
        return tuple(i for i in range(len(self.hdu.axes)) if i not in self.celestial)

    @property
    def n_planes(self) -> int:
        """Planes in the file."""
        return int(np.prod([self.hdu.axes[i] for i in self.others], dtype=object))

    def images(self, beam: Beam | None, wanted: Sequence[int]) -> list[Image]:
        """The planes of these numbers.

        A plane whose beam is 0 or NaN in a table of beams, as that of a flagged channel, has no
        data where its unit needs a beam, unless all of them are so.

        Raises:
            InputError: no such plane; no usable unit or beam.
        """
        beams = Beams(self.path, self.storage, self.header, self._hdus, beam)
        lengths = [self.hdu.axes[i] for i in self.others]
        intensity = Unit.of(self.path, str(value(self.header, "BUNIT") or ""))
        area = axes.pixel_scale(self.wcs) ** 2
        found: list[Image] = []
        refused: InputError | None = None
        for number in wanted:
            if not 0 <= number < self.n_planes:
                raise InputError(f"{self.path}: no plane {number}; it has {self.n_planes} (from 0)")
            plane = tuple(int(i) for i in np.unravel_index(number, lengths)) if lengths else ()
            fits_axes = {
                len(self.hdu.axes) - axis: index
                for axis, index in zip(self.others, plane, strict=True)
            }
            seen = beams.of_plane(number, fits_axes)
            notes = [*self.notes, *seen.notes]
            frequency = None
            if intensity.is_temperature:
                known = axes.frequency(self.header, fits_axes, len(self.hdu.axes))
                if known is not None:
                    frequency, origin = known
                    at = f"{frequency / 1e9:.6g} GHz ({origin})" if self.n_planes == 1 else origin
                    notes.append(f"{intensity.text} converted by Rayleigh-Jeans at {at}")
            try:
                factor = intensity.factor(seen.beam, area, frequency, seen.why)
            except InputError as error:
                if not seen.is_flagged:
                    raise
                refused, factor = error, np.nan
                notes.append(f"plane {number}: no data: no beam ({seen.why})")
            found.append(
                Image(
                    self.path,
                    self.header,
                    (self.hdu.axes[self.celestial[0]], self.hdu.axes[self.celestial[1]]),
                    self.wcs,
                    seen.beam,
                    factor,
                    plane,
                    intensity.spelling,
                    tuple(dict.fromkeys(notes)),
                    self._pixels,
                )
            )
        if refused is not None and all(np.isnan(image.to_surface_brightness) for image in found):
            raise refused
        return found


def _refuse_empty(path: Path, lengths: tuple[int, ...]) -> None:
    if 0 in lengths:
        sides = " x ".join(map(str, reversed(lengths)))
        raise InputError(f"{path}: axes of {sides} pixels; expected one plane or more")
