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


def whole_number(
    path: Path, header: fits.Header, name: str, least: int = 0, most: int | None = None
) -> int:
    """The value of a card that has to be a whole number.

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
