"""Counts networks over blocks of an image: the same bits whatever the blocks; Keras' numbers."""

import pickle

import numpy as np
import pytest
from support.models import counts_network

from cosmodeep_hpc.engine import archive
from cosmodeep_hpc.engine.blocks import EDGE, LOGITS, STEP, TILES, Block, BlocksOnCores, seen
from cosmodeep_hpc.engine.blocksbykeras import BlocksByKeras
from cosmodeep_hpc.engine.enlarged import Frame
from cosmodeep_hpc.engine.graph import UnknownLayer
from cosmodeep_hpc.engine.network import OnCores

SHAPE = (480, 640)
"""Of the image: 12 x 16 tiles of 40 pixels."""


def graph_of(folder, *shape, **words):
    """The network of a counts model that has these sizes."""
    path = folder / "model.keras"
    counts_network(*shape, **words).save(path)
    return archive.read(path)


def block(image, rows, cols, *, tiles=False):
    """What a network is shown for rows and columns of an image that has `EDGE` pixels around."""
    shape = [side - 2 * EDGE for side in image.shape]
    down, across = (seen(part, side) for part, side in zip((rows, cols), shape, strict=True))
    window = image[down.start + EDGE : down.stop + EDGE, across.start + EDGE : across.stop + EDGE]
    place = rows.start - down.start, cols.start - across.start
    return Block(window, Frame(window.shape, *place, len(rows), len(cols)), tiles)


@pytest.fixture(scope="module")
def image():
    """An image with what is seen beyond its edges; a bright source at a corner of blocks."""
    made = np.random.default_rng(1).normal(size=[side + 2 * EDGE for side in SHAPE]).astype("f")
    made[EDGE + 318 : EDGE + 323, EDGE + 318 : EDGE + 323] += 30
    return made


NETWORKS = {
    "shipped": (40, 16, 4, 3, 16),  # as the models that ship
    "shallow": (40, 8, 2, 2, 16),
    "narrow": (40, 16, 1, 3, 4),
    "wide": (40, 8, 2, 3, 24),
    "odd": (40, 16, 2, 2, 20),
}


@pytest.fixture(scope="module", params=NETWORKS)
def graph(request, tf, tmp_path_factory):
    return graph_of(tmp_path_factory.mktemp(request.param), *NETWORKS[request.param])


@pytest.fixture(scope="module")
def whole(graph, image):
    """What the network says of the image in one block."""
    (found,) = BlocksOnCores(graph, 1)([block(image, *map(range, SHAPE), tiles=True)])
    assert found.logits.shape == (240, 320, len(found.logits[0, 0])) and found.logits.std() > 1e-3
    return found


@pytest.mark.parametrize(
    "rows, cols",
    [
        (range(0, 480), range(0, 640)),
        (range(0, 8), range(0, 8)),
        (range(32, 104), range(96, 640)),
        (range(320, 480), range(320, 328)),  # the bright source at its corner
        (range(288, 328), range(0, 320)),
        (range(448, 480), range(608, 640)),  # the last ones
        (range(416, 472), range(32, 40)),
        (range(0, 480), range(64, 160)),
        (range(24, 104), range(312, 448)),  # at multiples of 8, as those of coarser scales
        (range(88, 176), range(8, 632)),
        (range(304, 480), range(176, 192)),
    ],
)
def test_a_pixel_has_the_same_bits_in_blocks_of_any_place_and_size(graph, whole, image, rows, cols):
    (found,) = BlocksOnCores(graph, 1)([block(image, rows, cols)])
    expected = whole.logits[rows.start // 2 : rows.stop // 2, cols.start // 2 : cols.stop // 2]
    np.testing.assert_array_equal(found.logits, expected)
    assert found.tiles is None


@pytest.mark.parametrize("top, left", [(0, 0), (160, 160), (320, 480), (160, 0)])
@pytest.mark.parametrize("rows, cols", [(1, 1), (2, 3), (4, 4)])
def test_a_tile_has_the_same_bits_in_blocks_of_any_place_and_size(
    graph, whole, image, top, left, rows, cols
):
    """Blocks with tiles begin at multiples of 32 that are whole tiles."""
    part = block(image, range(top, top + 40 * rows), range(left, left + 40 * cols), tiles=True)
    (found,) = BlocksOnCores(graph, 1)([part])
    of_all = whole.tiles.reshape(12, 16, *whole.tiles.shape[1:])
    expected = of_all[top // 40 : top // 40 + rows, left // 40 : left // 40 + cols]
    np.testing.assert_array_equal(found.tiles, expected.reshape(found.tiles.shape))


def test_neighbouring_blocks_make_the_map_of_all(graph, whole, image):
    """Blocks of 160, and of 96 pixels; 480 and 640 are no multiples of 96."""
    network = BlocksOnCores(graph, 2)
    for side in (160, 96):
        starts = [(y, x) for y in range(0, SHAPE[0], side) for x in range(0, SHAPE[1], side)]
        ends = [(min(y + side, SHAPE[0]), min(x + side, SHAPE[1])) for y, x in starts]
        parts = [
            block(image, range(y, end_y), range(x, end_x))
            for (y, x), (end_y, end_x) in zip(starts, ends, strict=True)
        ]
        joined = np.full_like(whole.logits, np.nan)
        for (y, x), found in zip(starts, network(parts), strict=True):
            into = joined[y // 2 :, x // 2 :]
            into[: found.logits.shape[0], : found.logits.shape[1]] = found.logits
        np.testing.assert_array_equal(joined, whole.logits)


def test_a_window_of_one_tile_is_computed_as_the_tile_is(graph):
    """The network of tiles itself: other programs, so within rounding."""
    tiles = np.random.default_rng(2).normal(size=(3, graph.side, graph.side)).astype("f")
    margin = (graph.side - 40) // 2
    frame = Frame((graph.side, graph.side), margin, margin, 40, 40)
    found = BlocksOnCores(graph, 1)([Block(tile, frame, tiles=True) for tile in tiles])
    logits, counts = OnCores(graph, 1, [LOGITS, TILES]).outputs(tiles)
    for number, one in enumerate(found):
        np.testing.assert_allclose(one.logits, logits[number], rtol=0, atol=1e-5)
        np.testing.assert_allclose(one.tiles[0], counts[number], rtol=0, atol=1e-5)


def test_keras_gives_the_same_numbers(graph, image):
    import keras

    parts = [
        block(image, range(160, 240), range(320, 480), tiles=True),
        block(image, range(448, 480), range(0, 96)),
    ]
    found, twin = BlocksOnCores(graph, 1)(parts), BlocksByKeras(graph, keras)(parts)
    for one, other in zip(found, twin, strict=True):
        scale = max(1.0, float(np.abs(other.logits).max()))
        np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(found[0].tiles, twin[0].tiles, rtol=0, atol=1e-5)
    assert found[1].tiles is None and twin[1].tiles is None


@pytest.fixture(scope="module")
def small(tf, tmp_path_factory):
    return graph_of(tmp_path_factory.mktemp("small"), width=8, size=40, margin=16)


@pytest.fixture(scope="module")
def parts(image):
    """Blocks of several shapes, with and without tiles."""
    places = [
        (range(0, 160), range(0, 160), True),
        (range(32, 64), range(64, 128), False),
        (range(0, 480), range(160, 320), True),
        (range(160, 200), range(320, 400), True),
        (range(256, 480), range(0, 64), False),
    ]
    return [block(image, rows, cols, tiles=tiles) for rows, cols, tiles in places]


def alone(graph, part):
    """What a network says that has seen nothing before."""
    return BlocksOnCores(graph, 1)([part])[0]


def same(one, other):
    np.testing.assert_array_equal(one.logits, other.logits)
    if one.tiles is None or other.tiles is None:
        assert one.tiles is other.tiles
    else:
        np.testing.assert_array_equal(one.tiles, other.tiles)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_bits_on_any_number_of_threads_and_in_the_order_asked(small, parts, threads):
    network = BlocksOnCores(small, threads)
    for found, part in zip(network(parts), parts, strict=True):
        same(found, alone(small, part))
    for found, part in zip(network(parts[::-1]), parts[::-1], strict=True):
        same(found, alone(small, part))


def test_blocks_of_other_shapes_before_leave_no_trace(small, parts):
    """Memory is used again, by larger blocks and by smaller ones."""
    network = BlocksOnCores(small, 1)
    for number in (2, 1, 0, 4, 1, 3, 2, 1):
        same(network([parts[number]])[0], alone(small, parts[number]))


def test_a_block_is_not_changed_and_may_be_a_part_of_an_array(small, image):
    before = image.copy()
    part = block(image, range(160, 200), range(160, 240))
    assert not part.window.flags.c_contiguous
    same(alone(small, part), alone(small, Block(part.window.copy(), part.frame, part.tiles)))
    np.testing.assert_array_equal(image, before)


def test_a_network_that_was_sent_to_another_process_gives_the_same(small, parts):
    network = BlocksOnCores(small, 2)
    expected = network(parts)
    sent = pickle.loads(pickle.dumps(network))
    assert (sent.tile, sent.finest) == (network.tile, network.finest) == (40, 2)
    for one, other in zip(sent(parts), expected, strict=True):
        same(one, other)


@pytest.mark.parametrize("length", [40, 200, 480, 1000])
def test_what_is_seen_of_a_block_is_all_that_it_depends_on(length):
    """At least the 35 pixels that it sees, in the phase of the first pixel, and no more than is."""
    for start in range(0, length, 8):
        for stop in (start + 8, min(start + 320, length)):
            window = seen(range(start, stop), length)
            assert window.start == max(-EDGE, window.start) and window.stop <= length + EDGE
            assert window.start <= start - 35 and window.stop >= min(stop, length) + 35
            assert (window.start + EDGE) % STEP == 0


def test_a_network_without_margins_has_no_map(tf, tmp_path):
    """Its convolutions have zeros around each tile: there is no image that goes on."""
    with pytest.raises(UnknownLayer, match="0 layers that cut margins, where one is expected"):
        BlocksOnCores(graph_of(tmp_path, 40, 0), 1)
