"""The halos of an image's field: on the sky, in the image and in their file."""

from itertools import permutations, product

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky import halocatalog, instrument
from cosmodeep_hpc.sky.cosmology import astropy_cosmology
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.lightcone import ARCSEC, ImagePlane, Orientation, Slab

SIDE = 100.0
SLAB = Slab(3, 1, 500.0, 100.0, SIDE)
VIEW = ImagePlane(pixels=400, scale=9.6, margin=20)
UPRIGHT = Orientation(0, (0, 1, 2), (False,) * 3, (0.0, 0.0, 0.0))
CENTRE = (40.0, -30.0)
TURNS = list(product(permutations(range(3)), product([False, True], repeat=3)))


def one_halo(position, radius=1.0):
    """A table of a single halo."""
    return Halos(np.array([position], np.float32), np.array([2e14]), np.array([radius], np.float32))


def catalogue(table, turned=UPRIGHT, slab=SLAB, view=VIEW):
    """The catalogue of a box's halos seen in a view."""
    part = "box-100-1.h5", table, halocatalog.visible(table, slab, turned, view)
    wcs = instrument.celestial_wcs(view.pixels, view.scale, CENTRE)
    return halocatalog.field_table([part], wcs, 7, (0.04, 0.5))


def on_the_sky(line):
    """RA and Dec [deg] of a direction (west, north, along the line of sight)."""
    ra, dec = np.deg2rad(CENTRE)
    east = np.array([-np.sin(ra), np.cos(ra), 0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    ahead = np.cross(east, north)
    x, y, z = line[1] * north - line[0] * east + line[2] * ahead
    return np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arctan2(z, np.hypot(x, y)))


@pytest.mark.parametrize("axes, flips", TURNS)
def test_a_halo_is_where_it_belongs_on_the_sky(axes, flips, tmp_path):
    # 3 Mpc west and 2 Mpc south of the middle, 510 Mpc away, however the box is turned.
    target = np.array([53.0, 48.0, 60.0])
    shift = np.array([0.1, 0.85, 0.4])
    before = (target / SIDE - shift) % 1  # undo the shift, then the reflection, then the axes
    before = np.where(flips, -before, before) % 1
    place = np.empty(3)
    place[list(axes)] = before * SIDE
    table = catalogue(one_halo(place), Orientation(0, axes, flips, tuple(shift)))

    line = np.array([3.0, -2.0, 510.0])
    distance = np.linalg.norm(line)
    (row,) = table
    assert (row["RA"], row["DEC"]) == pytest.approx(on_the_sky(line), abs=1e-4)
    column, line_of_pixels = line[:2] / distance / (VIEW.scale * ARCSEC) + (VIEW.pixels + 1) / 2
    assert (row["X"], row["Y"]) == pytest.approx((column, line_of_pixels), abs=0.01)
    cosmology = astropy_cosmology()
    assert cosmology.comoving_distance(row["Z"]).value == pytest.approx(distance, rel=1e-5)
    assert row["R100"] == pytest.approx(1.0 / (1 + row["Z"]))  # 1 comoving Mpc
    apparent = row["R100"] / cosmology.angular_diameter_distance(row["Z"]).value
    assert row["THETA100"] == pytest.approx(np.rad2deg(apparent) * 3600, rel=1e-5)
    assert row["M100"] == pytest.approx(2e14)
    assert (row["BOX"], row["HALO"]) == ("box-100-1.h5", 0)


def test_the_file_tells_all_and_its_sky_positions_are_its_pixels(tmp_path):
    stream = np.random.default_rng(2)
    table = Halos(
        stream.uniform(0, SIDE, (3000, 3)).astype(np.float32),
        np.sort(stream.uniform(1e12, 1e15, 3000))[::-1],
        np.full(3000, 1.5, np.float32),
    )
    made = catalogue(table)
    path = tmp_path / "halos.fits"
    origin = {"CONFIG": ("abc", "digest"), "TELESCOP": ("mock", "what made it")}
    halocatalog.write(path, made, origin)
    read = Table.read(path)
    assert len(read) == len(made) > 10
    assert np.all(np.diff(read["M100"]) <= 0)
    assert read["M100"] == pytest.approx(table.mass[read["HALO"]])
    wcs: WCS = instrument.celestial_wcs(VIEW.pixels, VIEW.scale, CENTRE)
    x, y = wcs.all_world2pix(read["RA"], read["DEC"], 1)
    assert np.abs(x - read["X"]).max() < 0.01 and np.abs(y - read["Y"]).max() < 0.01
    shown = {name: str(read[name].unit) for name in read.colnames if read[name].unit is not None}
    assert shown == {
        **{"RA": "deg", "DEC": "deg", "M100": "solMass", "R100": "Mpc", "THETA100": "arcsec"},
        **{"X": "pix", "Y": "pix"},
    }
    header = fits.getheader(path, "HALOS")
    assert (header["INDEX"], header["ZNEAR"], header["ZFAR"]) == (7, 0.04, 0.5)
    assert header["TUCD1"] == "pos.eq.ra;meta.main"
    primary = fits.getheader(path, 0)
    assert {key: (primary[key], primary.comments[key]) for key in origin} == origin


@pytest.mark.parametrize(
    "across, north, shown",
    [
        # At 510 Mpc a radius of 1 Mpc is 42.1 pixels; half the image is 200 pixels, 4.747 Mpc.
        (5.70, 0.0, True),
        (5.79, 0.0, False),
        (-5.70, 0.0, True),
        (0.0, 5.79, False),
        (5.40, 5.40, True),  # 0.92 Mpc from the corner
        (5.60, 5.60, False),  # 1.2 Mpc from the corner, though within 1 Mpc of both edges' lines
    ],
)
def test_halos_are_seen_when_their_radius_reaches_into_the_image(across, north, shown):
    table = catalogue(one_halo((50 + across, 50 + north, 60.0)))
    assert len(table) == shown


def test_a_halo_behind_the_slab_is_not_in_it():
    thin = Slab(3, 1, 500.0, 60.0, SIDE)
    assert len(catalogue(one_halo((50, 50, 59.0)), slab=thin)) == 1
    assert len(catalogue(one_halo((50, 50, 61.0)), slab=thin)) == 0


def test_a_wide_field_sees_a_halo_in_every_replica():
    # 40 Mpc box, field of 5.3 deg at 500 Mpc = 46.5 Mpc: twice, 40 Mpc apart.
    view = ImagePlane(pixels=2000, scale=9.6, margin=30)
    table = catalogue(one_halo((38.5, 20, 20), 0.5), slab=Slab(0, 0, 500.0, 40.0, 40.0), view=view)
    assert list(table["HALO"]) == [0, 0]
    between = np.ptp(table["X"]) * view.scale * ARCSEC * 500
    assert between == pytest.approx(40, rel=0.01)


def test_a_halo_of_a_replica_beyond_the_image_reaches_into_it():
    # The image ends 19.8 Mpc from the axis, within the first copy of the box, which ends at 20.
    view = ImagePlane(pixels=1640, scale=9.6)
    table = catalogue(one_halo((39.7, 20, 39)), slab=Slab(0, 0, 500.0, 40.0, 40.0), view=view)
    offset = (np.sort(table["X"]) - 820.5) * view.scale * ARCSEC
    line = np.array([-20.3, 19.7])
    assert offset == pytest.approx(line / np.hypot(line, 519), abs=1e-6)


def test_a_field_without_halos_is_an_empty_table(tmp_path):
    wcs = instrument.celestial_wcs(400, 9.6, CENTRE)
    halocatalog.write(tmp_path / "a.fits", halocatalog.field_table([], wcs, 1, (0.04, 0.5)), {})
    away = catalogue(one_halo((10.0, 10.0, 50.0)))
    halocatalog.write(tmp_path / "b.fits", away, {})
    for name in ("a.fits", "b.fits"):
        read = Table.read(tmp_path / name)
        assert len(read) == 0 and read.colnames == [column[0] for column in halocatalog.COLUMNS]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none/a\.fits: cannot write it"):
        halocatalog.write(tmp_path / "none" / "a.fits", catalogue(one_halo((50, 50, 50))), {})
