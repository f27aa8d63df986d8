"""Islands of signal cells: which cells they are made of, and what they measure."""

from dataclasses import fields, replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from support.fields import NOISE
from support.findings import (
    findings,
    islands_of,
    labels_of,
    mapped,
    rows_in,
    sky,
    swept,
    write_mosaic,
)

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.islands.compact import CompactSources
from cosmodeep_hpc.islands.islandlabels import IslandLabels
from cosmodeep_hpc.islands.islands import Islands
from cosmodeep_hpc.islands.islandsums import IslandSums
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane
from cosmodeep_hpc.islands.positions import name

BEAM = np.pi / (4 * np.log(2)) * 20.0**2  # [arcsec^2] of tests' mosaics
PIXEL = 9.6**2
FAINT = 1e-12  # not 0, which is padding


@pytest.mark.parametrize(
    "cells, count",
    [
        (["..", ".."], 0),
        (["#.", ".#"], 1),  # cells that touch at a corner
        ([".#", "#."], 1),
        (["#.#", "...", "#.#"], 4),
        (["###", "#.#", "###"], 1),
        (["#..#", "####"], 1),
    ],
)
def test_connected_cells_are_one_island(cells, count):
    signal = np.array([[c == "#" for c in row] for row in cells])
    labels = labels_of(signal)
    assert len(labels) == count and ((labels.whole() > 0) == signal).all()


@pytest.mark.parametrize(
    "ra, dec, expected",
    [
        ("12h34m56.99s", "-01d02m03.99s", "J123456-010203"),  # truncated, not rounded
        ("12h34m56s", "+45d00m00s", "J123456+450000"),  # on the second: no second less
        ("23h59m59.999s", "-00d00m00.5s", "J235959-000000"),  # the sign of -0
        ("0h0m0s", "0d0m0s", "J000000+000000"),
        ("1h2m3.4s", "+89d59m59.999s", "J010203+895959"),
    ],
)
def test_names_are_truncated_positions(ra, dec, expected):
    place = SkyCoord(ra, dec)
    assert name(place.ra.deg, place.dec.deg) == expected


@pytest.fixture
def one_cell(tmp_path):
    """A mosaic of 120 x 160 pixels, zero but for three pixels, with its middle cells signal."""
    pixels = np.full((120, 160), FAINT)
    pixels[50, 70], pixels[50, 100], pixels[60, 85] = 1.0, 1.0, 2.0
    signal = np.zeros((3, 4), bool)
    signal[1, 1:3] = True
    header = sky((120, 160), BUNIT="Jy/arcsec2", BMAJ=None, BMIN=None, BPA=None)
    return swept(write_mosaic(tmp_path / "a.fits", pixels, header), signal)


def test_measures_of_an_island(one_cell):
    """Of an image without a beam, whose pixels' noise adds up in squares."""
    (island,) = islands_of(one_cell)
    assert (island.x, island.y) == pytest.approx(
        (85.0, 55.0)
    )  # centre of three pixels of weights 1, 1, 2
    assert (island.x_min, island.x_max, island.y_min, island.y_max) == (40, 119, 40, 79)
    assert (island.x_peak, island.y_peak) == (85, 60)
    assert island.cells == 2 and island.pixels == 3200
    assert island.peak == pytest.approx(2.0)
    assert island.flux == pytest.approx(4.0 * PIXEL, rel=1e-4)
    assert island.diffuse == island.flux and island.sources == 0
    assert np.isnan(island.compact)  # which are not looked for without a beam
    assert island.area == pytest.approx(3200 * PIXEL, rel=1e-4)
    assert island.rms == pytest.approx(NOISE)
    assert island.flux_error == pytest.approx(NOISE * PIXEL * np.sqrt(3200), rel=1e-4)
    assert island.mean_probability == pytest.approx(0.7515)
    assert island.max_probability == pytest.approx(0.752)
    assert island.coverage == 1 and not (island.edge or island.gap or island.partial)
    assert np.isnan([island.beams, island.total, island.total_error, island.scale]).all()


@pytest.mark.parametrize(
    "unit, factor",
    [
        ("Jy/beam", 1.0),
        ("mJy/beam", 1e3),
        ("Jy/arcsec2", 1 / BEAM),
        ("Jy/sr", 1 / BEAM * (180 * 3600 / np.pi) ** 2),
        ("Jy/pixel", PIXEL / BEAM),
    ],
)
def test_flux_in_every_unit(tmp_path, unit, factor):
    """A Gaussian of 30 pixels and 0.1 Jy, in the middle of the projection."""
    y, x = np.mgrid[:240, :240] - 119.5
    width = 15.0
    flux = np.exp(-(x**2 + y**2) / (2 * width**2)) / (2 * np.pi * width**2) * 0.1  # a pixel
    per_beam = flux * BEAM / PIXEL
    path = write_mosaic(tmp_path / "a.fits", per_beam * factor, sky((240, 240), BUNIT=unit))
    (island,) = islands_of(swept(path, np.ones((6, 6), bool)))
    assert island.flux == pytest.approx(0.1, rel=1e-3)
    assert island.peak * BEAM == pytest.approx(per_beam.max(), rel=1e-5)
    assert island.edge  # the whole image


@pytest.mark.parametrize("projection", ["SIN", "TAN", "ZEA", "CAR", "GAL"])
def test_positions_are_those_of_astropy(tmp_path, projection):
    header = sky((200, 200), projection)
    pixels = np.zeros((200, 200))
    pixels[33, 151] = 1.0
    signal = np.zeros((5, 5), bool)
    signal[0, 3] = True
    path = write_mosaic(tmp_path / "a.fits", pixels, header)
    (island,) = islands_of(swept(path, signal))
    expected = WCS(header).pixel_to_world(151, 33).icrs
    for ra, dec in ((island.ra, island.dec), (island.ra_peak, island.dec_peak)):
        assert SkyCoord(ra, dec, unit="deg").separation(expected) < 1 * u.mas


@pytest.mark.parametrize(
    "cell, blank, edge, gap, partial",
    [
        ((1, 1), None, False, False, False),
        ((1, 2), (1, 3), False, True, False),  # beside no data
        ((1, 1), (2, 2), False, True, False),  # at a corner
        ((0, 2), None, True, False, False),
        ((0, 2), (0, 1), True, True, False),
        ((2, 4), None, True, False, True),  # cut: 190 = 4 * 40 + 30 columns
        ((2, 1), None, False, False, True),  # has pixels without data
    ],
)
@pytest.mark.parametrize("missing", [np.nan, 0.0])
def test_flags(tmp_path, cell, blank, edge, gap, partial, missing):
    pixels = np.full((160, 190), FAINT)
    pixels[85, 45] = missing
    signal, without = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    signal[cell] = True
    if blank:
        without[blank] = True
    path = write_mosaic(tmp_path / "a.fits", pixels, sky((160, 190)))
    (island,) = islands_of(swept(path, signal, blank=without))
    assert (island.edge, island.gap, island.partial) == (edge, gap, partial)
    assert island.coverage == (1599 / 1600 if cell == (2, 1) else 1)


def test_pixels_without_data_count_nowhere(tmp_path):
    pixels = np.full((40, 40), 1.0)
    pixels[:20] = np.nan
    path = write_mosaic(tmp_path / "a.fits", pixels, sky((40, 40)))
    (island,) = islands_of(swept(path, np.ones((1, 1), bool)))
    assert island.pixels == 800 and island.coverage == 0.5
    assert island.flux == pytest.approx(800 * PIXEL / BEAM, rel=1e-4)
    assert island.y == 29.5


def test_an_island_of_negative_pixels_has_its_middle_for_a_centroid(tmp_path):
    path = write_mosaic(tmp_path / "a.fits", np.full((40, 80), -1.0), sky((40, 80)))
    (island,) = islands_of(swept(path, np.ones((1, 2), bool)))
    assert (island.x, island.y) == (39.5, 19.5) and island.flux < 0


def test_numbers_go_on_through_the_planes(tmp_path):
    header = sky((80, 80), CTYPE3="FREQ", CRVAL3=1e9, CDELT3=1e6, CRPIX3=1.0, CUNIT3="Hz")
    path = write_mosaic(tmp_path / "a.fits", np.zeros((2, 80, 80)), header)
    signal = np.zeros((2, 2, 2), bool)
    signal[0, 0, 0] = signal[1, 1, 1] = True
    made = swept(path, signal)
    assert [(i.number, i.plane) for i in islands_of(made)] == [(1, 0), (2, 1)]
    labels = findings(made).labels
    assert labels.whole(0)[0, 0] == 1 and labels.whole(1)[1, 1] == 2


def test_only_rows_with_islands_are_read_a_little_at_a_time(tmp_path):
    signal = np.zeros((5, 10), bool)
    signal[3, 4:6] = signal[3, 8] = True
    path = write_mosaic(tmp_path / "a.fits", np.full((200, 400), FAINT), sky((200, 400)))
    read = []

    class Watched(Image):
        def data(self, start, stop, columns=slice(None)):
            read.append((start, stop, columns.start, columns.stop))
            return super().data(start, stop, columns)

    plane = MeasuredPlane.of(swept(path, signal), 0)
    seen = plane.image
    watched = Watched(**{field.name: getattr(seen, field.name) for field in fields(seen)})
    sums = IslandSums.nothing(np.zeros((2, 2), int))
    for strip in labels_of(signal).strips():
        sums.add(replace(plane, image=watched), strip, CompactSources.none(), at_once=200 * 16)
    assert read == [(120, 136, 160, 360), (136, 152, 160, 360), (152, 160, 160, 360)]
    assert sums.pixels.tolist() == [3200, 1600]


@pytest.mark.parametrize("level", [0.0, 0.5, -0.3])
def test_the_level_around_an_island_is_taken_out_of_every_measure(level, tmp_path):
    """A disc of 3 times the noise, in an island with an arm of nothing."""
    y, x = np.mgrid[:400, :400]
    disc = np.hypot(x - 190, y - 200) <= 15
    random = np.random.default_rng(1)
    pixels = np.where(disc, 3.0, 0.0) + level + 0.02 * random.standard_normal(disc.shape)
    island = (abs(x - 190) <= 20) & (abs(y - 200) <= 20)
    island |= (abs(x - 230) <= 20) & (abs(y - 190) <= 5)
    header = sky(pixels.shape, pixel=4.0, BUNIT="Jy/arcsec2")
    path = write_mosaic(tmp_path / "a.fits", pixels * NOISE, header)
    made = mapped(path, np.where(island, 0.9, 0.1), cell=1)
    (found,) = rows_in(Islands.of(made, IslandLabels.of(made, 2.0, 0.7)).table)
    flux = 3 * NOISE * disc.sum() * 16
    assert found.background / NOISE == pytest.approx(level, abs=2e-3)
    assert found.flux == pytest.approx(flux, rel=0.01)
    assert (found.x, found.y) == pytest.approx((190, 200), abs=0.1)
    assert found.peak / NOISE == pytest.approx(3.0, abs=0.1)
    assert found.total == pytest.approx(flux, rel=0.05)
