"""What the products of an image are called."""

from __future__ import annotations

from pathlib import Path

PACKED = (".gz", ".bz2", ".xz", ".z", ".fz")
FITS = (".fits", ".fit", ".fts")


def stem(path: Path) -> str:
    """Return what an image's products are named after: its name without the endings of FITS."""
    name = path.name
    while name.lower().endswith(PACKED):
        shorter = name[: name.rindex(".")]
        if not shorter:
            break
        name = shorter
    whole = Path(name)
    return whole.stem if whole.suffix.lower() in FITS else name


def record_of(path: Path, out: Path) -> Path:
    """Return the record of an image's products, which is written last."""
    return out / f"{stem(path)}.json"
