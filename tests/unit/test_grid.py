"""Cells, tiles and stripes cover a view once, whatever its size."""

import numpy as np
import pytest

from cosmodeep_hpc.survey.grid import CellGrid, averaged

SHAPES = [(2000, 2000), (1, 1), (39, 41), (400, 410), (1999, 121), (200, 8000)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", [40, 20, 8])
@pytest.mark.parametrize("batch", [1, 300, 10**6])
def test_stripes_hold_each_row_once(shape, stride, batch):
    grid = CellGrid(shape, 40, stride)
    stripes = grid.stripes(batch)
    cells = [row for s in stripes for row in range(s.start, s.stop)]
    tiles = [row for s in stripes for row in s.tiles]
    owned = [row for s in stripes for row in grid.pixel_rows(s)[2]]
    assert cells == list(range(grid.cells[0]))
    assert tiles == list(range(grid.tiles[0]))
    assert owned == list(range(shape[0]))
    for stripe in stripes:
        seen, rows, own = grid.pixel_rows(stripe)
        assert seen == rows  # without margins
        assert rows.start == own.start and rows.stop >= own.stop
        if stripe.tiles:  # every pixel of its tiles, as far as there are any
            assert rows.stop >= min(stripe.tiles[-1] * stride + 40, shape[0])
        assert own.start % grid.mesh_side == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", [40, 20, 8])
def test_tiles_cover_every_pixel_and_few_more(shape, stride):
    """The last tile ends at the edge or beyond it, by less than a stride where it can."""
    grid = CellGrid(shape, 40, stride)
    for length, count in zip(shape, grid.tiles, strict=True):
        end = (count - 1) * stride + 40
        assert end >= length
        assert end < length + stride or count == 1


@pytest.mark.parametrize(
    "shape, stride, block",
    [((2000, 2000), 40, 2), ((1500, 100), 40, 1), ((20000, 100), 40, 20), ((10**5, 1), 40, 40)],
)
def test_thumbnails_are_of_a_screens_size_and_of_whole_blocks_a_cell(shape, stride, block):
    grid = CellGrid(shape, 40, stride)
    assert grid.block == block and stride % block == 0


def test_averages_of_overlapping_tiles():
    """Two by two cells a tile: a corner is in one tile, the middle in four; NaN does not count."""
    tiles = np.array([[0.0, 1.0], [0.5, np.nan]], dtype=np.float32)
    found = averaged(tiles, CellGrid((60, 60), 40, 20))
    expected = [[0, 0.5, 1], [0.25, 0.5, 1], [0.5, 0.5, np.nan]]
    np.testing.assert_allclose(found, expected)
