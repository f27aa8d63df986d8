"""Lists of images to sweep."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cosmodeep_hpc.errors import InputError, naming


def read_list(path: Path) -> list[Path]:
    """Return the images that a text file names, one a line.

    Lines that are empty or begin with # do not count.

    Raises:
        InputError: the file cannot be read, or is no text.
    """
    with naming(path):
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    if "\0" in text:  # in no path either
        raise InputError(f"{path}: not a text file; expected paths of images, one a line")
    lines = [line.strip() for line in text.splitlines()]
    return [Path(line) for line in lines if line and line[0] != "#"]


def distinct(paths: Iterable[Path]) -> list[Path]:
    """Return each file once, however its path is spelled; links of other names are other files."""
    spelled: dict[str, Path] = {}
    for path in paths:
        spelled.setdefault(os.path.abspath(path), path)
    return list(spelled.values())
