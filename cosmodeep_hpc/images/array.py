"""An image in memory: an array of pixels with a FITS header, judged as a file is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images import distortion
from cosmodeep_hpc.images.file import value
from cosmodeep_hpc.images.pixels import StoredNumbers

EXPECTED = "expected an array of numbers (rows, columns), with further axes before them if any"
AT_ONCE = 2**24  # bytes that the checksum takes at a time


@dataclass(frozen=True, eq=False)
class ImageArray:
    """An image that is no file.

    The array is neither copied nor changed: it must stay as it is while the image is in use.

    Attributes:
        numbers: integers or floating-point numbers of any size and byte order, in the unit of the
            header; axes as FITS has them, the fastest one last.
        header: world coordinates, unit and beam of it.
        missing: bool, as `numbers`: pixels without data; None where all have some.
        name: what messages and products call it.
    """

    numbers: NDArray[Any]
    header: fits.Header
    missing: NDArray[np.bool_] | None = field(default=None, repr=False)
    name: str = "array"

    @classmethod
    def of(
        cls,
        array: Any,
        about: fits.Header | WCS | None,
        unit: str | u.UnitBase | None = None,
        name: str = "array",
    ) -> ImageArray:
        """Take an array, a masked array or a Quantity.

        Args:
            about: its header, or its world coordinates alone; None: of a map that lies on the
                pixels of an image.
            unit: of its numbers, in place of the header's.

        Raises:
            InputError: not an array of numbers, a unit that is said twice, a header of another
                image, or world coordinates that a FITS header cannot hold.
        """
        own = getattr(array, "unit", None)
        if own is not None and unit is not None:
            raise InputError(
                f"{name}: its numbers have the unit {own}, and unit = {unit}; expected one of them"
            )
        if own is not None:
            array, unit = array.value, own
        missing = np.ma.getmaskarray(array) if np.ma.isMaskedArray(array) else None
        numbers = np.asarray(np.ma.getdata(array))
        if numbers.dtype.kind not in "iuf":
            raise InputError(f"{name}: of type {numbers.dtype}; {EXPECTED}")
        if numbers.ndim < 2:
            raise InputError(f"{name}: of shape {numbers.shape}; {EXPECTED}")
        if isinstance(about, WCS):
            header = header_of(about, name)
        else:
            header = fits.Header() if about is None else fits.Header(about, copy=True)
        _check(name, numbers, header)
        header["NAXIS"] = numbers.ndim
        for axis, length in enumerate(reversed(numbers.shape), 1):
            header[f"NAXIS{axis}"] = length
        if unit is not None:
            header["BUNIT"] = str(unit)
        if numbers.dtype.kind in "iu" and isinstance(blank := value(header, "BLANK"), int):
            without = numbers == blank
            missing = without if missing is None else missing | without
        return cls(numbers, header, missing, name)

    @property
    def path(self) -> Path:
        """Its name, where a file has its path."""
        return Path(self.name)

    @property
    def sha256(self) -> str:
        """The checksum of header and numbers."""
        numbers = self.numbers
        digest = hashlib.sha256(f"{numbers.dtype.str} {numbers.shape} {self.header!r}".encode())
        for array in (numbers, self.missing):
            if array is None or array.size == 0:
                continue
            rows = max(1, AT_ONCE * len(array) // array.nbytes)
            for start in range(0, len(array), rows):
                digest.update(np.ascontiguousarray(array[start : start + rows]).data.cast("B"))
        return digest.hexdigest()


def header_of(wcs: WCS, name: str) -> fits.Header:
    """Make a FITS header of world coordinates.

    Raises:
        InputError: they have a distortion other than SIP and TPV, or are none of FITS.
    """
    try:
        is_held = isinstance(wcs, WCS) and not distortion.has_others(wcs)
    except RuntimeError as error:  # wcslib cannot copy TPV of more than two axes
        raise InputError(
            f"{name}: its world coordinates cannot be used ({error}); expected a FITS header, or "
            "those of two axes: WCS(header, naxis=2)"
        ) from error
    if not is_held:
        raise InputError(
            f"{name}: its world coordinates are none that a FITS header holds, or have a "
            "distortion by tables; expected an astropy WCS with SIP, TPV or a plain projection, or "
            "a FITS header"
        )
    own = wcs.deepcopy()
    own.wcs.set()  # settles units in place
    header = distortion.header_of(own)
    exact = {"CRPIX": own.wcs.crpix, "CRVAL": own.wcs.crval, "CDELT": own.wcs.get_cdelt()}
    for card, numbers in exact.items():  # to_header rounds them
        for axis, number in enumerate(numbers, 1):
            if f"{card}{axis}" in header:
                header[f"{card}{axis}"] = float(number)
    for (row, col), number in np.ndenumerate(own.wcs.get_pc()):
        if (card := f"PC{row + 1}_{col + 1}") in header:
            header[card] = float(number)
    return header


def _check(name: str, numbers: NDArray[Any], header: fits.Header) -> None:
    """Refuse the header of another image, and numbers that are not yet in their unit."""
    for axis, length in zip((1, 2), reversed(numbers.shape[-2:]), strict=True):
        said = value(header, f"NAXIS{axis}")
        if said is not None and said != length:
            raise InputError(
                f"{name}: of shape {numbers.shape}, but its header says NAXIS{axis} = {said}; "
                "expected the header of this array: that of a cut-out is made with its WCS"
            )
    scale = value(header, "BSCALE"), value(header, "BZERO")
    if numbers.dtype.kind in "iu" and scale not in ((None, None), (1, None), (1, 0), (None, 0)):
        raise InputError(
            f"{name}: whole numbers, and its header says BSCALE = {scale[0]}, BZERO = {scale[1]}; "
            "expected numbers in their unit, as astropy reads them, or a header without these cards"
        )


@dataclass(frozen=True, eq=False)
class ArrayPixels:
    """The pixels of an image in memory; `Pixels` of pixels.py.

    Attributes:
        celestial: indices of y and x in the array's axes; y is the slower one.
    """

    image: ImageArray
    celestial: tuple[int, int]

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """Read as `Pixels` says, by any number of threads."""
        box: list[int | slice] = list(plane)
        for axis, wanted in zip(self.celestial, (rows, columns), strict=True):
            box.insert(axis, slice(wanted.start, wanted.stop))
        raw = self.image.numbers[tuple(box)]
        out = np.empty(raw.shape, np.float32)
        StoredNumbers(bitpix=-32).convert(raw, factor, out)
        if self.image.missing is not None:
            out[self.image.missing[tuple(box)]] = np.nan
        return out

    def zeros(self, plane: tuple[int, ...], rows: range, columns: range) -> None:
        """Return that zeros are kept."""
