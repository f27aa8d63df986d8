"""FITS files made for tests: headers, cubes, packed and compressed ones, tables of beams.

Pixels are a closed form, `ramp`, so that each reading can be checked exactly.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from support.fields import header

SHAPE = (46, 57)  # odd sizes: neither a multiple of a tile
BEAM = {"BMAJ": 36 / 3600, "BMIN": 24 / 3600, "BPA": 30.0}
LENGTHS = {"FREQ": 3, "STOKES": 2}


def ramp(plane: int = 0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """The pixels of a plane: 1000 y + x + 10^6 plane, exact in float32 up to plane 15."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 1000.0 * y + x + 1e6 * plane


def cards_of(order: str = "RA DEC", projection: str = "SIN", **cards: Any) -> fits.Header:
    """A header of axes in this order, the fastest first; cards of value None are left out."""
    names = order.split()
    head = header(SHAPE)
    for card in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT"):
        for axis in (1, 2):
            del head[f"{card}{axis}"]
    sides = iter((SHAPE[1], SHAPE[0]))
    for axis, name in enumerate(names, 1):
        kind, start, step, unit = {
            "RA": (f"RA---{projection}", 150.0, -9.6 / 3600, "deg"),
            "DEC": (f"DEC--{projection}", -35.0, 9.6 / 3600, "deg"),
            "GLON": (f"GLON-{projection}", 10.0, -9.6 / 3600, "deg"),
            "GLAT": (f"GLAT-{projection}", 40.0, 9.6 / 3600, "deg"),
            "FREQ": ("FREQ", 1.4e9, 1e8, "Hz"),
            "STOKES": ("STOKES", 1.0, 1.0, ""),
        }[name]
        on_sky = name in ("RA", "DEC", "GLON", "GLAT")
        head[f"CTYPE{axis}"], head[f"CRVAL{axis}"] = kind, start
        head[f"CDELT{axis}"], head[f"CUNIT{axis}"] = step, unit
        head[f"CRPIX{axis}"] = (next(sides) + 1) / 2 if on_sky else 1.0
    for name, value in cards.items():
        if value is None:
            head.remove(name, ignore_missing=True)
        else:
            head[name] = value
    return head


def cube_of(order: str, lengths: dict[str, int] | None = None) -> np.ndarray:
    """Pixels of axes in this order, the fastest first, every plane a ramp of its number."""
    names = order.split()[::-1]
    sides = iter(SHAPE)
    shape = [LENGTHS[n] if n in LENGTHS else next(sides) for n in names]
    others = [k for k, n in enumerate(names) if n in LENGTHS]
    for k in others:
        shape[k] = (lengths or LENGTHS).get(names[k], 1)
    pixels = np.empty(shape)
    for plane, index in enumerate(np.ndindex(*[shape[k] for k in others])):
        box: list[Any] = [slice(None)] * len(shape)
        for k, i in zip(others, index, strict=True):
            box[k] = i
        pixels[tuple(box)] = ramp(plane)
    return pixels


def write(
    path: Path, pixels: np.ndarray | None = None, order: str = "RA DEC", **cards: Any
) -> Path:
    """Write float32 pixels, a ramp where none are given, with a header changed by `cards`."""
    pixels = cube_of(order).astype(np.float32) if pixels is None else pixels
    projection = cards.pop("projection", "SIN")
    fits.PrimaryHDU(pixels, cards_of(order, projection, **cards)).writeto(path, overwrite=True)
    return path


def write_raw(path: Path, numbers: np.ndarray, **cards: Any) -> Path:
    """Write numbers as they are stored, under a header of BSCALE, BZERO or BLANK in `cards`."""
    hdu = fits.PrimaryHDU(numbers, cards_of())
    hdu.writeto(path, overwrite=True)
    content = path.read_bytes()
    head = fits.getheader(path)
    for name, value in cards.items():
        head[name] = value
    text = head.tostring().encode()
    path.write_bytes(text + content[2880 * (len(hdu.header.tostring()) // 2880) :])
    return path


def change(path: Path, name: str, value: Any, hdu: int = 0) -> Path:
    """Write another value into a card, also where it makes the file a bad one."""
    content = path.read_bytes()
    place = 0
    for _ in range(hdu):
        place = content.index(b"XTENSION", place + 1)
    at = content.index(f"{name:8}=".encode(), place)
    card = fits.Card(name, value).image if not isinstance(value, bytes) else value.decode()
    path.write_bytes(content[:at] + f"{card:80}".encode()[:80] + content[at + 80 :])
    return path


def write_small(path: Path, kind: type, **cards: Any) -> Path:
    return write_raw(path, small(0).astype(kind), **cards)


def small(plane: int) -> np.ndarray:
    """Pixels that fit into 8 bits: (3 y + x) mod 251."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return ((3 * y + x) % 251).astype(np.float64)


def framed(value: float) -> Callable[[int], np.ndarray]:
    def pixels(plane: int) -> np.ndarray:
        framed = ramp(plane)
        framed[:9] = framed[-9:] = framed[:, :9] = framed[:, -9:] = value
        return framed

    return pixels


def lzw(content: bytes, bits: int = 16) -> bytes:
    """What `compress` makes of bytes (.Z)."""
    out, table, width, queue = bytearray(), {}, 9, []
    nothing = {bytes([b]): b for b in range(256)}

    def flush() -> None:
        number = sum(code << (k * width) for k, code in enumerate(queue))
        size = width if len(queue) == 8 else -(-len(queue) * width // 8)
        out.extend(number.to_bytes(size, "little"))
        queue.clear()

    table, string, free = dict(nothing), b"", 257
    for at in range(len(content)):
        longer = string + content[at : at + 1]
        if longer in table:
            string = longer
            continue
        queue.append(table[string])
        if free > (1 << width) - 1 and width < bits:  # the rest of this group is padding
            queue.extend([0] * (8 - len(queue)))
            flush()
            width += 1
        elif len(queue) == 8:
            flush()
        if free < 1 << bits:
            table[longer] = free
            free += 1
        string = content[at : at + 1]
    if string:
        queue.append(table[string])
    if queue:
        flush()
    return b"\x1f\x9d" + bytes([0x80 | bits]) + bytes(out)


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "Z": lzw}


def pack(path: Path, how: str, make: Callable[[Path], Any] = write) -> Path:
    """Make a file and pack it under its own name."""
    plain = path.with_name(f"{path.name}.plain")  # astropy would pack what is called .gz
    make(plain)
    path.write_bytes(PACKERS[how](plain.read_bytes()))
    plain.unlink()
    return path


def compress(path: Path, pixels: np.ndarray, order: str = "RA DEC", **options: Any) -> Path:
    """Write a tile-compressed image in the first extension (.fz)."""
    cards = options.pop("cards", {})
    hdu = fits.CompImageHDU(pixels, cards_of(order, **cards), **options)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


def extensions(path: Path, *hdus: Any) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


def a_table(name: str = "LOG") -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1, 2, 3])], name=name)


def an_image(plane: int = 0, name: str = "SCI") -> fits.ImageHDU:
    return fits.ImageHDU(ramp(plane).astype("f4"), cards_of(), name=name)


def a_chart(name: str = "CHART") -> fits.ImageHDU:
    return fits.ImageHDU(np.zeros((5, 6), "f4"), name=name)


def followed_by(path: Path, junk: bytes) -> None:
    path.write_bytes(write(path).read_bytes() + junk)


def with_history(path: Path, *lines: str) -> Path:
    head = cards_of(BUNIT="Jy/beam", BMAJ=None, BMIN=None, BPA=None)
    for line in lines:
        head.add_history(line)
    fits.PrimaryHDU(ramp().astype("f4"), head).writeto(path, overwrite=True)
    return path


def with_table(
    path: Path, order: str = "RA DEC FREQ", unit: str = "arcsec", **columns: Any
) -> Path:
    """A cube with a table of beams as CASA writes it: plane k has a beam of 24 + k arcsec."""
    pixels = cube_of(order)
    count = int(np.prod([LENGTHS[n] for n in order.split() if n in LENGTHS]))
    size = (24.0 + np.arange(count)) / (3600 if unit == "deg" else 1)
    channels = LENGTHS["FREQ"] if "FREQ" in order else 1
    found = {"BMAJ": size, "BMIN": size, "BPA": np.zeros(count)} | {
        "CHAN": np.arange(count) % channels,
        "POL": np.arange(count) // channels,
    }
    units = {"BMAJ": unit, "BMIN": unit, "BPA": "deg"}
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(name, "J" if name in ("CHAN", "POL") else "E", units.get(name), array=v)
            for name, v in (found | columns).items()
        ],
        name="BEAMS",
    )
    head = cards_of(order, BUNIT="Jy/beam", BMAJ=None, BMIN=None, BPA=None, CASAMBM=True)
    fits.HDUList([fits.PrimaryHDU(pixels.astype("f4"), head), table]).writeto(path, overwrite=True)
    return path
