"""The catalogue of islands: a table with units, written as FITS table, VOTable and CSV.

Its columns are those of CASDA's island catalogue where they apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle
from astropy.io import ascii as text
from astropy.io import fits
from astropy.io.votable import tree
from astropy.table import QTable, Table

from cosmodeep_hpc import __version__
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.io.files import fits_content
from cosmodeep_hpc.parallel.warningfilters import ONE_AT_A_TIME
from cosmodeep_hpc.products.islands import Island, name
from cosmodeep_hpc.products.refine import Refined

MJY = 1e3  # of a Jy
ARCSEC2_PER_ARCMIN2 = 3600.0
DTYPES = {"char": np.str_, "int": np.int32, "double": np.float64, "boolean": np.bool_}
VOTABLE_TYPES = {"U": "char", "i": "int", "f": "double", "b": "boolean"}  # `char` is ASCII

# name | data type | unit | UCD | meaning. As in CASDA, pixels are counted from 0.
TABLE = """
island_id        | char    |             | meta.id;meta.main                     | identifier
island_name      | char    |             | meta.id                               | Jhhmmss-ddmmss of its position, truncated
number           | int     |             | meta.number                           | its number in the grid of islands
plane            | int     |             | meta.number                           | plane of the file, in the order of the file, from 0
n_tiles          | int     |             | meta.number                           | cells of the grid in it
ra_hms_cont      | char    |             | pos.eq.ra                             | right ascension of the brightness-weighted centroid, ICRS
dec_dms_cont     | char    |             | pos.eq.dec                            | declination of the same
ra_deg_cont      | double  | deg         | pos.eq.ra;meta.main                   | right ascension of the same
dec_deg_cont     | double  | deg         | pos.eq.dec;meta.main                  | declination of the same
freq             | double  | MHz         | em.freq                               | frequency of the plane
flux_int         | double  | mJy         | phot.flux.density;em.radio            | integrated flux of all pixels of its cells
flux_int_err     | double  | mJy         | stat.error;phot.flux.density;em.radio | error of it from the noise of its pixels
flux_peak        | double  | mJy/beam    | phot.flux.density;stat.max;em.radio   | brightest pixel
background_noise | double  | mJy/beam    | instr.skyLevel;em.radio               | local rms noise
brightness_peak  | double  | mJy/arcsec2 | phot.flux.sb;stat.max;em.radio        | brightest pixel, of images without a beam too
brightness_noise | double  | mJy/arcsec2 | instr.skyLevel;em.radio               | local rms noise, of images without a beam too
x_min            | int     | pix         | pos.cartesian.x;stat.min              | first column, counted from 0
x_max            | int     | pix         | pos.cartesian.x;stat.max              | last column, counted from 0
y_min            | int     | pix         | pos.cartesian.y;stat.min              | first row, counted from 0
y_max            | int     | pix         | pos.cartesian.y;stat.max              | last row, counted from 0
n_pix            | int     |             | meta.number;instr.pixel               | pixels with data
solid_angle      | double  | arcmin2     | phys.angArea                          | solid angle of those pixels
beam_area        | double  | arcmin2     | phys.angArea;instr.beam               | solid angle of the beam
x_cen            | double  | pix         | pos.cartesian.x                       | column of the brightness-weighted centroid, counted from 0
y_cen            | double  | pix         | pos.cartesian.y                       | row of the same
x_peak           | int     | pix         | pos.cartesian.x;stat.max              | column of the brightest pixel, counted from 0
y_peak           | int     | pix         | pos.cartesian.y;stat.max              | row of the same
ra_peak          | double  | deg         | pos.eq.ra;stat.max                    | right ascension of the brightest pixel, ICRS
dec_peak         | double  | deg         | pos.eq.dec;stat.max                   | declination of the same
mean_probability | double  |             | stat.probability;stat.mean            | mean of its cells' probabilities of signal
max_probability  | double  |             | stat.probability;stat.max             | largest of them
coverage         | double  |             | stat.value                            | share of its pixels that have data
flag_edge        | boolean |             | meta.code                             | at the edge of the image or of the data: it may go on there
flag_partial     | boolean |             | meta.code                             | a cell of it is cut or has pixels without data
"""  # noqa: E501

REFINED = """
n_pix_refined       | int    |         | meta.number;instr.pixel              | pixels in the refined mask
solid_angle_refined | double | arcmin2 | phys.angArea                         | solid angle of the same
flux_int_refined    | double | mJy     | phot.flux.density;em.radio           | integrated flux of the same
"""  # noqa: E501


@dataclass(frozen=True)
class IslandPlane:
    """Where islands of a plane belong: the image, its number in the file, its frequency [Hz]."""

    image: Image
    number: int
    frequency: float


def catalogue(
    stem: str, islands: Sequence[Island], places: Sequence[IslandPlane], refined: Refined | None
) -> QTable:
    """Return the catalogue: numbers with a unit are Quantities; UCDs are in the columns' `meta`.

    The table's own `meta` is empty: `Findings.catalogue` says there what the islands are of.

    Args:
        stem: what `island_id` begins with.
        places: of each plane, in the order of `Island.plane`.
        refined: measures of the refined mask, where one was made.
    """
    rows = [_row(stem, island, places[island.plane], refined) for island in islands]
    right = hms([island.ra for island in islands])
    up = dms([island.dec for island in islands])
    for row, ra, dec in zip(rows, right, up, strict=True):
        row |= {"ra_hms_cont": ra, "dec_dms_cont": dec}
    table = QTable()
    for line in (TABLE.strip() + (REFINED.rstrip() if refined is not None else "")).splitlines():
        column, kind, unit, ucd, meaning = (part.strip() for part in line.split("|"))
        values: Any = np.array([row[column] for row in rows], DTYPES[kind])
        if unit:
            values = u.Quantity(values, _unit(unit), dtype=values.dtype)
        table[column] = values
        table[column].info.description = meaning
        table[column].info.meta = {"ucd": ucd}
    return table


@cache
def _unit(text: str) -> u.UnitBase:
    with ONE_AT_A_TIME:  # astropy sets warning filters while it reads a unit of several
        return u.Unit(text)


def _row(stem: str, island: Island, place: IslandPlane, refined: Refined | None) -> dict[str, Any]:
    """Return the values of a row by the names of its columns."""
    beam = place.image.beam.area if place.image.beam else float("nan")
    row: dict[str, Any] = {
        "island_id": f"{stem}_island_{island.number}",
        "island_name": name(island.ra, island.dec),
        "number": island.number,
        "plane": place.number,
        "n_tiles": island.n_tiles,
        "ra_deg_cont": island.ra,
        "dec_deg_cont": island.dec,
        "freq": place.frequency / 1e6,
        "flux_int": MJY * island.flux,
        "flux_int_err": MJY * island.flux_error,
        "flux_peak": MJY * island.peak * beam,
        "background_noise": MJY * island.rms * beam,
        "brightness_peak": MJY * island.peak,
        "brightness_noise": MJY * island.rms,
        "solid_angle": island.solid_angle / ARCSEC2_PER_ARCMIN2,
        "beam_area": beam / ARCSEC2_PER_ARCMIN2,
        "x_cen": island.x,
        "y_cen": island.y,
        "flag_edge": island.edge,
        "flag_partial": island.partial,
    }
    for same in ("x_min", "x_max", "y_min", "y_max", "n_pix", "x_peak", "y_peak"):
        row[same] = getattr(island, same)
    for same in ("ra_peak", "dec_peak", "mean_probability", "max_probability", "coverage"):
        row[same] = getattr(island, same)
    if refined is not None:
        row["n_pix_refined"] = int(refined.n_pix[island.number - 1])
        row["solid_angle_refined"] = refined.solid_angle[island.number - 1] / ARCSEC2_PER_ARCMIN2
        row["flux_int_refined"] = MJY * refined.flux[island.number - 1]
    return row


def hms(ra: Sequence[float]) -> list[str]:
    """Return right ascensions [deg] as hh:mm:ss.s; empty where there is none."""
    text = Angle(list(ra), u.deg).to_string(unit=u.hourangle, sep=":", precision=1, pad=True)
    return _known(text, ra)


def dms(dec: Sequence[float]) -> list[str]:
    """Return declinations [deg] as +dd:mm:ss; empty where there is none."""
    text = Angle(list(dec), u.deg).to_string(
        unit=u.deg, sep=":", precision=0, pad=True, alwayssign=True
    )
    return _known(text, dec)


def _known(text: Sequence[str], angle: Sequence[float]) -> list[str]:
    return [str(t) if np.isfinite(a) else "" for t, a in zip(text, angle, strict=True)]


# --- files ---


def write_fits(table: QTable, header: fits.Header, path: Path) -> None:
    """Write a FITS binary table, with UCDs in TUCDn and meanings in TCOMMn; it is ASCII."""
    plain = Table(table)
    for column in plain.itercols():
        if column.dtype.kind == "U":
            plain[column.name] = np.strings.encode(column.data, "ascii", "replace")
    plain.meta = {}
    hdu = fits.table_to_hdu(plain)
    hdu.name = "ISLANDS"
    for number, column in enumerate(table.itercols(), 1):
        hdu.header[f"TUCD{number}"] = column.info.meta["ucd"]
        hdu.header[f"TCOMM{number}"] = column.info.description
    hdu.header.extend(header)
    path.write_bytes(fits_content(fits.PrimaryHDU(), hdu))


def write_csv(table: QTable, path: Path) -> None:
    """Write comma-separated text: names of columns, then rows; empty where there is no value."""
    plain = Table(table, masked=True)
    for column in plain.itercols():
        if column.dtype.kind == "f":
            column.mask = np.isnan(column)
    with path.open("w", newline="", encoding="utf-8") as file:
        text.write(plain, file, format="csv", strip_whitespace=False)


def write_votable(table: QTable, path: Path) -> None:
    """Write a VOTable 1.4; what its `meta` says is in INFO elements."""
    file = tree.VOTableFile(version="1.4")
    file.coordinate_systems.append(tree.CooSys(ID="ICRS", system="ICRS"))
    about = {"creator": f"cosmodeep_hpc {__version__}", **table.meta}
    about["notes"] = "; ".join(about["notes"])
    file.infos.extend(tree.Info(name=what, value=value) for what, value in about.items())
    element = tree.TableElement(file, name="islands")
    for column in table.itercols():
        element.fields.append(_field(file, column))
    element.create_arrays(len(table))
    for field, column in zip(element.fields, table.itercols(), strict=True):
        element.array[field.ID] = getattr(column, "value", column)
    resource = tree.Resource(type="results")
    resource.tables.append(element)
    file.resources.append(resource)
    with path.open("wb") as written:
        file.to_xml(written)


def _field(file: tree.VOTableFile, column: Any) -> tree.Field:
    """Return what a VOTable says of a column."""
    info, ucd, kind = column.info, column.info.meta["ucd"], np.dtype(column.dtype).kind
    is_text = kind == "U"
    is_ascii = is_text and all(value.isascii() for value in column)
    field = tree.Field(
        file,
        ID=info.name,
        name=info.name,
        datatype=VOTABLE_TYPES[kind] if is_ascii or not is_text else "unicodeChar",
        arraysize="*" if is_text else None,
        unit=info.unit,
        ucd=ucd,
        ref="ICRS" if ucd.startswith("pos.eq") else None,
    )
    field.description = info.description
    return field
