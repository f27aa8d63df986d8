"""FITS files: the headers of their HDUs, and where the data of each are.

Headers are read one by one: astropy's list of HDUs would read a file without an END card to its
end, an image of a packed file as a whole, and make as many axes as a damaged header says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.images.unpack import foreign, is_packed, open_packed

BLOCK, CARD = 2880, 80  # bytes
MOST_CARDS = 180_000  # of a header; a file without END is not read further
DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_EXPECTED = "expected a FITS image"
_MICRO = {b"\xc2\xb5": b" u", b"\xce\xbc": b" u", b"\xb5": b"u"}  # of the same length
# some writers leave letters of other alphabets in comments
_PRINTABLE = bytes(c if 32 <= c < 127 else ord("?") for c in range(256))


def value(header: fits.Header, name: str) -> Any:
    """Return the value of a card; None where it is not there, empty, or cannot be understood."""
    try:
        found = header.get(name)
    except Exception:  # the card's text is no FITS value; astropy raises several errors
        return None
    return None if isinstance(found, fits.card.Undefined) else found


def whole_number(
    path: Path, header: fits.Header, name: str, least: int = 0, most: int | None = None
) -> int:
    """Return the value of a card that has to be a whole number.

    Raises:
        InputError: it is none, below `least` or above `most`.
    """
    found = value(header, name)
    is_whole = isinstance(found, int) and not isinstance(found, bool)
    if not is_whole or found < least or (most is not None and found > most):
        text = "missing or unreadable" if found is None else repr(found)
        raise InputError(
            f"{path}: {name} is {text} in its header; expected a whole number from {least} "
            f"{'on' if most is None else f'to {most}'}: copy or make it again"
        )
    return int(found)


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

    def is_called(self, name: str) -> bool:
        """Tell whether this is its name; the first one is PRIMARY where it has none."""
        return name.strip().upper() == (self.name or ("" if self.number else "PRIMARY"))


def content_of(place: Path) -> Any:
    """Open the content of a file, packed or not, as a stream.

    Raises:
        OSError: it cannot be read.
        InputError: it takes a package that is not there.
    """
    return open_packed(place) if is_packed(place) else place.open("rb")


def scan(path: Path, place: Path) -> Iterator[Hdu]:
    """Yield the HDUs of a file, one after the other, without reading their data.

    What follows the last one and is no HDU is left alone, as the FITS standard says.

    Args:
        path: what messages call it.
        place: the file, packed or not.

    Raises:
        InputError: not FITS, truncated, or a header that says not how long its data are.
    """
    with naming(path):
        stream = content_of(place)
        length = math.inf if is_packed(place) else place.stat().st_size
    with stream:
        end = 0  # of the HDU before
        for number in itertools.count():
            text = _header_text(path, stream, end, is_first=number == 0)
            if text is None:
                return
            header = fits.Header.fromstring(text)
            start = end + -(-len(text) // BLOCK) * BLOCK
            size = _data_size(path, header)
            if start + size > length:
                raise InputError(
                    f"{path}: truncated: {length} bytes, expected at least {start + size}; "
                    "copy or make it again"
                )
            yield Hdu(number, header, end, start, size, *_image_axes(path, header, number))
            end = start + -(-size // BLOCK) * BLOCK


def _header_text(path: Path, stream: Any, start: int, is_first: bool) -> str | None:
    """Read the cards of a header up to END; None where there is no further HDU."""
    cards: list[bytes] = []
    while len(cards) < MOST_CARDS:
        try:
            stream.seek(start + len(cards) * CARD)
            block = stream.read(BLOCK)
        except Exception as error:  # decompressors raise what their parts raise
            raise InputError(
                f"{path}: not a FITS file, or not a whole one ({error}); {_EXPECTED}"
            ) from error
        if not cards and not block.startswith(b"SIMPLE  " if is_first else b"XTENSION"):
            if is_first:
                raise InputError(f"{path}: not a FITS file ({_kind(path, block)}); {_EXPECTED}")
            return None
        for at in range(0, len(block) - CARD + 1, CARD):
            cards.append(block[at : at + CARD])
            if cards[-1][:8].rstrip() == b"END":
                text = b"".join(cards)
                for letter, plain in _MICRO.items():
                    text = text.replace(letter, plain)
                return text.translate(_PRINTABLE).decode("ascii")
        if len(block) < BLOCK:
            raise InputError(
                f"{path}: not a FITS file, or not a whole one (its header ends early); {_EXPECTED}"
            )
    raise InputError(
        f"{path}: not a FITS file (no END in {MOST_CARDS} cards of a header); {_EXPECTED}"
    )


def _kind(path: Path, block: bytes) -> str:
    """Say what a file that is no FITS file looks like."""
    if not block:
        return "it is empty"
    if other := foreign(path):
        return f"it is packed with {other}: unpack it"
    return "no SIMPLE card at its start"


def _data_size(path: Path, header: fits.Header) -> int:
    """Return the bytes of data after a header (FITS standard 4.0, equation 2)."""
    bitpix = value(header, "BITPIX")
    if bitpix not in DTYPES or isinstance(bitpix, bool):
        expected = ", ".join(map(str, DTYPES))
        raise InputError(f"{path}: BITPIX is {bitpix!r} in its header; expected one of {expected}")
    axes = _axes(path, header, "NAXIS")
    if not axes:
        return 0
    counts = {"PCOUNT": 0, "GCOUNT": 1}
    of_groups = value(header, "GROUPS") is True
    if of_groups or value(header, "XTENSION") is not None:
        for name in counts:
            if value(header, name) is not None:
                counts[name] = whole_number(path, header, name)
        if of_groups and axes[-1] == 0:
            axes = axes[:-1]
    return int(abs(bitpix) // 8 * counts["GCOUNT"] * (counts["PCOUNT"] + math.prod(axes)))


def _axes(path: Path, header: fits.Header, name: str) -> tuple[int, ...]:
    """Return the lengths of the axes, slowest first."""
    count = whole_number(path, header, name, 0, 999)
    return tuple(whole_number(path, header, f"{name}{i}") for i in range(count, 0, -1))


def _image_axes(path: Path, header: fits.Header, number: int) -> tuple[tuple[int, ...], bool]:
    """Return the axes of an HDU's image, slowest first, and whether it is compressed."""
    kind = str(value(header, "XTENSION") or "").strip()
    if number == 0 or kind in ("IMAGE", "IUEIMAGE"):
        return () if value(header, "GROUPS") is True else _axes(path, header, "NAXIS"), False
    if kind in ("BINTABLE", "A3DTABLE") and value(header, "ZIMAGE") is True:
        return _axes(path, header, "ZNAXIS"), True
    return (), False
