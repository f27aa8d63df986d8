"""What pixels cover on the sky, and what makes a flux of their brightness in each unit."""

import numpy as np
import pytest
from support.findings import islands_of, sky, swept, write_mosaic

from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.islands.pixelareas import flux_areas, pixel_areas, solid_angles

PIXEL = 9.6
BEAM = np.pi / (4 * np.log(2)) * 20.0**2
STERADIAN = (180 * 3600 / np.pi) ** 2
FAR = np.sin(np.pi / 6) / np.deg2rad(PIXEL / 3600)
"""Pixels from the middle of a SIN projection at which the sky is 30 degrees away."""


def far(folder, unit, projection="SIN", **cards):
    """An image of 40 x 40 pixels of 1, whose projection has its middle far beside it."""
    header = sky((40, 40), projection, BUNIT=unit, CRPIX1=20.5 + FAR, **cards)
    return write_mosaic(folder / "a.fits", np.ones((40, 40)), header)


def test_all_pixels_of_the_sky_cover_the_sphere(tmp_path):
    header = sky((180, 360), "CAR", pixel=3600.0, CRVAL1=180.0)
    image = open_image(write_mosaic(tmp_path / "a.fits", np.ones((180, 360)), header))
    areas = pixel_areas(image, np.ones((180, 360), bool), 1)
    assert areas.sum() == pytest.approx(4 * np.pi * STERADIAN, rel=1e-4)


FARTHER = 1 / np.cos(np.pi / 6)
"""What a pixel covers there in SIN, in units of one in the middle."""


@pytest.mark.parametrize(
    "unit, flux",
    [
        ("Jy/sr", 1600 * PIXEL**2 / STERADIAN * FARTHER),
        ("Jy/arcsec2", 1600 * PIXEL**2 * FARTHER),
        ("Jy/pixel", 1600.0),
        ("Jy/beam", 1600 * PIXEL**2 / BEAM),  # the beam covers as many pixels as in the middle
    ],
)
def test_flux_30_degrees_from_the_middle_of_an_orthographic_image(unit, flux, tmp_path):
    (island,) = islands_of(swept(far(tmp_path, unit), np.ones((1, 1), bool)))
    assert island.area == pytest.approx(1600 * PIXEL**2 * FARTHER, rel=1e-3)
    assert island.flux == pytest.approx(flux, rel=1e-3)


@pytest.mark.parametrize(
    "projection, unit, is_local",
    [
        ("SIN", "Jy/beam", False),
        ("SIN", "Jy/pixel", False),
        ("SIN", "Jy/sr", True),
        ("ZEA", "Jy/beam", True),
        ("TAN", "Jy/beam", True),
        ("CAR", "Jy/beam", True),
        ("CAR", "mJy/beam", True),
        ("CAR", "Jy/pixel", False),
        ("ZEA", "Jy/sr", True),
    ],
)
def test_areas_of_fluxes(projection, unit, is_local, tmp_path):
    """A beam covers the same part of the sky all over a projection that no interferometer has."""
    image = open_image(far(tmp_path, unit, projection))
    x, y = np.array([0.0, 39.0]), np.array([3.0, 20.0])
    areas = solid_angles(image, x, y)
    expected = areas if is_local else np.full(2, PIXEL**2)
    np.testing.assert_allclose(flux_areas(image, areas), expected)


def test_areas_of_projections_are_those_of_their_formulas(tmp_path):
    """Equal areas in ZEA; cos(latitude) in CAR, whose latitudes here are those of rows."""
    zea = open_image(far(tmp_path, "Jy/beam", "ZEA"))
    middle = np.array([20.0]), np.array([20.0])
    assert solid_angles(zea, *middle) == pytest.approx(PIXEL**2, rel=1e-5)
    header = sky((40, 40), "CAR", CRPIX2=20.5 - 60 * 3600 / PIXEL)
    car = open_image(write_mosaic(tmp_path / "b.fits", np.ones((40, 40)), header))
    assert solid_angles(car, *middle) == pytest.approx(PIXEL**2 * np.cos(np.pi / 3), rel=1e-3)


def test_cells_outside_islands_have_no_area(tmp_path):
    image = open_image(far(tmp_path, "Jy/beam"))
    where = np.zeros((4, 4), bool)
    where[1, 2] = True
    areas = pixel_areas(image, where, 10)
    assert (areas > 0).tolist() == where.tolist()
    assert (flux_areas(image, areas) > 0).tolist() == where.tolist()
