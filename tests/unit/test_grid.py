"""Cells, tiles and stripes cover a view once, whatever its size."""

import math

import numpy as np
import pytest

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.survey.grid import CellGrid, averaged
from cosmodeep_hpc.survey.scales import FACTORS, WIDE, Scale

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
        assert own.start % grid.scales[0].mesh_side == 0


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


MAPS = [(2000, 2000), (1, 1), (39, 41), (1999, 121), (200, 8000), (5121, 3)]


def mapped(shape, size=40, scales=3, width=1.0):
    beam = None if width is None else Beam(width, width)
    return CellGrid(shape, size, size, margin=16, beam=beam, finest=2, n_scales=scales)


@pytest.mark.parametrize("shape", MAPS)
@pytest.mark.parametrize("map_rows", [1, 700, 1280, 10**6])
@pytest.mark.parametrize("size, scales, width", [(40, 3, 1.0), (40, 1, None), (16, 2, 9.0)])
def test_stripes_of_a_map_hold_each_row_once(shape, map_rows, size, scales, width):
    grid = mapped(shape, size, scales, width)
    stripes = grid.stripes(500, map_rows)
    assert [row for s in stripes for row in range(s.start, s.stop)] == list(range(grid.cells[0]))
    assert [row for s in stripes for row in s.tiles] == list(range(grid.tiles[0]))
    assert [row for s in stripes for row in grid.map_rows(s)] == list(range(grid.map_shape[0]))
    assert grid.map_shape == (-(-shape[0] // 2), -(-shape[1] // 2))
    for stripe in stripes:
        seen, tiles, own = grid.pixel_rows(stripe)
        assert tiles == own and seen.start % 4 == 0  # whole pixels of the coarsest scale
        for scale in grid.scales:
            assert own.start % (scale.mesh_side * scale.factor) == 0  # whole cells of the noise
            shown = scale.seen_rows(own)
            assert seen.start <= max(shown.start, 0) * scale.factor
            assert seen.stop >= min(shown.stop * scale.factor, shape[0])


@pytest.mark.parametrize("size", [16, 40, 24])
@pytest.mark.parametrize("length", [1, 640, 641, 1280, 2561, 5000, 20_000])
@pytest.mark.parametrize("cores", [1, 2, 16])
def test_blocks_of_columns_begin_with_tiles_and_patches(length, size, cores):
    """There are enough for all cores, as far as they are not too narrow."""
    for scale in Scale.all_of((size, length), size, None):
        parts = scale.blocks(cores)
        assert [col for part in parts for col in part] == list(range(scale.whole[1]))
        assert all(part.start % size == part.start % 32 == 0 for part in parts)
        most = WIDE if scale.whole[1] > 2 * WIDE else 2 * WIDE
        assert max(map(len, parts)) <= most
        unit = math.lcm(size, 32)
        by_cores = min(cores, scale.whole[1] // 1280)
        enough = max(-(-scale.whole[1] // (most // unit * unit)), by_cores)
        assert enough <= len(parts) <= max(enough, scale.whole[1] // 600)


@pytest.mark.parametrize("shape", MAPS)
def test_scales_cover_the_view(shape):
    """Each has all of it, cut at the edge, and its beam in its own pixels."""
    for scale, factor in zip(mapped(shape, width=6.0).scales, FACTORS, strict=True):
        assert scale.factor == factor and scale.beam == Beam(6.0 / factor, 6.0 / factor)
        for axis in (0, 1):
            assert scale.shape[axis] == -(-shape[axis] // factor)
            assert scale.whole[axis] % 40 == 0 and 0 <= scale.whole[axis] - scale.shape[axis] < 40
        rows = scale.rows(range(shape[0]))
        assert rows.start == 0 and scale.whole[0] >= rows.stop >= scale.shape[0]


def test_averages_of_overlapping_tiles():
    """Two by two cells a tile: a corner is in one tile, the middle in four; NaN does not count."""
    tiles = np.array([[0.0, 1.0], [0.5, np.nan]], dtype=np.float32)
    found = averaged(tiles, CellGrid((60, 60), 40, 20))
    expected = [[0, 0.5, 1], [0.25, 0.5, 1], [0.5, 0.5, np.nan]]
    np.testing.assert_allclose(found, expected)
