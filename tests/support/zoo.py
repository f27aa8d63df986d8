"""A zoo of FITS files: every kind that observatories write, and every kind of damage.

`GOOD` and `BAD` hold one case a file: `GOOD["cube"].make(folder)` writes it and returns its path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from support.mosaics import (
    BEAM,
    LENGTHS,
    PACKERS,
    SHAPE,
    a_chart,
    a_table,
    an_image,
    cards_of,
    change,
    compress,
    cube_of,
    extensions,
    followed_by,
    framed,
    pack,
    ramp,
    small,
    with_history,
    with_table,
    write,
    write_raw,
    write_small,
)


@dataclass(frozen=True)
class Case:
    """A file of the zoo.

    Attributes:
        write: makes the file of a path.
        planes: how many it has.
        expected: pixels of a plane in the file's own unit; NaN: no data.
        exact: how far from them it may be, where it is compressed with loss.
        hdu: to be asked for.
        says: what the message says of a bad one, or a note of a good one.
        suffix: of the file's name.
    """

    write: Callable[[Path], Any]
    planes: int = 1
    expected: Callable[[int], np.ndarray] = ramp
    exact: float = 0.0
    hdu: int | str | None = None
    says: str = ""
    suffix: str = ".fits"
    name: str = ""

    def make(self, folder: Path) -> Path:
        """Write the file into a folder."""
        path = folder / f"{self.name}{self.suffix}"
        self.write(path)
        return path


GOOD: dict[str, Case] = {}
BAD: dict[str, Case] = {}

SIP = {
    **{"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"},
    **{"A_ORDER": 2, "A_2_0": 1e-4, "B_ORDER": 2, "B_0_2": 1e-4},
}


def good(name: str, write: Callable[[Path], Any], **attributes: Any) -> None:
    GOOD[name] = Case(write, name=name, **attributes)


def bad(name: str, says: str, write: Callable[[Path], Any], **attributes: Any) -> None:
    BAD[name] = Case(write, says=says, name=name, **attributes)


# Every kind of number.
for _kind in (np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64):
    good(
        f"bitpix-{np.dtype(_kind).name}",
        lambda path, kind=_kind: write_small(path, kind),
        expected=small,
    )
for _bits in (16, 32, 64):
    good(
        f"unsigned-{_bits}",
        lambda path, bits=_bits: fits.PrimaryHDU(
            ramp().astype(f"u{bits // 8}"), cards_of()
        ).writeto(path, overwrite=True),
    )
good(
    "scaled-and-blank",
    lambda path: write_raw(path, small(0).astype(np.int16), BSCALE=0.5, BZERO=-3.0, BLANK=250),
    expected=lambda plane: np.where(small(0) == 250, np.nan, 0.5 * small(0) - 3.0),
)
good(
    "scaled-float",
    lambda path: write_raw(path, small(0).astype(np.float32), BSCALE=2.0, BZERO=1.0, BLANK=9),
    expected=lambda plane: 2 * small(0) + 1,
)
good("blank-means-nothing-in-floats", lambda path: write_raw(path, ramp().astype("f8"), BLANK=5))

# Axes in any order.
for _order in (
    "RA DEC STOKES FREQ",
    "RA DEC FREQ",
    "STOKES RA DEC",
    "RA STOKES DEC",
    "FREQ RA STOKES DEC",
    "FREQ STOKES RA DEC",
    "DEC RA",
    "DEC FREQ RA",
):
    _name = "axes-" + _order.replace(" ", "-").lower()
    good(
        _name,
        lambda path, order=_order: write(path, order=order),
        planes=int(np.prod([LENGTHS[n] for n in _order.split() if n in LENGTHS])),
    )
    if "STOKES" in _order or "FREQ" in _order:
        good(
            f"{_name}-of-one",
            lambda path, order=_order: write(
                path, cube_of(order, {"X": 1}).astype(np.float32), order
            ),
        )


good("sip", lambda p: write(p, **SIP))
good("nan-border", lambda p: write(p, framed(np.nan)(0)), expected=framed(np.nan))
good("zero-border", lambda p: write(p, framed(0)(0)), expected=framed(0))
good("infinite-border", lambda p: write(p, framed(np.inf)(0)), expected=framed(np.nan))
good("minus-infinite-border", lambda p: write(p, framed(-np.inf)(0)), expected=framed(np.nan))


# Packed as a whole, and compressed by tiles.
for _how in PACKERS:
    good(f"packed-{_how}", lambda p, how=_how: pack(p, how), suffix=f".fits.{_how}")
good("packed-under-a-plain-name", lambda p: pack(p, "gz"))
good(
    "packed-cube",
    lambda p: pack(p, "gz", lambda q: write(q, order="RA DEC FREQ")),
    planes=3,
    suffix=".fits.gz",
)


good(
    "packed-with-a-table-of-beams",
    lambda p: pack(p, "gz", with_table),
    planes=3,
    suffix=".fits.gz",
    says="beam from a table of beams",
)
good(
    "packed-and-compressed",
    lambda p: pack(p, "gz", lambda q: compress(q, ramp().astype("i4"))),
    suffix=".fits.fz.gz",
)
good(
    "compressed-unsigned",
    lambda p: compress(p, ramp().astype("u2")),
    suffix=".fits.fz",
)
for _how in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"):
    good(
        f"compressed-{_how.lower()}",
        lambda p, how=_how: compress(p, ramp().astype(np.int32), compression_type=how),
        suffix=".fits.fz",
    )
good(
    "compressed-float-without-loss",
    lambda p: compress(p, ramp().astype("f4"), compression_type="GZIP_2", quantize_level=0.0),
    suffix=".fits.fz",
)
good(
    "compressed-with-loss",
    lambda p: compress(p, framed(np.nan)(0).astype("f4"), quantize_level=-1.0),
    expected=framed(np.nan),
    exact=0.51,
    suffix=".fits.fz",
)
good(
    "compressed-tiles-of-35",  # tall ones are kept
    lambda p: compress(
        p, cube_of("RA DEC FREQ").astype("i4"), "RA DEC FREQ", tile_shape=(2, 35, 20)
    ),
    planes=3,
    suffix=".fits.fz",
)
good(
    "compressed-tiles-of-20",
    lambda p: compress(p, ramp().astype("i4"), tile_shape=(20, 20)),
    suffix=".fits.fz",
)
good(
    "compressed-and-blank",
    lambda p: compress(p, small(0).astype("i2"), cards={"BLANK": 7}),
    expected=lambda plane: np.where(small(0) == 7, np.nan, small(0)),
    suffix=".fits.fz",
)
good(
    "compressed-cube",
    lambda p: compress(p, cube_of("RA DEC FREQ").astype("i4"), "RA DEC FREQ"),
    planes=3,
    suffix=".fits.fz",
)
good(
    "compressed-stokes-first",
    lambda p: compress(p, cube_of("STOKES RA DEC").astype("i4"), "STOKES RA DEC"),
    planes=2,
    suffix=".fits.fz",
)


# HDUs.
good("first-of-the-sky", lambda p: extensions(p, a_table(), a_chart(), an_image(), an_image(1)))
good(
    "named-hdu",
    lambda p: extensions(p, an_image(1, "RMS"), an_image(0, "SCI")),
    hdu="sci",
)
good("numbered-hdu", lambda p: extensions(p, an_image(1, "RMS"), an_image(0, "SCI")), hdu=2)


good("junk-at-the-end", lambda p: followed_by(p, b"\0" * 5000))


# Units and beams.
good("per-beam", lambda p: write(p, BUNIT="Jy/beam", **BEAM))
good("no-bpa", lambda p: write(p, BPA=None), says="BPA missing: 0 taken")
good(
    "beam-in-history",
    lambda p: with_history(p, "AIPS   CLEAN BMAJ=  1.0E-02 BMIN=  1.0E-02 BPA=   0.00"),
    says="beam from HISTORY",
)
good("beam-in-a-table", lambda p: with_table(p), planes=3, says="beam from a table of beams")
good("galactic", lambda p: write(p, order="GLON GLAT", projection="CAR"))
good("no-equinox", lambda p: write(p, RADESYS=None), says="ICRS taken")

# What cannot be used.
for _name, _content in {
    "empty": b"",
    "a-word": b"SIMPLE",
    "text": b"hello\n" * 1000,
    "hdf5": b"\x89HDF\r\n\x1a\n" * 900,
    "zip": b"PK\x03\x04" + bytes(5000),
    "simple-and-nothing": b"SIMPLE  =                    T" + b" " * 2850,
}.items():
    bad(_name, "not a FITS file", lambda p, content=_content: p.write_bytes(content))
bad("truncated", "truncated: ", lambda p: p.write_bytes(write(p).read_bytes()[:5000]))
bad(
    "truncated-fz",
    "truncated: ",
    lambda p: p.write_bytes(
        (whole := compress(p, ramp().astype("i4")).read_bytes())[: len(whole) - 4000]
    ),
)
bad("no-image", "no image in it", lambda p: extensions(p, a_table()))
bad("no-such-hdu", "no HDU 7 in it", lambda p: extensions(p, an_image()), hdu=7)
bad("no-such-name", "0, 1 SCI", lambda p: extensions(p, an_image()), hdu="RMS")
bad("hdu-of-a-table", "HDU 1 holds no image", lambda p: extensions(p, a_table()), hdu=1)
for _card, _value, _says in (
    ("BITPIX", 12, "BITPIX is 12"),
    ("BITPIX", "float", "BITPIX is 'float'"),
    ("NAXIS", -2, "NAXIS is -2"),
    ("NAXIS", 4000, "NAXIS is 4000"),
    ("NAXIS1", 10**15, "truncated"),
    ("NAXIS1", -57, "NAXIS1 is -57"),
    ("NAXIS1", "57", "NAXIS1 is '57'"),
    ("NAXIS2", b"NAXIS2  =   a b c", "NAXIS2 is"),
    ("NAXIS2", 0, "axes of 57 x 0 pixels"),
    ("CDELT1", 0.0, "CDELT1 is 0; expected the side of a pixel"),
    ("CTYPE1", "RA", "axes 1 and 2 are of type RA, DEC--SIN"),
    ("CTYPE2", "RA---SIN", "expected sky coordinates"),
    ("CTYPE1", "RA---XYZ", "no usable sky coordinates"),
    ("RADESYS", "NEXT", "RADESYS"),
):
    bad(
        f"{_card.lower()}-{_value!s}".replace(" ", "-")[:40],
        _says,
        lambda p, card=_card, value=_value: change(write(p), card, value),
    )
for _name, _cards, _says in (
    ("no-unit", {"BUNIT": None}, "no BUNIT; expected Jy/beam or Jy/arcsec2"),
    ("kelvin-of-no-frequency", {"BUNIT": "K"}, "BUNIT is K; expected Jy/beam or Jy/arcsec2, or"),
    ("unknown-unit", {"BUNIT": "furlong"}, "BUNIT is furlong; expected"),
    ("no-beam", {"BUNIT": "Jy/beam", "BMAJ": None, "BMIN": None}, "there is no beam; expected"),
    ("beam-0", {"BUNIT": "Jy/beam", "BMIN": 0.0}, "no beam (BMAJ is 0.00277"),
    ("beam-negative", {"BUNIT": "Jy/beam", "BMAJ": -1.0}, "no beam (BMAJ is -1"),
    ("beam-nan", {"BUNIT": "Jy/beam", "BMAJ": "NaN"}, "no beam (BMAJ is NaN"),
    ("no-sky", {"CTYPE1": None, "CTYPE2": None}, "axes 1 and 2 are of type none, none"),
    ("bscale-0", {"BSCALE": 0.0}, "BSCALE is 0"),
    ("bscale-word", {"BSCALE": "one"}, "BSCALE is 'one'"),
    ("distorted-by-tables", {"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP"}, "a distortion by tables"),
):
    bad(_name, _says, lambda p, cards=_cards: write_raw(p, ramp().astype("f4"), **cards))
bad(
    "blank-word",
    "BLANK is 'none'",
    lambda p: write_raw(p, small(0).astype("i2"), BLANK="none"),
)
bad(
    "compressed-tiles-amiss",
    "46 compressed tiles, but an image of 57 x 46 pixels in tiles of 5 x 1 has 552",
    lambda p: change(compress(p, ramp().astype("i4")), "ZTILE1", 5),
)
bad(
    "compressed-in-one-huge-tile",
    "unpack it (funpack)",
    lambda p: change(
        change(
            change(compress(p, ramp().astype("i4"), tile_shape=SHAPE), "ZNAXIS2", 2 * 10**7),
            "ZTILE2",
            2 * 10**7,
        ),
        "ZTILE1",
        57,
    ),
)
bad(
    "compressed-by-nobody",
    "compressed by 'MAGIC_1'; expected one of RICE_1",
    lambda p: change(compress(p, ramp().astype("i4")), "ZCMPTYPE", "MAGIC_1"),
)
