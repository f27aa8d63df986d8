"""Distorted images (SIP, TPV) lie where astropy finds them, and so do their products."""

import itertools
import pickle
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from mocpy import MOC
from regions import PixCoord, Regions
from support.distorted import PIXEL, SHAPE, distorted
from support.findings import swept, write_mosaic
from support.findings import written as write_products

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import ALL_PRODUCTS, Classify
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.distortion import header_of
from cosmodeep_hpc.images.mosaic import open_image, open_mosaic
from cosmodeep_hpc.images.noisemap import NoiseMap
from cosmodeep_hpc.islands.pixelareas import pixel_areas
from cosmodeep_hpc.tiles.tiling import grid_shape, tile_wcs

NY, NX = SHAPE
X, Y = (v.ravel() for v in np.meshgrid(np.linspace(0, NX - 1, 7), np.linspace(0, NY - 1, 6)))
RANDOM = np.random.default_rng(1)
PIXELS = RANDOM.normal(0, 1e-5, SHAPE)
every_kind = pytest.mark.parametrize("kind", ["SIP", "TPV"])
every_turn = pytest.mark.parametrize(
    "kind, turn",
    [("SIP", turn) for turn in ("CD", "PC", "CROTA", "CDELT", "DEGREES")]
    + [("TPV", turn) for turn in ("CD", "DEGREES")],
)


def opened(folder, head, pixels=PIXELS):
    return open_image(write_mosaic(folder / "a.fits", pixels, head))


def arcsec(one, other):
    return one.icrs.separation(other.icrs).arcsec


@every_turn
def test_pixels_lie_where_astropy_finds_them(tmp_path, kind, turn):
    """To 1e-6 pixel, in both directions, and some pixels from where they would lie without."""
    head = distorted(kind, turn)
    image, astropy = opened(tmp_path, head), WCS(head)
    for wcs in (image.wcs, pickle.loads(pickle.dumps(image.wcs))):
        assert arcsec(wcs.pixel_to_world(X, Y), astropy.pixel_to_world(X, Y)).max() < 1e-6 * PIXEL
        back = wcs.world_to_pixel(astropy.pixel_to_world(X, Y))
        np.testing.assert_allclose(back, [X, Y], atol=1e-3)
    plain = WCS(distorted("TAN", turn)).pixel_to_world(X, Y)
    assert arcsec(image.wcs.pixel_to_world(X, Y), plain).max() > 3 * PIXEL


def test_sip_shifts_pixels_and_tpv_degrees(tmp_path):
    """By closed forms: a pixel lies where another one, or another place of the plane, would."""
    plain = WCS(distorted("TAN"))
    x0, y0 = plain.wcs.crpix - 1
    term = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "A_1_1": 2e-5, "B_0_2": -3e-5}
    sip = opened(tmp_path, distorted("SIP", terms=term)).wcs.pixel_to_world(X, Y)
    du, dv = X - x0, Y - y0
    shifted = X + 1e-4 * du**2 + 2e-5 * du * dv, Y - 3e-5 * dv**2
    assert arcsec(sip, plain.pixel_to_world(*shifted)).max() < 1e-5
    term = {"PV1_1": 1.0, "PV1_4": 0.01, "PV2_0": 0.1, "PV2_1": 1.0, "PV2_7": 2e-3}
    tpv = opened(tmp_path, distorted("TPV", terms=term)).wcs.pixel_to_world(X, Y)
    xi, eta = plain.wcs.cd @ [du, dv]
    there = np.linalg.solve(plain.wcs.cd, [xi + 0.01 * xi**2, 0.1 + eta + 2e-3 * eta**3])
    assert arcsec(tpv, plain.pixel_to_world(x0 + there[0], y0 + there[1])).max() < 1e-5


@every_turn
@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_cell_lies_where_its_pixels_lie(kind, turn, size):
    """By its coordinates, and by the header that is made of them, to 1e-3 pixel."""
    image = WCS(distorted(kind, turn))
    grid = tile_wcs(image, size)
    rows, cols = grid_shape(SHAPE, size)
    col, row = (v.ravel() for v in np.meshgrid(np.arange(0, cols, 3), np.arange(0, rows, 3)))
    expected = image.pixel_to_world((col + 0.5) * size - 0.5, (row + 0.5) * size - 0.5)
    for wcs in (grid, WCS(header_of(grid)), WCS(grid.to_header(relax=True))):
        assert arcsec(wcs.pixel_to_world(col, row), expected).max() < 1e-3 * PIXEL
        back = wcs.world_to_pixel(expected)
        np.testing.assert_allclose(back, [col, row], atol=1e-3)


def test_the_terms_of_a_grid_grow_with_the_power_of_its_cells():
    """Of cells of 10 pixels, as the unit of A_p_q is a pixel to the power 1 - p - q."""
    of_image = distorted("SIP")
    of_grid = header_of(tile_wcs(WCS(of_image), 10))
    terms = [name for name in of_image if name.startswith(("A_", "B_", "AP_", "BP_"))]
    for name in terms:
        if not name.endswith("ORDER"):
            power = int(name[-3]) + int(name[-1]) - 1
            assert of_grid[name] == pytest.approx(of_image[name] * 10.0**power, rel=1e-12)
    of_image = distorted("TPV")
    of_grid = header_of(tile_wcs(WCS(of_image), 10))
    assert all(of_grid[name] == of_image[name] for name in of_image if name.startswith("PV"))


def test_the_area_of_a_pixel_is_that_at_its_place(tmp_path):
    """Of the terms alone: the determinant of their derivatives, in a field that is nearly flat."""
    term = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-4, "B_1_1": -1e-4}
    head = distorted("SIP", terms=term)
    for at in ("1_1", "1_2", "2_1", "2_2"):
        head[f"CD{at}"] /= 100
    image = opened(tmp_path, head)
    areas = pixel_areas(image, np.ones(SHAPE, bool), 1)
    x = np.mgrid[:NY, :NX][1]
    du = x - head["CRPIX1"] + 1
    expected = (PIXEL / 100) ** 2 * (1 + 4e-4 * du) * (1 - 1e-4 * du)
    np.testing.assert_allclose(areas, expected, rtol=1e-5)
    # B_1_1 also turns rows, which does not change the area
    assert image.pixel_scale == pytest.approx(np.sqrt(expected[NY // 2, NX // 2]), rel=1e-3)


@pytest.mark.parametrize(
    "term, is_said",
    [
        ({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 5e-4}, True),  # by 13 %
        ({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 3e-4}, False),  # by 8 %
        ({"A_ORDER": 2, "B_ORDER": 0}, False),
    ],
)
def test_pixels_that_are_far_from_those_of_the_middle_are_said(tmp_path, term, is_said):
    head = distorted("SIP", terms=term)
    head["CRPIX1"] = (NX + 1) / 2
    notes = [note for note in opened(tmp_path, head).notes if "distorted" in note]
    assert len(notes) == is_said
    if not is_said:
        return
    # along one axis: the side is the root of the area
    low, high = (PIXEL * np.sqrt(1 + 1e-3 * end) for end in (-(NX - 1) / 2, (NX - 1) / 2))
    (note,) = notes
    said = [float(word) for word in note.split() if word.replace(".", "").isdigit()]
    assert said == pytest.approx([low, high, PIXEL], rel=5e-3)


def test_far_pixels_of_a_plain_projection_are_not_said(tmp_path):
    head = distorted("TAN")
    head["CRPIX1"] = 6000.0
    assert opened(tmp_path, head).notes == ()


# --- products ---

CELLS = np.zeros((11, 13), bool)
CELLS[1:3, 1:3] = CELLS[9, 10:12] = CELLS[5, 6] = CELLS[10, 0] = CELLS[0, 12] = True


@pytest.fixture(scope="module", params=["SIP-CD", "SIP-PC", "TPV-CD", "TPV-DEGREES"])
def made(request, tmp_path_factory):
    """A distorted mosaic, its header, its products."""
    folder = tmp_path_factory.mktemp(request.param)
    head = distorted(*request.param.split("-"))
    pixels = PIXELS.copy()
    pixels[215, 263] = 1.0
    mosaic = swept(write_mosaic(folder / "a.fits", pixels, head), CELLS)
    config = Config(classify=Classify(products=ALL_PRODUCTS, compress_mask=False))
    return head, write_products(mosaic, folder, config)


def places(header, **options):
    """The coordinates of a product, read without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return WCS(header, **options)


@pytest.mark.parametrize("product", ["probability", "tiles", "mask"])
def test_products_reopen_where_the_image_lies(made, product):
    head, files = made
    cell = 40 if product in ("probability", "tiles") else 1
    x, y = np.floor(X / cell), np.floor(Y / cell)
    with fits.open(files[product]) as hdus:
        for hdu in hdus:
            wcs = places(hdu.header)
            expected = WCS(head).pixel_to_world((x + 0.5) * cell - 0.5, (y + 0.5) * cell - 0.5)
            assert arcsec(wcs.pixel_to_world(x, y), expected).max() < 1e-3 * PIXEL


def test_islands_lie_where_astropy_finds_their_pixels(made):
    head, files = made
    with fits.open(files["islands_fits"]) as hdus:
        rows = hdus[1].data
    brightest = rows[rows["flux_peak"].argmax()]
    at = SkyCoord(brightest["ra_peak"], brightest["dec_peak"], unit="deg")
    assert arcsec(at, WCS(head).pixel_to_world(263, 215)) < 1e-6 * PIXEL
    for row in rows:
        there = SkyCoord(row["ra_deg_cont"], row["dec_deg_cont"], unit="deg")
        assert arcsec(there, WCS(head).pixel_to_world(row["x_cen"], row["y_cen"])) < 1e-6 * PIXEL


def test_the_solid_angle_of_an_island_is_that_of_its_outline(made):
    """Of a polygon through many points around it, flat on the sky about its middle, to 0.1 %."""
    head, files = made
    with fits.open(files["islands_fits"]) as hdus:
        rows = hdus[1].data
    assert len(rows) == 5  # each of them a rectangle
    for row in rows:
        left, right = row["x_min"] - 0.5, row["x_max"] + 0.5
        bottom, top = row["y_min"] - 0.5, row["y_max"] + 0.5
        turns = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
        sides = [np.linspace(*ends, 50) for ends in itertools.pairwise(turns)]
        around = WCS(head).pixel_to_world(*np.concatenate(sides).T)
        middle = WCS(head).pixel_to_world((left + right) / 2, (bottom + top) / 2)
        lon, lat = (v.to_value(u.arcmin) for v in middle.spherical_offsets_to(around))
        area = abs((lon * np.roll(lat, -1) - lat * np.roll(lon, -1)).sum()) / 2
        assert row["solid_angle"] == pytest.approx(area, rel=1e-3)


def middles(cells):
    """Pixels (x, y) in the middle of cells (rows, cols), as far as these are in the image."""
    row, col = np.nonzero(cells)
    sides = ((col, NX), (row, NY))
    return [np.minimum((at + 0.5) * 40, (at * 40 + side) / 2) - 0.5 for at, side in sides]


def test_corners_of_regions_are_corners_of_cells(made):
    """On the sky as astropy has it; and the middle of each signal cell lies in a region."""
    head, files = made
    wcs, regions = WCS(head), Regions.read(files["regions"], format="ds9")
    x, y = wcs.world_to_pixel(SkyCoord(np.concatenate([region.vertices for region in regions])))
    for found, side in ((x, NX), (y, NY)):
        edges = np.minimum(np.arange(0, side + 40, 40), side) - 0.5
        assert np.abs(found[:, None] - edges).min(axis=1).max() < 1e-3
    pixels = PixCoord(*middles(CELLS))
    assert np.any([region.to_pixel(wcs).contains(pixels) for region in regions], axis=0).all()


def test_the_moc_has_signal_cells_and_no_others(made):
    head, files = made
    moc = MOC.load(files["moc"])
    for cells, inside in ((CELLS, True), (~CELLS, False)):
        found = moc.contains_skycoords(WCS(head).pixel_to_world(*middles(cells)))
        assert (found == inside).all()


@pytest.mark.parametrize("kind, order", [("SIP", "DEC RA"), ("SIP", "RA DEC"), ("TPV", "RA DEC")])
@pytest.mark.parametrize("axis", [None, 0])
def test_cubes_and_axes_in_another_order(tmp_path, kind, order, axis):
    """Products of one plane or two lie where the file's own header has them."""
    head = distorted(kind)
    if order == "DEC RA":
        for name in ("CTYPE", "CRVAL", "CUNIT"):
            head[f"{name}1"], head[f"{name}2"] = head[f"{name}2"], head[f"{name}1"]
        for part in ("_1", "_2"):
            head[f"CD1{part}"], head[f"CD2{part}"] = head[f"CD2{part}"], head[f"CD1{part}"]
    pixels = PIXELS
    if axis is not None:
        pixels = np.stack([PIXELS, PIXELS], axis)
        head.update(
            {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CD3_3": 1e7, "CRPIX3": 1.0, "CUNIT3": "Hz"}
        )
    path = write_mosaic(tmp_path / "a.fits", pixels, head)
    config = Config(classify=Classify(products=("probability", "mask"), compress_mask=False))
    files = write_products(swept(path, CELLS), tmp_path, config)
    astropy = WCS(head, naxis=2)
    found = open_mosaic(path).wcs.pixel_to_world(X, Y)
    assert arcsec(found, astropy.pixel_to_world(X, Y)).max() < 1e-6
    for product, cell in (("probability", 40), ("mask", 1)):
        x, y = np.floor(X / cell), np.floor(Y / cell)
        expected = astropy.pixel_to_world((x + 0.5) * cell - 0.5, (y + 0.5) * cell - 0.5)
        wcs = places(fits.getheader(files[product]), naxis=2)
        assert arcsec(wcs.pixel_to_world(x, y), expected).max() < 1e-3 * PIXEL


# --- what comes with an image ---


@every_kind
def test_an_array_with_coordinates_is_the_file(tmp_path, kind):
    head = distorted(kind, "CD")
    for about in (head, WCS(head)):
        array = ImageArray.of(PIXELS, about, unit="Jy/arcsec2")
        found = open_image(array).wcs.pixel_to_world(X, Y)
        assert arcsec(found, WCS(head).pixel_to_world(X, Y)).max() < 1e-6


def test_coordinates_of_a_cube_that_astropy_cannot_copy_are_refused_by_name():
    head = distorted("TPV")
    head.update({"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CD3_3": 1e7, "CRPIX3": 1.0, "CUNIT3": "Hz"})
    with pytest.raises(InputError, match="expected a FITS header, or those of two axes: WCS.head"):
        ImageArray.of(PIXELS[None], WCS(head), unit="Jy/arcsec2")
    array = ImageArray.of(PIXELS[None], WCS(head, naxis=2), unit="Jy/arcsec2")
    found = open_image(array).wcs.pixel_to_world(X, Y)
    assert arcsec(found, WCS(distorted("TPV")).pixel_to_world(X, Y)).max() < 1e-6


@every_kind
@pytest.mark.parametrize(
    "cards, refused",
    [({}, False), ({"CTYPE1": None, "CTYPE2": None}, False), ({"CRPIX1": 240.0}, True)],
)
def test_a_map_of_the_noise_lies_on_its_image(tmp_path, kind, cards, refused):
    head = distorted(kind)
    image = write_mosaic(tmp_path / "a.fits", PIXELS, head)
    for name, card in cards.items():
        head[name] = card
        if card is None:
            del head[name]
    rms = write_mosaic(tmp_path / "rms.fits", np.full(SHAPE, 1e-5), head)
    if refused:
        with pytest.raises(InputError, match="pixels beside a.fits"):
            NoiseMap.of(rms, open_mosaic(image))
    else:
        NoiseMap.of(rms, open_mosaic(image))


TNX = 'wtype=tnx axtype=ra lngcor = "3. 3. 3. 2. -3. 3. -3. 3. 1e-3 2e-3 3e-3 4e-4 5e-4 6e-4 "'


@pytest.mark.parametrize(
    "kind, cards, line",
    [
        ("SIP", {"A_ORDER": 10}, "A_ORDER is 10 in its header; expected a whole number from 0 to"),
        ("SIP", {"B_ORDER": "x"}, "B_ORDER is 'x' in its header; expected a whole number"),
        ("SIP", {"B_ORDER": None}, "no usable sky coordinates (A_ORDER provided without"),
        ("SIP", {"A_2_0": "x"}, "no usable sky coordinates (could not convert"),
        ("SIP", {"CPDIS1": "LOOKUP"}, "a distortion by tables"),
        ("TAN", {"D2IMDIS1": "LOOKUP"}, "a distortion by tables"),
        (
            "TNX",
            {"WAT0_001": "system=image", "WAT1_001": TNX[:68], "WAT1_002": TNX[68:]}
            | {"WAT2_001": TNX.replace("=ra lng", "=dec lat")[:68]}
            | {"WAT2_002": TNX.replace("=ra lng", "=dec lat")[68:]},
            "polynomials other than SIP and TPV; expected SIP, TPV, or a plain projection",
        ),
        (
            "TPV",
            {"CTYPE1": "DEC--TPV", "CTYPE2": "RA---TPV", "CRVAL1": -35.0, "CRVAL2": 150.0},
            "axes 1 and 2 are of type DEC--TPV, RA---TPV; expected TPV with the longitude first",
        ),
    ],
)
def test_other_distortions_are_refused_in_one_line(tmp_path, kind, cards, line):
    head = distorted(kind)
    for name, card in cards.items():
        head[name] = card
        if card is None:
            del head[name]
    path = write_mosaic(tmp_path / "a.fits", PIXELS, head)
    with pytest.raises(InputError) as caught:
        open_image(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and line in said and "\n" not in said


@every_kind
def test_axes_between_those_on_the_sky_are_refused(tmp_path, kind):
    head = distorted(kind)
    for one, other in (("1_2", "1_3"), ("2_1", "3_1"), ("2_2", "3_3")):
        head.rename_keyword(f"CD{one}", f"CD{other}")
    for name in ("CTYPE", "CRVAL", "CRPIX", "CUNIT"):
        head[f"{name}3"] = head[f"{name}2"]
    head.update({"CTYPE2": "FREQ", "CRVAL2": 1e9, "CRPIX2": 1.0, "CUNIT2": "Hz"})
    path = write_mosaic(tmp_path / "a.fits", PIXELS[:, None], head)
    with pytest.raises(InputError, match="axes 1 and 3 are on the sky and distorted .*; expected"):
        open_image(path)


@pytest.mark.parametrize("turn", ["CDELT", "PC", "CROTA"])
def test_terms_of_tpv_beside_cdelt_have_no_unit(tmp_path, turn):
    with pytest.raises(InputError, match="TPV, PV1_0. beside CDELT, .*; expected the matrix CD"):
        opened(tmp_path, distorted("TPV", turn))
    head = distorted("TPV", turn, terms={"PV1_1": 1.0, "PV2_1": 1.0})
    plain = WCS(distorted("TAN", turn)).pixel_to_world(X, Y)
    assert arcsec(opened(tmp_path, head).wcs.pixel_to_world(X, Y), plain).max() < 1e-6
