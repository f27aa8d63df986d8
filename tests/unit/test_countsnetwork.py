"""The counts network and its gradient against numpy and TensorFlow's own operations."""

import numpy as np
import pytest

from cosmodeep_hpc.config.learn import LEVELS, Model, levels
from cosmodeep_hpc.config.tiles import Tiles
from cosmodeep_hpc.engine import archive
from cosmodeep_hpc.learn import countsnetwork
from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.batch import CountsBatch
from cosmodeep_hpc.learn.countsgradient import PIXELS, TOGETHER, of_pixels
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.paper import architecture

pytestmark = pytest.mark.usefixtures("tf")
TILES = Tiles(size=12, margin=4, thresholds=(1e-7, 1e-8))


def fresh(seed=1, **words):
    return countsnetwork.build(Model(width=4), TILES, seed, **words)


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(2)
    tiles = random.normal(size=(13, 20, 20)).astype(np.float32)
    exceeded = random.integers(0, 4, (13, 12, 12), dtype=np.uint8)
    counts = np.stack([(exceeded >> k & 1).sum(axis=(1, 2)) for k in range(2)], axis=1)
    return tiles, counts.astype(np.uint16), exceeded


@pytest.mark.parametrize(
    "depth, parameters", [(2, 150_656), (3, 150_656 + 9 * 2 * 48**2 + 48**2 + 3 * 48)]
)
def test_its_size(depth, parameters):
    net = countsnetwork.build(Model(depth=depth), Tiles(margin=8 * (depth - 1)), 1)
    assert net.count_params() == parameters
    assert [tuple(shape[1:]) for shape in net.output_shape] == [(4, len(LEVELS)), (20, 20, 4)]
    assert levels(20)[-1] == 200 and levels(9)[-1] == 80


@pytest.mark.parametrize("margin", [0, 2, 4, 8])
def test_pixels_are_those_of_the_tile(margin):
    """What changes in a corner of the tile changes there, and at the edge of the window no more.

    Each output pixel sees 13 pixels around it, at most: 1 at full resolution, 3 x 2 at half, and
    2 x 4 at a quarter, rounded up to whole ones.
    """
    size = 40 if margin % 4 == 0 else 40 + 2 * (margin % 4) - 4
    tiles = Tiles(size=size, margin=margin)
    net = countsnetwork.build(Model(width=4), tiles, 1)
    image = np.random.default_rng(1).normal(size=(1, tiles.window, tiles.window, 1)).astype("f")
    other = image.copy()
    other[0, margin, margin] += 3
    a, b = (np.asarray(net(x)[1])[0] for x in (image, other))
    changed = np.argwhere((a != b).any(axis=-1))
    assert a.shape == (size // 2, size // 2, 4)
    assert [0, 0] in changed.tolist() and changed.max() <= 8
    if margin:
        edge = image.copy()
        edge[0, 0, 0] += 3
        near = np.argwhere((np.asarray(net(edge)[1])[0] != a).any(axis=-1))
        assert len(near) < len(changed)


def test_how_far_it_sees():
    """With three halvings 29 pixels around: 1, 2, 2 x 4, 2 x 8 and 2, rounded up to whole ones."""
    tiles = Tiles(size=80, margin=0)
    image = np.random.default_rng(1).normal(size=(1, 80, 80, 1)).astype("f")
    other = image.copy()
    other[0, 32, 40] += 3  # (16, 20) of the pixels' maps
    reach = []
    for depth in (2, 3):
        net = countsnetwork.build(Model(width=4, depth=depth), tiles, 1)
        a, b = (np.asarray(net(x)[1])[0] for x in (image, other))
        changed = np.argwhere((a != b).any(axis=-1))
        reach.append(2 * (16 - changed[:, 0].min()))
    assert reach[0] <= 16 and 24 <= reach[1] <= 36


def test_targets_by_hand(tf):
    """2 x 2 pixels, of which one exceeds both thresholds and two the second."""
    exceeded = np.zeros((2, 4, 4), np.uint8)
    exceeded[0, 0, 1], exceeded[0, 1, 0], exceeded[0, 1, 1] = 3, 2, 2
    exceeded[1, 2, 2] = 1
    found = of_pixels(tf, tf.constant(exceeded), tf.constant([1, 2], tf.uint8)).numpy()
    expected = np.zeros((2, 2, 2, 2), np.float32)
    expected[0, 0, 0] = 0.25, 0.75
    expected[1, 1, 1] = 0.25, 0
    np.testing.assert_array_equal(found, expected)


def batch_of(tiles, counts, exceeded):
    return CountsBatch(tiles=tiles, counts=counts, exceeded=exceeded)


def loss_by_hand(net, tiles, counts, exceeded):
    """Cross-entropy of the probabilities in float64: (n,), and the share that is right."""
    given, pixels = (np.asarray(out, np.float64) for out in net(tiles[..., np.newaxis]))
    more = counts[:, :, np.newaxis] > np.array(levels(12))  # exactly so many are not more
    bits = np.stack([exceeded >> k & 1 for k in range(2)], axis=-1).astype(float)
    shares = (bits[:, ::2] + bits[:, 1::2])[:, :, ::2] + (bits[:, ::2] + bits[:, 1::2])[:, :, 1::2]

    def entropy(p, target):
        return -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean(
            axis=(1, 2, 3)[: p.ndim - 1]
        )

    right = ((given > 0.5) == more).mean(axis=(1, 2))
    return entropy(given, more) + PIXELS * entropy(pixels, shares / 4), right


def test_loss_by_hand(tf, world, data):
    net = fresh()
    loss, right, _ = Step(tf, net, 1e-3, Allreduce(world)).train(batch_of(*data), 13)
    losses, rights = loss_by_hand(fresh(), *data)
    assert loss == pytest.approx(losses.sum(), rel=1e-5)
    assert right == pytest.approx(rights.sum(), rel=1e-6)


def test_gradient_is_the_slope_of_the_loss(tf, world, data):
    """Along a direction, by central differences of the loss by hand."""
    net = fresh()
    step = Step(tf, net, 1e-3, Allreduce(world))
    (row,) = step._gradient.rows(batch_of(*data))
    row = row.numpy()[:-2].astype(np.float64)
    direction = row / np.linalg.norm(row)
    parts = np.split(direction, np.cumsum([np.prod(v.shape) for v in net.trainable_variables])[:-1])
    start, ends = net.get_weights(), []
    for way in (1e-3, -1e-3):
        net.set_weights([w + way * p.reshape(w.shape) for w, p in zip(start, parts, strict=True)])
        ends.append(loss_by_hand(net, *data)[0].sum())
    assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(row @ direction, rel=2e-3)


def test_parts_of_a_batch_add_up(tf, world, data):
    step = Step(tf, fresh(), 1e-3, Allreduce(world))
    (whole,) = step._gradient.rows(batch_of(*data))
    parts = [
        next(step._gradient.rows(batch_of(*(x[rows] for x in data)))).numpy()
        for rows in (slice(0, 2), slice(2, 13))
    ]
    np.testing.assert_allclose(sum(parts), whole.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options, tolerance",
    [({"xla": True}, 1e-4), ({"precision": "bfloat16"}, 0.1), ({"precision": "float16"}, 0.02)],
)
def test_other_ways_to_compute_the_step(tf, world, data, options, tolerance):
    rows = {}
    for name, words in (("plain", {}), ("other", options)):
        net = fresh()
        step = Step(tf, net, 1e-3, Allreduce(world), **words)
        (row,) = step._gradient.rows(batch_of(*data))
        rows[name] = row.numpy()[:-2] / float(step._scale.up(tf.constant(1.0)))
        before = net.get_weights()
        assert np.isfinite(step.train(batch_of(*data), 13)[0])
        assert any((a != b).any() for a, b in zip(before, net.get_weights(), strict=True))
        assert all(w.dtype == np.float32 for w in net.get_weights())
    apart = np.linalg.norm(rows["other"] - rows["plain"]) / np.linalg.norm(rows["plain"])
    assert 0 < apart < tolerance


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_changes_nothing(tf, world, data, value):
    net = fresh()
    step = Step(tf, net, 1e-3, Allreduce(world))
    before = net.get_weights()
    tiles = data[0].copy()
    tiles[3, 9, 9] = value
    assert not np.isfinite(step.train(batch_of(tiles, *data[1:]), 13)[0])
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_tile_has_the_same_bits_whatever_lies_beside_it(tf, world):
    """In validation; and those of the Keras model, to rounding."""
    net = fresh(3)
    tiles = np.random.default_rng(5).normal(size=(TOGETHER + 9, 20, 20)).astype("f")
    step = Step(tf, net, 1e-3, Allreduce(world))
    found = step.probability(tiles)
    assert found.shape == (len(tiles), 2, len(levels(12)))
    expected = np.asarray(net(tiles[..., np.newaxis])[0])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for rows in (slice(0, 1), slice(3, 40), slice(TOGETHER - 1, None), slice(0, 0)):
        np.testing.assert_array_equal(step.probability(tiles[rows]), found[rows])


def test_its_layers_can_be_drawn(tmp_path):
    fresh().save(tmp_path / "a.keras")
    graph = archive.read(tmp_path / "a.keras")
    words = architecture.draw(graph, "counts", tmp_path / "a.png")
    assert (tmp_path / "a.png").exists() and "parameters" in words
    found = graph.layers
    assert found["conv6"].shape == (6, 6, 8) and found["both"].inputs == ("wide", "conv2")
