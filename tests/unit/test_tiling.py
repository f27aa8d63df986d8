"""The tile grid: nothing is lost, moved or invented, and it lies where the image lies."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from support.fields import header

from cosmodeep_hpc.tiles.tiling import coverage, cut, grid_shape, paint, tile_wcs


@pytest.mark.parametrize(
    "shape, size, grid",
    [
        ((2000, 2000), 40, (50, 50)),  # the paper's 2500 tiles
        ((80, 40), 40, (2, 1)),
        ((81, 79), 40, (3, 2)),
        ((39, 39), 40, (1, 1)),
        ((1, 41), 40, (1, 2)),
    ],
)
def test_grid_shape(shape, size, grid):
    assert grid_shape(shape, size) == grid


def test_cut_by_hand():
    pixels = np.arange(24, dtype=np.float32).reshape(4, 6)
    tiles = cut(pixels, 2)
    assert tiles.shape == (2, 3, 2, 2)
    assert tiles[0, 0].tolist() == [[0, 1], [6, 7]]
    assert tiles[1, 2].tolist() == [[16, 17], [22, 23]]


@pytest.mark.parametrize("shape", [(5, 7), (6, 9), (2, 3), (13, 4), (1, 1)])
def test_every_pixel_is_in_its_tile(shape):
    """Tile (row, col) holds pixel [row * 3 + y, col * 3 + x]; what is beyond the image is NaN."""
    pixels = np.arange(1, 1 + shape[0] * shape[1], dtype=np.float32).reshape(shape)
    tiles = cut(pixels, 3)
    for row, col, y, x in np.ndindex(tiles.shape):
        at = (row * 3 + y, col * 3 + x)
        inside = at[0] < shape[0] and at[1] < shape[1]
        value = tiles[row, col, y, x]
        assert value == pixels[at] if inside else np.isnan(value)


@pytest.mark.parametrize("shape", [(5, 7), (6, 9), (1, 1)])
@pytest.mark.parametrize("margin", [1, 4])
def test_every_pixel_around_a_tile_is_in_its_window(shape, margin):
    pixels = np.arange(1, 1 + shape[0] * shape[1], dtype=np.float32).reshape(shape)
    windows = cut(pixels, 3, margin)
    assert windows.shape == (*grid_shape(shape, 3), 3 + 2 * margin, 3 + 2 * margin)
    for row, col, y, x in np.ndindex(windows.shape):
        at = (row * 3 + y - margin, col * 3 + x - margin)
        inside = 0 <= at[0] < shape[0] and 0 <= at[1] < shape[1]
        value = windows[row, col, y, x]
        assert value == pixels[at] if inside else np.isnan(value)
    own = windows[:, :, margin:-margin, margin:-margin]
    np.testing.assert_array_equal(own, cut(pixels, 3))


def test_cut_is_a_copy():
    pixels = np.zeros((4, 4), np.float32)
    cut(pixels, 2)[:] = 1
    assert pixels.sum() == 0


def test_coverage():
    tiles = np.ones((2, 1, 4, 4), np.float32)
    tiles[1, 0, 0, :3] = [np.nan, np.inf, np.nan]
    assert coverage(tiles).tolist() == [[1], [13 / 16]]


def test_coverage_of_tiles_whose_sum_is_no_number():
    """Finite pixels that add up to more than a float32 holds are data; infinities are none."""
    tiles = np.full((4, 2, 2), 3e38, np.float32)
    tiles[1, 0] = [np.inf, -np.inf]
    tiles[2] = np.nan
    tiles[3, 1, 1] = np.inf
    assert coverage(tiles).tolist() == [1, 0.5, 0, 0.75]


@pytest.mark.parametrize("shape", [(80, 120), (81, 119), (3, 500)])
def test_painted_tiles_cut_again(shape):
    grid = grid_shape(shape, 40)
    values = np.arange(grid[0] * grid[1], dtype=np.float32).reshape(grid)
    pixels = paint(values, shape, 40)
    assert pixels.shape == shape
    tiles = cut(pixels, 40)
    np.testing.assert_array_equal(np.nanmin(tiles, axis=(2, 3)), values)
    np.testing.assert_array_equal(np.nanmax(tiles, axis=(2, 3)), values)


def turned(shape, angle, kind):
    """A header turned by `angle` [deg], as a PC or a CD matrix."""
    head, scale = header(shape), 9.6 / 3600
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    if kind == "PC":
        matrix = [[c, -s], [s, c]]
    else:
        del head["CDELT1"], head["CDELT2"]
        matrix = [[-scale * c, scale * s], [scale * s, scale * c]]
    for i, j in np.ndindex(2, 2):
        head[f"{kind}{i + 1}_{j + 1}"] = matrix[i][j]
    return head


@pytest.mark.parametrize("shape", [(2000, 2000), (1001, 777), (39, 4000)])
@pytest.mark.parametrize("size", [1, 8, 40, 41])
@pytest.mark.parametrize("kind", ["CDELT", "PC", "CD"])
def test_a_tile_lies_where_its_pixels_lie(shape, size, kind):
    """The sky position of a tile's centre is that of the image's pixel there, to 1e-6 pixel."""
    image = WCS(header(shape) if kind == "CDELT" else turned(shape, 25.0, kind))
    grid = tile_wcs(image, size)
    rows, cols = grid_shape(shape, size)
    row, col = np.array([0, 0, rows - 1, rows - 1, rows // 2]), np.array([0, cols - 1] * 2 + [0])
    found = SkyCoord(*grid.pixel_to_world_values(col, row), unit="deg")
    centre = (col * size + (size - 1) / 2, row * size + (size - 1) / 2)
    expected = SkyCoord(*image.pixel_to_world_values(*centre), unit="deg")
    assert found.separation(expected).arcsec.max() < 9.6e-6
    assert grid.pixel_shape is None or grid.pixel_shape == (cols, rows)


def test_the_grid_survives_a_header():
    grid = tile_wcs(WCS(turned((800, 800), 25.0, "CD")), 40)
    again = WCS(grid.to_header())
    x = np.array([0.0, 19.0])
    np.testing.assert_allclose(
        again.pixel_to_world_values(x, x), grid.pixel_to_world_values(x, x), atol=1e-9
    )


def test_the_image_keeps_its_own_coordinates():
    image = WCS(header((800, 800)))
    tile_wcs(image, 40)
    assert image.wcs.crpix.tolist() == [400.5, 400.5]
