"""FITS files laid out by hand: astropy checks each card anew as often as it is touched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, BinaryIO

from astropy.io import fits
from numpy.typing import NDArray

BLOCK = 2880  # bytes that a FITS file is made of
BITPIX = {"u1": 8, "i4": 32, "f4": -32}

Card = tuple[str, str | int] | tuple[str, str | int, str]
"""Keyword, value, and a comment where there is one."""


def image_header(axes: tuple[int, ...], kind: str = "u1", extension: str = "") -> list[Card]:
    """The cards that an image begins with.

    Args:
        axes: their lengths, slowest first.
        kind: of the numbers, as numpy calls it.
        extension: name of the extension; the primary image where empty.

    Source: FITS standard 4.0, sections 4.4.1 and 7.1.
    """
    primary: list[Card] = [("EXTEND", True)]
    further: list[Card] = [("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", extension)]
    return [
        ("XTENSION", "IMAGE") if extension else ("SIMPLE", True),
        ("BITPIX", BITPIX[kind]),
        ("NAXIS", len(axes)),
        *((f"NAXIS{number}", length) for number, length in enumerate(reversed(axes), 1)),
        *(further if extension else primary),
    ]


@lru_cache(maxsize=1024, typed=True)
def _text(keyword: str, value: str | int, comment: str = "") -> str:
    """A card; most are the same in all products of a kind."""
    return str(fits.Card(keyword, value, comment))


def write_header(file: BinaryIO, *parts: fits.Header | Sequence[Card]) -> None:
    """Write the cards of `parts`, one after the other, as one header."""
    cards = "".join(
        part.tostring(endcard=False, padding=False)
        if isinstance(part, fits.Header)
        else "".join(_text(*card) for card in part)
        for part in parts
    )
    text = cards + "END".ljust(80)
    file.write(text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii"))


def write_data(file: BinaryIO, array: NDArray[Any]) -> None:
    """Write numbers, and fill up the last block."""
    content = array.astype(array.dtype.newbyteorder(">")).tobytes()
    file.write(content)
    pad(file, len(content))


def pad(file: BinaryIO, written: int) -> None:
    """Fill up the last block of data of which so many bytes are written."""
    file.write(b"\0" * (-written % BLOCK))
