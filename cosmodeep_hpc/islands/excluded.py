"""What a user leaves out of islands: regions, and compact sources of a list of their own."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import votable
from astropy.wcs import NoConvergence
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.quiet import quiet
from cosmodeep_hpc.parallel.warningfilters import ONE_AT_A_TIME

EXPECTED = (
    "expected regions of DS9 or CASA (CRTF), on the sky or in image pixels, or a VOTable of sources"
)
LEFT = re.compile("skipping|Skipping|unable|[Pp]arse|[Nn]ot a valid")
"""What `regions` says of a region that it leaves out."""
HARMLESS = re.compile("ruler|vector|compass|projection|metadata")
"""What has no area, and what only says how a region is drawn."""
HEAD = 4096
"""Bytes of a file by which its format is told."""
RA_UCDS = ("pos.eq.ra;meta.main", "pos.eq.ra", "POS_EQ_RA_MAIN")
DEC_UCDS = ("pos.eq.dec;meta.main", "pos.eq.dec", "POS_EQ_DEC_MAIN")
NAMES = {
    "ra": ("ra", "raj2000", "_raj2000", "ra_deg"),
    "dec": ("dec", "dej2000", "_dej2000", "dec_deg"),
}


@dataclass(frozen=True)
class Excluded:
    """Regions and sources of a user's file.

    Attributes:
        regions: shapes of the package `regions`, on the sky or in pixels. A minus before one is not
            looked at: what is in the file is left out.
        sources: positions of compact sources (n,).
        name: of the file.
    """

    regions: tuple[Any, ...]
    sources: SkyCoord
    name: str

    @classmethod
    def read(cls, path: Path) -> Excluded:
        """Read a file of DS9 or CASA regions, or a VOTable.

        A point of a region file is a compact source, as a row of a VOTable is.

        Raises:
            InputError: the file cannot be read, or has neither.
        """
        with naming(path, "read"):
            head = path.read_bytes()[:HEAD]
        if b"<VOTABLE" in head.upper() or head.lstrip().startswith(b"<?xml"):
            return cls((), _sources(path), path.name)
        return cls._of_regions(path, "crtf" if head.lstrip().startswith(b"#CRTF") else "ds9")

    @classmethod
    def _of_regions(cls, path: Path, form: str) -> Excluded:
        from regions import PixelRegion, PointSkyRegion, Regions  # an image without it needs none

        try:
            with ONE_AT_A_TIME, warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = Regions.read(path, format=form)
        except Exception as error:  # it raises what its parts raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}: no regions in it ({reason}); {EXPECTED}") from error
        for warning in said:  # it goes on without a region that it cannot read
            reason = " ".join(str(warning.message).split())
            if LEFT.search(reason) and not HARMLESS.search(reason):
                raise InputError(f"{path}: a region cannot be read ({reason}); {EXPECTED}")
        shapes, points = [], []
        for region in found:
            what = type(region).__name__.removesuffix("SkyRegion").removesuffix("PixelRegion")
            if what == "Text":
                continue
            if what == "Line" or (what == "Point" and isinstance(region, PixelRegion)):
                raise InputError(
                    f"{path}: a {what.lower()} {'in pixels' * (what == 'Point')}".rstrip()
                    + "; expected shapes that enclose an area, or points on the sky"
                )
            if isinstance(region, PointSkyRegion):
                points.append(region.center.icrs)
            else:
                shapes.append(region)
        if not shapes and not points:
            raise InputError(f"{path}: no region in it; {EXPECTED}")
        places = SkyCoord(points) if points else SkyCoord([], [], unit="deg")
        return cls(tuple(shapes), places, path.name)

    def on(self, image: Image) -> ExcludedPixels:
        """Return what of it lies on an image: a file may be of a whole survey."""
        shapes = []
        with quiet(Warning):
            for region in self.regions:
                shape = _on_pixels(region, image)
                if shape is not None:
                    shapes.append(shape)
            x, y = image.wcs.world_to_pixel(self.sources) if len(self.sources) else ([], [])
        x, y = np.asarray(x, float), np.asarray(y, float)
        ny, nx = image.shape
        inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
        return ExcludedPixels(tuple(shapes), x[inside], y[inside])


def _on_pixels(region: Any, image: Image) -> Any:
    """Return a region on the pixels of an image; None: it does not lie on it.

    Beyond the edge of the projection there are no pixels, which shows as numbers that are none, or
    as errors of the sky coordinates.
    """
    from regions import PixelRegion

    try:
        shape = region if isinstance(region, PixelRegion) else region.to_pixel(image.wcs)
        box = shape.bounding_box
    except (ValueError, np.linalg.LinAlgError, NoConvergence):
        return None
    ny, nx = image.shape
    is_on = box.iymin < ny and box.iymax > 0 and box.ixmin < nx and box.ixmax > 0
    return shape if is_on else None


@dataclass(frozen=True)
class ExcludedPixels:
    """What is left out, on an image.

    Attributes:
        shapes: pixel regions of the package `regions`.
        x, y: of compact sources inside the image [pixel].
    """

    shapes: tuple[Any, ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def inside(self, rows: range, columns: range) -> NDArray[np.bool_]:
        """Return whether the centres of pixels lie in a shape: bool (rows, columns)."""
        from regions import PixCoord

        found = np.zeros((len(rows), len(columns)), np.bool_)
        for shape in self.shapes:
            box = shape.bounding_box
            low, high = max(box.iymin, rows.start), min(box.iymax, rows.stop)
            left, right = max(box.ixmin, columns.start), min(box.ixmax, columns.stop)
            if low >= high or left >= right:
                continue
            y, x = np.mgrid[low:high, left:right]
            part = slice(low - rows.start, high - rows.start)
            across = slice(left - columns.start, right - columns.start)
            found[part, across] |= shape.contains(PixCoord(x, y))
        return found


def _sources(path: Path) -> SkyCoord:
    """Return the positions of a VOTable.

    Raises:
        InputError: it cannot be read, or has no columns of right ascension and declination.
    """
    try:
        with quiet(Warning):
            table = votable.parse_single_table(path)
    except Exception as error:  # as above
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: no VOTable ({reason}); {EXPECTED}") from error
    angles: list[Any] = []
    for what, ucds in (("ra", RA_UCDS), ("dec", DEC_UCDS)):
        column = _column(table, ucds, NAMES[what])
        if column is None:
            raise InputError(
                f"{path}: no column of {what}; expected the UCD {ucds[0]}, or the name {what}"
            )
        values: Any = np.ma.filled(np.ma.asarray(table.array[column.ID], float), np.nan)
        angles.append(values * u.Unit(column.unit or u.deg))
    known = np.isfinite(angles[0]) & np.isfinite(angles[1])
    try:
        return SkyCoord(angles[0][known], angles[1][known])
    except ValueError as error:  # a declination of 100 degrees
        raise InputError(f"{path}: a row of it has no place on the sky ({error})") from error


def _column(table: Any, ucds: tuple[str, ...], names: tuple[str, ...]) -> Any:
    """Return the column of a UCD, or else of a name; None: there is none."""
    for ucd in ucds:
        for field_ in table.fields:
            if (field_.ucd or "").lower() == ucd.lower():
                return field_
    return next((f for f in table.fields if f.name.lower() in names), None)
