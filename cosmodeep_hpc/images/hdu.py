"""The HDUs of a FITS file: where each one's data are, found by reading headers alone.

Not astropy's list of HDUs: it reads a file without an END card to its end, and an image of a
packed file as a whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.axes import find_celestial
from cosmodeep_hpc.images.cards import value, whole_number
from cosmodeep_hpc.images.storage import Storage, read
from cosmodeep_hpc.images.unpack import foreign

BLOCK = 2880
CARD = 80
LONGEST_HEADER = 5000 * BLOCK  # 180,000 cards; a file without END is not read further
BITPIX = (8, 16, 32, 64, -32, -64)


@dataclass(frozen=True)
class Hdu:
    """A header and where its data are.

    Attributes:
        number: 0 for the primary one.
        header: as it is in the file, also of a tile-compressed image, which is a table there.
        place: byte of the file where the header begins.
        start: byte where the data begin.
        size: bytes of data.
        axes: lengths of the axes of its image, slowest first; none where it holds no image.
        compressed: whether its image is tile-compressed.
    """

    number: int
    header: fits.Header
    place: int
    start: int
    size: int
    axes: tuple[int, ...]
    compressed: bool

    @property
    def name(self) -> str:
        """Its EXTNAME in capitals; names are compared so."""
        return str(value(self.header, "EXTNAME") or "").strip().upper()


def scan(path: Path, storage: Storage) -> Iterator[Hdu]:
    """The HDUs of a file, one after the other.

    What follows the last one and is no HDU is left alone, as the FITS standard says.

    Raises:
        InputError: not FITS, truncated, or a header that says not how long its data are.
    """
    place = 0
    for number in itertools.count():
        text = _header_text(path, storage, place, first=number == 0)
        if text is None:
            return
        header = fits.Header.fromstring(text)
        start = place + -(-len(text) // BLOCK) * BLOCK
        size = _data_size(path, header)
        if storage.size is not None and start + size > storage.size:
            raise InputError(
                f"{path}: truncated: {storage.size} bytes, expected at least {start + size}; "
                "copy or make it again"
            )
        yield Hdu(number, header, place, start, size, *_image_axes(path, header, number))
        place = start + -(-size // BLOCK) * BLOCK


def _header_text(path: Path, storage: Storage, place: int, first: bool) -> str | None:
    """The cards of a header up to END; None where there is no further HDU."""
    text = bytearray()
    expected = b"SIMPLE  " if first else b"XTENSION"
    while len(text) < LONGEST_HEADER:
        try:
            block = read(storage, place + len(text), BLOCK)
        except Exception as error:  # decompressors raise what their parts raise
            raise InputError(
                f"{path}: not a FITS file, or not a whole one ({error}); expected a FITS image"
            ) from error
        if not text and not block.startswith(expected):
            if first:
                raise InputError(f"{path}: not a FITS file ({_kind(path, block)}); {_EXPECTED}")
            return None
        for at in range(0, len(block) - CARD + 1, CARD):
            if block[at : at + 8].rstrip() == b"END":
                text += block[: at + CARD]
                # some writers leave letters of other alphabets in comments
                return "".join(chr(c) if 32 <= c < 127 else "?" for c in text)
        if len(block) < BLOCK:
            raise InputError(
                f"{path}: not a FITS file, or not a whole one (its header ends early); {_EXPECTED}"
            )
        text += block
    raise InputError(
        f"{path}: not a FITS file (no END in {LONGEST_HEADER // CARD} cards of a header); "
        f"{_EXPECTED}"
    )


_EXPECTED = "expected a FITS image"


def _kind(path: Path, block: bytes) -> str:
    """What a file that is no FITS file looks like."""
    if not block:
        return "it is empty"
    if other := foreign(path):
        return f"it is packed with {other}: unpack it"
    return "no SIMPLE card at its start"


def _data_size(path: Path, header: fits.Header) -> int:
    """Bytes of data after a header (FITS standard 4.0, equation 2)."""
    bitpix = value(header, "BITPIX")
    if bitpix not in BITPIX or isinstance(bitpix, bool):
        expected = ", ".join(map(str, BITPIX))
        raise InputError(f"{path}: BITPIX is {bitpix!r} in its header; expected one of {expected}")
    axes = _axes(path, header, "NAXIS")
    if not axes:
        return 0
    extra, groups = 0, 1
    if value(header, "XTENSION") is not None or value(header, "GROUPS") is True:
        for name in ("PCOUNT", "GCOUNT"):
            if value(header, name) is not None:
                whole_number(path, header, name)
        extra = value(header, "PCOUNT") or 0
        groups = 1 if value(header, "GCOUNT") is None else value(header, "GCOUNT")
        if value(header, "GROUPS") is True and axes[-1] == 0:  # random groups
            axes = axes[:-1]
    return int(abs(bitpix) // 8 * groups * (extra + math.prod(axes)))


def _axes(path: Path, header: fits.Header, name: str) -> tuple[int, ...]:
    """Lengths of the axes, slowest first."""
    count = whole_number(path, header, name, 0, 999)
    return tuple(whole_number(path, header, f"{name}{i}") for i in range(count, 0, -1))


def _image_axes(path: Path, header: fits.Header, number: int) -> tuple[tuple[int, ...], bool]:
    """Lengths of the axes of an HDU's image, slowest first, and whether it is compressed."""
    kind = str(value(header, "XTENSION") or "").strip()
    if number == 0 or kind in ("IMAGE", "IUEIMAGE"):
        axes = _axes(path, header, "NAXIS")
        return ((), False) if value(header, "GROUPS") is True else (axes, False)
    if kind in ("BINTABLE", "A3DTABLE") and value(header, "ZIMAGE") is True:
        return _axes(path, header, "ZNAXIS"), True
    return (), False


def choose(path: Path, hdus: Iterable[Hdu], wanted: int | str | None) -> Hdu:
    """The HDU of a number or name; the first with an image of the sky where None is wanted.

    Raises:
        InputError: there is none.
    """
    if isinstance(wanted, str) and wanted.strip().isdigit():
        wanted = int(wanted)
    passed: list[Hdu] = []
    for hdu in hdus:
        passed.append(hdu)
        if wanted is None:
            if len(hdu.axes) >= 2 and find_celestial(hdu.header, len(hdu.axes)):
                return hdu
        elif hdu.number == wanted or (isinstance(wanted, str) and hdu.name == wanted.upper()):
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
