"""The halos of an image's field and their places on the sky, as a table and a FITS file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.sky.cosmology import redshift_at
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.lightcone import ARCSEC, ImagePlane, Orientation, Slab, replicas

COLUMNS = (
    ("RA", "f8", "deg", "pos.eq.ra;meta.main", "right ascension of the centre, ICRS"),
    ("DEC", "f8", "deg", "pos.eq.dec;meta.main", "declination of the centre, ICRS"),
    ("Z", "f4", "", "src.redshift", "redshift of its distance"),
    ("M100", "f4", "solMass", "phys.mass", "mass inside R100"),
    ("R100", "f4", "Mpc", "phys.size.radius", "100 x critical density inside, proper"),
    ("THETA100", "f4", "arcsec", "phys.angSize", "R100 on the sky"),
    ("X", "f8", "pix", "pos.cartesian.x;instr.det", "column in the image, first is 1"),
    ("Y", "f8", "pix", "pos.cartesian.y;instr.det", "row in the image, first is 1"),
    ("BOX", "U", "", "meta.file", "file of the box"),
    ("HALO", "i4", "", "meta.id", "row in the halo table of that box"),
)
"""Name, type, unit, UCD (IVOA, unified content descriptor) and meaning of the columns."""


@dataclass(frozen=True)
class VisibleHalos:
    """Halos of one slab whose R100 reaches into an image, with a row for each visible replica.

    Attributes:
        halo: int32 (n,), rows of the box's halo table.
        column, row: float64 (n,), centre [pixel of the image, the first has its centre at 0].
        distance: float64 (n,), comoving [Mpc].
        angle: float64 (n,), R100 on the sky [arcsec].
    """

    halo: NDArray[np.int32]
    column: NDArray[np.float64]
    row: NDArray[np.float64]
    distance: NDArray[np.float64]
    angle: NDArray[np.float64]


def visible(halos: Halos, slab: Slab, turned: Orientation, view: ImagePlane) -> VisibleHalos:
    """Return the visible halos of a box, put into a slab in the same way as its shock elements.

    Args:
        halos: of the box.
        slab: where the box is put.
        turned: how the box is turned.
        view: the image plane; its margin does not count as image.
    """
    placed = turned.place(halos.position, slab.side)
    inside = np.flatnonzero(placed[:, 2] < slab.depth)
    place, radius = placed[inside].astype(np.float64), halos.radius[inside].astype(np.float64)
    nearest = slab.centre - 0.5 * slab.depth
    widest = radius.max(initial=0) / nearest / (view.scale * ARCSEC)
    parts = []
    for shift in replicas(slab, view, widest):
        line = place + shift
        distance = np.sqrt(np.sum(line**2, axis=1))
        centre = view.pixel(line[:, :2] / distance[:, None]) - view.margin
        angle = radius / distance / ARCSEC
        gap = np.maximum(np.maximum(-0.5 - centre, centre - (view.pixels - 0.5)), 0)
        near = np.flatnonzero(np.hypot(*gap.T) * view.scale < angle)
        parts.append((inside[near].astype(np.int32), centre[near], distance[near], angle[near]))
    halo, centre, distance, angle = (np.concatenate(part) for part in zip(*parts, strict=True))
    return VisibleHalos(halo, centre[:, 0], centre[:, 1], distance, angle)


def field_table(
    parts: Iterable[tuple[str, Halos, VisibleHalos]],
    wcs: WCS,
    index: int,
    redshifts: tuple[float, float],
) -> Table:
    """Return the halos of an image's field, the most massive first.

    Args:
        parts: for each slab: the name of the box's file, its halos, and its visible halos.
        wcs: of the image.
        index: of the image.
        redshifts: between which the light cone is filled.

    Returns:
        An astropy table of COLUMNS with units; its `meta` becomes the FITS header.
    """
    tables = [Table(names=[c[0] for c in COLUMNS], dtype=[c[1] for c in COLUMNS])]
    for name, halos, found in parts:
        redshift = redshift_at(found.distance)
        x, y = found.column + 1, found.row + 1
        ra, dec = wcs.all_pix2world(x, y, 1)
        radius = halos.radius[found.halo] / (1 + redshift)
        box = np.full(len(x), name)
        mass = halos.mass[found.halo]
        values = (ra, dec, redshift, mass, radius, found.angle, x, y, box, found.halo)
        columns = {
            column[0]: np.asarray(value, None if column[1] == "U" else column[1])
            for column, value in zip(COLUMNS, values, strict=True)
        }
        tables.append(Table(columns))
    table = vstack(tables, metadata_conflicts="silent")
    table = table[np.argsort(-table["M100"], kind="stable")]
    for name, _, unit, ucd, meaning in COLUMNS:
        table[name].unit = unit or None
        table[name].description = meaning
        table[name].meta["ucd"] = ucd
    table.meta = {"INDEX": index, "ZNEAR": redshifts[0], "ZFAR": redshifts[1]}
    return table


def write(path: Path, table: Table, origin: Mapping[str, tuple[Any, str]]) -> None:
    """Write a `field_table` as a FITS file, completely or not at all.

    Args:
        path: of the file.
        table: the halos.
        origin: entries of the primary header about the file's origin.

    Raises:
        InputError: the file cannot be written.
    """
    hdu = fits.BinTableHDU(table.as_array(), name="HALOS")
    entries: dict[str, tuple[Any, str]] = {
        "INDEX": (table.meta["INDEX"], "number of the image"),
        "ZNEAR": (table.meta["ZNEAR"], "redshift at which the light cone begins"),
        "ZFAR": (table.meta["ZFAR"], "redshift at which the light cone ends"),
        "RADESYS": ("ICRS", "equatorial coordinate system"),
    }
    for number, (name, _, unit, ucd, meaning) in enumerate(COLUMNS, start=1):
        hdu.header.comments[f"TTYPE{number}"] = meaning
        if unit:
            hdu.header.set(f"TUNIT{number}", unit, f"unit of {name}", after=f"TFORM{number}")
        hdu.header.set(f"TUCD{number}", ucd, "content by IVOA", after=f"TFORM{number}")
    for key, entry in entries.items():
        hdu.header[key] = entry
    primary = fits.PrimaryHDU()
    for key, entry in origin.items():
        primary.header[key] = entry
    with replacing(path) as temporary:
        fits.HDUList([primary, hdu]).writeto(temporary)
