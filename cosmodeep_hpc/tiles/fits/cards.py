"""Values of header cards, which may be anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from astropy.io import fits

from cosmodeep_hpc.errors import InputError


def value(header: fits.Header, name: str) -> Any:
    """The value of a card; None where it is not there, empty, or cannot be understood."""
    try:
        found = header.get(name)
    except Exception:  # the card's text is no FITS value; astropy raises several errors
        return None
    return None if isinstance(found, fits.card.Undefined) else found


def whole_number(path: Path, header: fits.Header, name: str, least: int = 0) -> int:
    """The value of a card that has to be a whole number.

    Raises:
        InputError: it is none, or below `least`.
    """
    found = value(header, name)
    if not isinstance(found, int) or isinstance(found, bool) or found < least:
        text = "missing or unreadable" if found is None else repr(found)
        raise InputError(
            f"{path}: {name} is {text} in its header; expected a whole number from {least} on: "
            "copy or make it again"
        )
    return found
