"""Products keep the axes of the file, in its order, with their world coordinates."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.findings import rows_of, sky, swept, write_mosaic, written

from cosmodeep_hpc.products import masks, provenance
from cosmodeep_hpc.products.cube import PlaneBox, painter
from cosmodeep_hpc.survey.result import NO_DATA
from cosmodeep_hpc.tiles.preprocessing import Level

LENGTHS = {"x": 110, "y": 70, "f": 3, "s": 2}
TYPES = {
    "x": ("RA---SIN", 150.0, -9.6 / 3600, "deg"),
    "y": ("DEC--SIN", -35.0, 9.6 / 3600, "deg"),
    "f": ("FREQ", 1.4, 0.001, "GHz"),
    "s": ("STOKES", 1.0, 1.0, ""),
}


def cube_header(order, **cards):
    """A header with axes in this order, slowest first; every CRPIX is 2."""
    header = fits.Header()
    for number, axis in enumerate(reversed(order), 1):
        names = ("CTYPE", "CRVAL", "CDELT", "CUNIT")
        header.update({f"{name}{number}": v for name, v in zip(names, TYPES[axis], strict=True)})
        header[f"CRPIX{number}"] = 2.0
    plain = sky((1, 1))
    header.update({n: plain[n] for n in ("BMAJ", "BMIN", "BPA", "BUNIT", "RADESYS")})
    header.update(cards)
    return header


def swept_cube(folder, order, planes=None, **cards):
    """A swept cube whose plane of number n has signal in cell n."""
    shape = [LENGTHS[axis] for axis in order]
    count = int(np.prod([LENGTHS[axis] for axis in order if axis in "fs"]))
    path = write_mosaic(folder / "cube.fits", np.zeros(shape), cube_header(order, **cards))
    picked = list(range(count)) if planes is None else planes
    rows, cols = (2, 3) if order.index("y") < order.index("x") else (3, 2)
    signal = np.zeros((len(picked), 6), bool)
    signal[np.arange(len(picked)), picked] = True
    made = swept(path, signal.reshape(-1, rows, cols), planes=planes)
    return made, PlaneBox.of(made)


@pytest.mark.parametrize("order", ["sfyx", "fyx", "yxsf", "ysxf", "fxsy", "sxyf", "syxf"])
def test_axes_in_any_order(tmp_path, order):
    made, cube = swept_cube(tmp_path, order)
    assert cube.axes == tuple(LENGTHS[axis] for axis in order)
    grids = [plane.tiles.mask(0.5) for plane in made.planes]
    ny, nx = made.planes[0].image.shape
    painted = painter(rows_of(grids), (len(grids[0]), nx), 40, NO_DATA)
    header = cube.header(1)
    masks.write_plain(tmp_path / "m.fits", cube, header, 40, painted)
    masks.write_packed(tmp_path / "m.fits.fz", cube, header, 40, painted)
    mask = fits.getdata(tmp_path / "m.fits")
    np.testing.assert_array_equal(mask, fits.getdata(tmp_path / "m.fits.fz"))
    assert mask.shape == cube.axes
    y, x = sorted((order.index("y"), order.index("x")))
    flat = np.moveaxis(mask, (y, x), (-2, -1)).reshape(-1, ny, nx)
    coarse = np.moveaxis(cube.grids(grids, NO_DATA), (y, x), (-2, -1))
    for number, grid in enumerate(coarse.reshape(-1, *grids[0].shape)):
        assert np.flatnonzero(grid).tolist() == [number]
        expected = np.kron(grid, np.ones((40, 40), np.uint8))[:ny, :nx]
        np.testing.assert_array_equal(flat[number], expected)


@pytest.mark.parametrize(
    "axes, packed",
    [
        ((1, 1, 70, 110), (1, 70, 110)),
        ((1, 2, 70, 110), (2, 70, 110)),
        ((2, 1, 70, 110), (2, 1, 70, 110)),  # a later axis cannot go before an earlier one
        ((1, 70, 110), (1, 70, 110)),
        ((70, 110), (70, 110)),
        ((1, 70, 110, 1), (70, 110, 1)),
        ((70, 110, 1, 1), (70, 110, 1, 1)),
    ],
)
def test_packed_masks_have_three_axes_where_they_can(tmp_path, axes, packed):
    """CFITSIO, by which most programs read them, unpacks no more."""
    y = axes.index(70)
    others = [n for axis, n in enumerate(axes) if axis not in (y, y + 1)]
    places = tuple(np.ndindex(*others))
    cube = PlaneBox(axes, y, y + 1, (0,) * len(others), places, tuple(range(len(places))), None)
    grids = [np.full((2, 3), n, np.uint8) for n in range(len(places))]
    painted = painter(rows_of(grids), (2, 110), 40, NO_DATA)
    masks.write_packed(tmp_path / "a.fits.fz", cube, fits.Header(), 40, painted)
    data = fits.getdata(tmp_path / "a.fits.fz")
    assert data.shape == packed and np.unique(data).tolist() == list(range(len(places)))


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
        {"CROTA2": 25.0},
        {"CD1_1": -2e-3, "CD1_2": 1e-3, "CD2_1": 1e-3, "CD2_2": 2e-3, "CD3_3": 0.001, "CD4_4": 1.0},
    ],
)
@pytest.mark.parametrize("cell", [1, 40])
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_world_coordinates_of_all_axes(tmp_path, cards, cell):
    made, cube = swept_cube(tmp_path, "sfyx", **cards)
    source, product = WCS(fits.getheader(made.path)), WCS(cube.header(cell))
    assert product.naxis == 4
    cells = np.array([[0, 0, 0, 0], [2, 1, 2, 1], [1, 1, 1, 0]])
    pixels = cells * [cell, cell, 1, 1] + [(cell - 1) / 2, (cell - 1) / 2, 0, 0]
    there, here = product.wcs_pix2world(cells, 0), source.wcs_pix2world(pixels, 0)
    np.testing.assert_allclose(there, here, rtol=1e-10)


@pytest.mark.parametrize("order", ["yxsf", "fxsy"])
def test_world_coordinates_of_axes_in_another_order(tmp_path, order):
    made, cube = swept_cube(tmp_path, order, LONPOLE=170.0)
    source, product = WCS(fits.getheader(made.path)), WCS(cube.header(40))
    step = np.array([40 if axis in "xy" else 1 for axis in reversed(order)])
    cells = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]])
    there = product.wcs_pix2world(cells, 0)
    here = source.wcs_pix2world(cells * step + (step - 1) / 2, 0)
    np.testing.assert_allclose(there, here, rtol=1e-10)
    assert list(product.wcs.ctype) == list(source.wcs.ctype)


def test_a_picked_plane_keeps_its_axes_and_its_place_on_them(tmp_path):
    made, cube = swept_cube(tmp_path, "sfyx", planes=[5])  # Stokes 1, frequency 2
    assert cube.axes == (1, 1, 70, 110) and cube.numbers == (5,)
    header = cube.header(1)
    assert (header["CRPIX3"], header["CRPIX4"]) == (0.0, 1.0)
    world = WCS(header).wcs_pix2world([[0, 0, 0, 0]], 0)[0]
    np.testing.assert_allclose(world[2:], [1.401e9, 1.0])  # 1.4 GHz at pixel 2, so 1.401 at 3
    assert cube.frequencies() == pytest.approx([1.401e9])


def test_planes_between_those_picked_are_no_data(tmp_path):
    made, cube = swept_cube(tmp_path, "fyx", planes=[0, 2])
    grids = [plane.tiles.mask(0.5) for plane in made.planes]
    assert cube.grids(grids, NO_DATA)[:, 0].tolist() == [[1, 0, 0], [255] * 3, [0, 0, 1]]
    painted = painter(rows_of(grids), (2, 110), 40, NO_DATA)
    strips = np.concatenate(list(cube.strips(70, painted))).reshape(3, 70, 110)
    assert [np.unique(plane).tolist() for plane in strips] == [[0, 1], [255], [0, 1]]


def test_damaged_cards_of_other_axes_do_not_matter(tmp_path):
    made, cube = swept_cube(tmp_path, "fyx", CTYPE3="nonsense", CRVAL3="text", CUNIT3="furlong")
    header = cube.header(40)
    assert header["CRVAL3"] == 0.0 and header["CTYPE3"] == "nonsense"


@pytest.mark.parametrize("cell", [1, 40])
def test_blank_cards_of_the_image_are_left_out(tmp_path, cell):
    """An axis without a unit, an object without a name: as some imagers write them."""
    made, cube = swept_cube(tmp_path, "sfyx", OBJECT="", OBSERVER="  ", TELESCOP="ASKAP")
    source, header = fits.getheader(made.path), cube.header(cell)
    assert source["CUNIT4"] == source["OBJECT"] == "" and header["TELESCOP"] == "ASKAP"
    assert all(str(card.value).strip() for card in header.cards)


def test_a_plane_without_data_stops_nothing(tmp_path):
    """All of it NaN, as a flagged channel is."""
    made, _ = swept_cube(tmp_path, "fyx")
    nothing = np.full((2, 3), np.nan, np.float32)
    none = replace(
        made.planes[0],
        tiles=replace(made.planes[0].tiles, probability=nothing, noise=nothing),
        thumbnail=np.full((70, 110), np.nan, np.float32),
        level=Level(low=np.nan, high=np.nan, sigma=np.nan),
    )
    for planes, count in (((none, *made.planes[1:]), 2), ((none,), 0)):
        some = replace(made, planes=planes)
        files = written(some, tmp_path)
        assert len(fits.getdata(files["islands_fits"])) == count
        assert (fits.getdata(files["mask"])[0] == 255).all()
        text = (tmp_path / "cube.json").read_text()
        record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert record["planes"][0]["level"] == {"low": None, "high": None, "sigma": None}


def test_products_of_a_cube(tmp_path):
    """Every product says which plane, or holds all of them."""
    import h5py
    from regions import Regions

    made, _ = swept_cube(tmp_path, "fyx")
    files = written(made, tmp_path)
    for kind, shape in (
        ("probability", (3, 2, 3)),
        ("tiles", (3, 2, 3)),
        ("mask", (3, 70, 110)),
    ):
        assert fits.getdata(files[kind]).shape == shape
    table = fits.getdata(files["islands_fits"])
    assert table["plane"].tolist() == [0, 1, 2] and table["number"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table["freq"], [1399.0, 1400.0, 1401.0])
    with h5py.File(files["hdf5"]) as file:
        assert file["probability"].shape == (3, 2, 3)
        assert [np.unique(plane).tolist() for plane in file["islands"]] == [[0, 1], [0, 2], [0, 3]]
    drawn = Regions.read(files["regions"], format="ds9")
    assert [region.meta["text"].split()[-2:] for region in drawn] == [
        ["plane", "0"],
        ["plane", "1"],
        ["plane", "2"],
    ]


def test_regions_and_catalogue_name_the_same_plane(tmp_path):
    """Of planes that were picked, the number in the file, not that among the picked ones."""
    made, _ = swept_cube(tmp_path, "fyx", planes=[1, 2])
    files = written(made, tmp_path)
    assert fits.getdata(files["islands_fits"])["plane"].tolist() == [1, 2]
    for kind in ("regions", "regions_casa"):
        text = files[kind].read_text()
        assert [f"plane {n}" in text for n in (0, 1, 2)] == [False, True, True]


@pytest.mark.parametrize(
    "noted, told",
    [
        ([0, 1, 2, 3, 4, 5], "too bright"),
        ([4], "plane 4: too bright"),
        ([0, 1, 3], "planes 0, 1, 3: too bright"),
        ([0, 2, 3, 4, 5], "planes 0, 2 to 5: too bright"),
    ],
)
def test_notes_of_some_planes_name_them(tmp_path, noted, told):
    made, cube = swept_cube(tmp_path, "sfyx")
    planes = [
        replace(plane, notes=("of all", *["too bright"] * (number in noted)))
        for number, plane in zip(cube.numbers, made.planes, strict=True)
    ]
    assert provenance.notes(replace(made, planes=tuple(planes))) == ["of all", told]


def test_notes_name_planes_by_their_numbers_in_the_file(tmp_path):
    made, _ = swept_cube(tmp_path, "fyx", planes=[0, 2])
    planes = made.planes[0], replace(made.planes[1], notes=("too bright",))
    assert provenance.notes(replace(made, planes=planes))[-1] == "plane 2: too bright"
