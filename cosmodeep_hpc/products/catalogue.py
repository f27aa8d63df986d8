"""The catalogues of islands and of compact sources: tables with units and UCDs.

Columns are those of CASDA's catalogues of islands and components where they apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle
from astropy.table import QTable
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.islands.compacttable import CompactTable
from cosmodeep_hpc.islands.islandtable import IslandTable
from cosmodeep_hpc.islands.positions import name
from cosmodeep_hpc.products.tables import described

MJY = 1e3  # of a Jy
ARCSEC2_PER_ARCMIN2 = 3600.0

# As in CASDA, pixels are counted from 0.
ISLANDS = """
island_id        | char    |             | meta.id;meta.main                     | identifier
island_name      | char    |             | meta.id                               | Jhhmmss-ddmmss of its position, truncated
number           | int     |             | meta.number                           | its number in the grid of islands
plane            | int     |             | meta.number                           | plane of the file, in the order of the file, from 0
n_cells          | int     |             | meta.number                           | cells of the grid in it
n_compact        | int     |             | meta.number                           | compact sources in it
ra_hms_cont      | char    |             | pos.eq.ra                             | right ascension of its middle, weighted by diffuse brightness, ICRS
dec_dms_cont     | char    |             | pos.eq.dec                            | declination of the same
ra_deg_cont      | double  | deg         | pos.eq.ra;meta.main                   | right ascension of the same
dec_deg_cont     | double  | deg         | pos.eq.dec;meta.main                  | declination of the same
ra_err           | double  | arcsec      | stat.error;pos.eq.ra                  | error of the right ascension by the noise, on the sky
dec_err          | double  | arcsec      | stat.error;pos.eq.dec                 | error of the declination
freq             | double  | MHz         | em.freq                               | frequency of the plane
flux_int         | double  | mJy         | phot.flux.density;em.radio            | integrated flux of all its pixels, less the background
flux_int_err     | double  | mJy         | stat.error;phot.flux.density;em.radio | error by the noise, as it adds up in such areas of the image
flux_compact     | double  | mJy         | phot.flux.density;em.radio            | the part of it that compact sources have
flux_compact_err | double  | mJy         | stat.error;phot.flux.density;em.radio | error of the same
flux_diffuse     | double  | mJy         | phot.flux.density;em.radio            | the rest: flux_int - flux_compact
flux_diffuse_err | double  | mJy         | stat.error;phot.flux.density;em.radio | error of the same
flux_total       | double  | mJy         | phot.flux.density;em.radio            | diffuse flux of the whole source, with what lies below the noise around the island; none below a ratio of 10 to its error
flux_total_err   | double  | mJy         | stat.error;phot.flux.density;em.radio | error of the same
scale_total      | double  | arcsec      | phys.angSize                          | length by which the brightness falls outside the island, which flux_total comes of
snr              | double  |             | stat.snr                              | diffuse flux over its error
flux_peak        | double  | mJy/beam    | phot.flux.density;stat.max;em.radio   | brightest pixel
mean_background  | double  | mJy/beam    | instr.background                      | level that was subtracted
background_noise | double  | mJy/beam    | instr.skyLevel;em.radio               | local rms noise
brightness_mean  | double  | mJy/arcsec2 | phot.flux.sb;stat.mean;em.radio       | mean of its diffuse emission
brightness_peak  | double  | mJy/arcsec2 | phot.flux.sb;stat.max;em.radio        | brightest pixel, of images without a beam too
brightness_noise | double  | mJy/arcsec2 | instr.skyLevel;em.radio               | local rms noise, of images without a beam too
x_min            | int     | pix         | pos.cartesian.x;stat.min              | first column, counted from 0
x_max            | int     | pix         | pos.cartesian.x;stat.max              | last column, counted from 0
y_min            | int     | pix         | pos.cartesian.y;stat.min              | first row, counted from 0
y_max            | int     | pix         | pos.cartesian.y;stat.max              | last row, counted from 0
n_pix            | int     |             | meta.number;instr.pixel               | pixels with data
solid_angle      | double  | arcmin2     | phys.angArea                          | solid angle of those pixels
n_beams          | double  |             | meta.number;instr.beam                | the same in areas of the beam
beam_area        | double  | arcmin2     | phys.angArea;instr.beam               | solid angle of the beam
largest_size     | double  | arcsec      | phys.angSize                          | largest angular size: between the corners of it that lie farthest apart
maj_axis         | double  | arcsec      | phys.angSize.smajAxis                 | long axis of the ellipse of its pixels' second moments
min_axis         | double  | arcsec      | phys.angSize.sminAxis                 | short axis of the same
axis_ratio       | double  |             | phys.size.axisRatio                   | long over short axis
pos_ang          | double  | deg         | pos.posAng                            | position angle of the long axis, from north through east
x_cen            | double  | pix         | pos.cartesian.x                       | column of its middle, counted from 0
y_cen            | double  | pix         | pos.cartesian.y                       | row of the same
x_peak           | int     | pix         | pos.cartesian.x;stat.max              | column of the brightest pixel, counted from 0
y_peak           | int     | pix         | pos.cartesian.y;stat.max              | row of the same
ra_peak          | double  | deg         | pos.eq.ra;stat.max                    | right ascension of the brightest pixel, ICRS
dec_peak         | double  | deg         | pos.eq.dec;stat.max                   | declination of the same
mean_probability | double  |             | stat.probability;stat.mean            | mean of its cells' probabilities of signal
max_probability  | double  |             | stat.probability;stat.max             | largest of them
coverage         | double  |             | stat.value                            | share of its pixels that have data
flag_edge        | boolean |             | meta.code                             | at the edge of the image: it may go on there
flag_gap         | boolean |             | meta.code                             | beside pixels without data: it may go on there
flag_partial     | boolean |             | meta.code                             | a cell of it is cut or has pixels without data
flag_validated   | boolean |             | meta.code                             | the model is validated for such a beam and such pixels
"""  # noqa: E501

COMPACT = """
component_id     | char    |             | meta.id;meta.main                     | identifier
component_name   | char    |             | meta.id                               | Jhhmmss-ddmmss of its position, truncated
number           | int     |             | meta.number                           | its number
island_id        | char    |             | meta.id.parent                        | island that it lies in; empty: beside one
island           | int     |             | meta.number                           | number of that island; 0: beside one
plane            | int     |             | meta.number                           | plane of the file, in the order of the file, from 0
ra_hms_cont      | char    |             | pos.eq.ra                             | right ascension, ICRS
dec_dms_cont     | char    |             | pos.eq.dec                            | declination
ra_deg_cont      | double  | deg         | pos.eq.ra;meta.main                   | right ascension
dec_deg_cont     | double  | deg         | pos.eq.dec;meta.main                  | declination
ra_err           | double  | arcsec      | stat.error;pos.eq.ra                  | error of the right ascension by the noise, on the sky
dec_err          | double  | arcsec      | stat.error;pos.eq.dec                 | error of the declination
freq             | double  | MHz         | em.freq                               | frequency of the plane
flux_peak        | double  | mJy/beam    | phot.flux.density;stat.max;em.radio   | peak of the beam fitted to it, above the emission around
flux_int         | double  | mJy         | phot.flux.density;em.radio            | flux of the same
flux_int_err     | double  | mJy         | stat.error;phot.flux.density;em.radio | error by the noise and by the level around
background_noise | double  | mJy/beam    | instr.skyLevel;em.radio               | local rms noise
x_cen            | double  | pix         | pos.cartesian.x                       | column, counted from 0
y_cen            | double  | pix         | pos.cartesian.y                       | row, counted from 0
flag_given       | boolean |             | meta.code                             | of a list of the user's, not looked for
"""  # noqa: E501


@dataclass(frozen=True)
class TablePlane:
    """Where the rows of a plane belong.

    Attributes:
        image: the plane. number: its number in the file. frequency: [Hz].
        validated: whether the model is validated for what it sees of it.
    """

    image: Image
    number: int
    frequency: float
    validated: bool


def islands_table(stem: str, islands: IslandTable, planes: Sequence[TablePlane]) -> QTable:
    """Return the catalogue of islands: numbers with a unit are Quantities; UCDs are in `meta`.

    UCDs are in the columns' `meta`; the table's own is empty.

    Args:
        stem: what identifiers begin with.
        planes: in the order of `IslandTable.plane`.
    """
    beam = _of_planes(islands.plane, [_beam_area(plane.image) for plane in planes])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, ratio = islands.diffuse / islands.area, islands.major / islands.minor
        snr = islands.diffuse / islands.diffuse_error
    values = {
        "island_id": [f"{stem}_island_{number}" for number in islands.number],
        **_places(islands, "island_name"),
        **_common(islands.plane, planes),
        "n_cells": islands.cells,
        "n_compact": islands.sources,
        "flux_int": MJY * islands.flux,
        "flux_int_err": MJY * islands.flux_error,
        "flux_compact": MJY * islands.compact,
        "flux_compact_err": MJY * islands.compact_error,
        "flux_diffuse": MJY * islands.diffuse,
        "flux_diffuse_err": MJY * islands.diffuse_error,
        "flux_total": MJY * islands.total,
        "flux_total_err": MJY * islands.total_error,
        "scale_total": islands.scale,
        "snr": snr,
        "flux_peak": MJY * islands.peak * beam,
        "mean_background": MJY * islands.background * beam,
        "background_noise": MJY * islands.rms * beam,
        "brightness_mean": MJY * mean,
        "brightness_peak": MJY * islands.peak,
        "brightness_noise": MJY * islands.rms,
        "n_pix": islands.pixels,
        "solid_angle": islands.area / ARCSEC2_PER_ARCMIN2,
        "n_beams": islands.beams,
        "beam_area": beam / ARCSEC2_PER_ARCMIN2,
        "largest_size": islands.largest,
        "maj_axis": islands.major,
        "min_axis": islands.minor,
        "axis_ratio": ratio,
        "pos_ang": islands.angle,
        "flag_edge": islands.edge,
        "flag_gap": islands.gap,
        "flag_partial": islands.partial,
        "flag_validated": _of_planes(islands.plane, [plane.validated for plane in planes]),
    }
    same = [f"{axis}_{end}" for axis in "xy" for end in ("min", "max", "peak")]
    same += ["number", "ra_peak", "dec_peak", "mean_probability", "max_probability", "coverage"]
    return described(ISLANDS, values | {what: getattr(islands, what) for what in same})


def compact_table(stem: str, compact: CompactTable, planes: Sequence[TablePlane]) -> QTable:
    """Return the catalogue of compact sources in and beside islands.

    Args:
        stem, planes: see `islands_table`.
    """
    beam = _of_planes(compact.plane, [_beam_area(plane.image) for plane in planes])
    of_island = [f"{stem}_island_{number}" if number else "" for number in compact.island]
    values = {
        "component_id": [f"{stem}_component_{number}" for number in compact.number],
        "island_id": of_island,
        **_places(compact, "component_name"),
        **_common(compact.plane, planes),
        "number": compact.number,
        "island": compact.island,
        "flux_peak": MJY * compact.peak * beam,
        "flux_int": MJY * compact.flux,
        "flux_int_err": MJY * compact.flux_error,
        "background_noise": MJY * compact.rms * beam,
        "flag_given": compact.given,
    }
    return described(COMPACT, values)


def _places(rows: IslandTable | CompactTable, named: str) -> dict[str, Any]:
    """Return the columns of positions, and of the names that they give."""
    pairs = list(zip(rows.ra.tolist(), rows.dec.tolist(), strict=True))
    return {
        named: [name(ra, dec) for ra, dec in pairs],
        "ra_hms_cont": hms(rows.ra),
        "dec_dms_cont": dms(rows.dec),
        "ra_deg_cont": rows.ra,
        "dec_deg_cont": rows.dec,
        "ra_err": rows.ra_error,
        "dec_err": rows.dec_error,
        "x_cen": rows.x,
        "y_cen": rows.y,
    }


def _common(plane: NDArray[np.int64], planes: Sequence[TablePlane]) -> dict[str, Any]:
    """Return the columns of the plane that rows belong to."""
    return {
        "plane": _of_planes(plane, [place.number for place in planes]),
        "freq": _of_planes(plane, [place.frequency / 1e6 for place in planes]),
    }


def _of_planes(plane: NDArray[np.int64], values: list[Any]) -> NDArray[Any]:
    """Return the value of the plane of each row."""
    return np.asarray(values)[plane]


def _beam_area(image: Image) -> float:
    return float("nan") if image.beam is None else image.beam.area


def hms(ra: NDArray[np.float64]) -> list[str]:
    """Return right ascensions [deg] as hh:mm:ss.s; empty where there is none."""
    text = Angle(list(ra), u.deg).to_string(unit=u.hourangle, sep=":", precision=1, pad=True)
    return _known(text, ra)


def dms(dec: NDArray[np.float64]) -> list[str]:
    """Return declinations [deg] as +dd:mm:ss; empty where there is none."""
    text = Angle(list(dec), u.deg).to_string(
        unit=u.deg, sep=":", precision=0, pad=True, alwayssign=True
    )
    return _known(text, dec)


def _known(text: Sequence[str], angle: NDArray[np.float64]) -> list[str]:
    return [str(t) if np.isfinite(a) else "" for t, a in zip(text, angle, strict=True)]
