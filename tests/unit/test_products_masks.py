"""Masks are written strip by strip: right for every shape, and in little memory."""

import numpy as np
import pytest
from astropy.io import fits
from support.findings import rows_of
from support.memory import peak_memory

from cosmodeep_hpc.products import masks
from cosmodeep_hpc.products.cube import PlaneBox, painter
from cosmodeep_hpc.survey.result import NO_DATA

WRITERS = {"plain": masks.write_plain, "packed": masks.write_packed}


def cube(ny, nx):
    return PlaneBox(axes=(ny, nx), y=0, x=1, first=(), places=((),), numbers=(0,), image=None)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    "shape, cell, rows",
    [
        ((80, 120), 40, 40),
        ((90, 130), 40, 40),  # cells cut at both edges
        ((90, 130), 40, 7),  # strips that are no whole cells
        ((90, 130), 40, 90),
        ((1, 5), 40, 1),
        ((50, 50), 17, 34),
    ],
)
def test_a_mask_is_its_cells(tmp_path, writer, shape, cell, rows):
    grid = np.random.default_rng(1).choice([0, 1, 255], [-(-n // cell) for n in shape])
    grid = grid.astype(np.uint8)
    path = tmp_path / "mask.fits"
    painted = painter(rows_of([grid]), (len(grid), shape[1]), cell, NO_DATA)
    cards = fits.Header({"OBJECT": "test"})
    WRITERS[writer](path, cube(*shape), cards, rows, painted)
    with fits.open(path) as file:
        hdu = file[0 if writer == "plain" else 1]
        assert hdu.data.dtype == np.uint8 and hdu.header["OBJECT"] == "test"
        expected = np.kron(grid, np.ones((cell, cell), np.uint8))[: shape[0], : shape[1]]
        np.testing.assert_array_equal(hdu.data, expected)
    assert path.stat().st_size % 2880 == 0
    with fits.open(path) as file:
        file.verify("exception")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("planes", [1, 2])
def test_each_row_is_painted_once(tmp_path, writer, planes):
    """What is painted may be measured meanwhile; a plane of three that was not swept is not."""
    places = tuple((place,) for place in (0, 2)[:planes])
    cube = PlaneBox((3, 50, 60), 1, 2, (0,), places, tuple(range(planes)), image=None)
    asked = []

    def paint(plane, start, stop):
        asked.extend((plane, row) for row in range(start, stop))
        return np.ones((stop - start, 60), np.uint8)

    WRITERS[writer](tmp_path / "mask.fits", cube, fits.Header(), 20, paint)
    assert asked == [(plane, row) for plane in range(planes) for row in range(50)]
    mask = fits.getdata(tmp_path / "mask.fits")
    assert [np.unique(plane).tolist() for plane in mask] == [[1], [255], [1, 255][2 - planes :][:1]]


def test_a_packed_mask_can_be_read_in_parts(tmp_path):
    grid = np.arange(12, dtype=np.uint8).reshape(3, 4)
    painted = painter(rows_of([grid]), (3, 160), 40, NO_DATA)
    masks.write_packed(tmp_path / "a.fits.fz", cube(120, 160), fits.Header(), 40, painted)
    with fits.open(tmp_path / "a.fits.fz") as file:
        np.testing.assert_array_equal(file[1].section[39:41, 79:81], [[1, 2], [5, 6]])


@pytest.mark.parametrize("writer", WRITERS)
def test_memory_does_not_grow_with_the_mosaic(tmp_path, writer):
    """A mask of 400 million pixels in 16 MiB."""
    grid = np.zeros((500, 500), np.uint8)
    grid[100, 200] = 1
    whole = cube(20_000, 20_000)
    rows = whole.height(40)
    painted = painter(rows_of([grid]), (500, 20_000), 40, NO_DATA)
    with peak_memory() as peak:
        WRITERS[writer](tmp_path / "mask.fits", whole, fits.Header(), rows, painted)
    assert peak[0] < 16 * 2**20
    with fits.open(tmp_path / "mask.fits") as file:
        assert file[-1].shape == (20_000, 20_000)
        corner = file[-1].section[3999:4001, 7999:8001]
        np.testing.assert_array_equal(corner, [[0, 0], [0, 1]])


@pytest.mark.parametrize(
    "shape, cell, rows",
    [
        ((100_000, 100_000), 40, 40),
        ((2000, 2000), 40, 1000),  # at most 1024, in whole cells
        ((4000, 100_000), 400, 41),  # a cell is too much: a part of it
        ((100, 100), 40, 100),
        ((10, 10**8), 40, 1),
    ],
)
def test_height_of_strips(shape, cell, rows):
    assert cube(*shape).height(cell) == rows
