"""The convolutions of our own against direct sums in float64, and where their maxima were."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding
from support.launch import environment

from cosmodeep_hpc.engine import fastbackward, firstlayer, secondlayer, winograd
from cosmodeep_hpc.engine.convolutions import BLOCK, Convolutions, Weights
from cosmodeep_hpc.engine.simd import zeros
from cosmodeep_hpc.learn import modelfile

TILES = 3


def convolved(maps, kernel):
    """Direct sums over 3 x 3 of maps (n, side, side, c), zero padded, in the kernel's precision."""
    side = maps.shape[1]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = itertools.product(range(3), range(3))
    return sum(padded[:, y : y + side, x : x + side] @ kernel[y, x] for y, x in shifts)


def windows(maps, bins, size):
    """Pixels (n, i, i, size^2, c) of bins placed as by SAME padding, -inf beyond the edge."""
    n, side, _, features = maps.shape
    before = (bins * size - side) // 2
    pad = (before, bins * size - side - before)
    padded = np.pad(maps, ((0, 0), pad, pad, (0, 0)), constant_values=-np.inf)
    cut = padded.reshape(n, bins, size, bins, size, features).swapaxes(2, 3)
    return cut.reshape(n, bins, bins, size * size, features)


def first_of(chosen, side, size, width):
    """The number y * width + x of pixels that are number `chosen` of their bins."""
    bins = chosen.shape[1]
    start = np.arange(bins) * size - (bins * size - side) // 2
    y = chosen // size + start[:, None, None]
    x = chosen % size + start[None, :, None]
    return y * width + x


def second_layer(maps, kernel, size):
    """What `secondlayer.maxima` finds: maxima and places; and the maps within their zeros."""
    n, side = maps.shape[:2]
    wide, bins = winograd.width(side), -(-side // size)
    padded = zeros((n, wide, wide, 32))
    padded[:, 1 : side + 1, 1 : side + 1] = maps
    found = zeros((n, bins, bins, 64))
    places = np.full((n, bins, bins, 64), -1, np.int32)
    weights, scratch = winograd.transformed(kernel), secondlayer.scratch(side)
    secondlayer.maxima(padded, weights, side, size, scratch, found, places)
    return found, places, padded


def random_layer(side):
    """Maps as the first layer leaves them, half of them zero; and a kernel."""
    random = np.random.default_rng(side)
    maps = np.maximum(random.normal(size=(TILES, side, side, 32)), 0).astype("f")
    return maps, (0.1 * random.normal(size=(3, 3, 32, 64))).astype("f")


@pytest.mark.parametrize("size", ["pyramid", "flatten"])
@pytest.mark.parametrize("side", [5, 20, 21, 22, 32])  # 22: bins are padded on both sides
def test_maxima_are_those_of_the_direct_sums(side, size):
    """To float32's rounding, which the next test measures."""
    size = -(-side // 3) if size == "pyramid" else 2
    maps, kernel = random_layer(side)
    found, places, padded = second_layer(maps, kernel, size)
    cut = windows(convolved(maps, kernel.astype("d")), found.shape[1], size)
    expected = cut.max(axis=3)
    scale = convolved(maps, kernel).std()
    assert (found - expected).std() < 6e-7 * scale
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)
    # the nearest two of these maxima are further apart than rounding
    np.testing.assert_array_equal(places, first_of(cut.argmax(axis=3), side, size, padded.shape[1]))


def test_rounding_is_near_that_of_direct_sums(tf):
    """Against float64, of the result's spread: 5e-7 (worst 5e-6); oneDNN's 2e-7 (worst 3e-6)."""
    maps, kernel = random_layer(20)
    found, _, _ = second_layer(maps, kernel, 1)  # bins of one pixel: the whole result
    exact = convolved(maps.astype("d"), kernel.astype("d"))
    direct = tf.nn.conv2d(maps, kernel, 1, "SAME").numpy()
    ours, theirs = ((result - exact) / exact.std() for result in (found, direct))
    assert ours.std() < 6e-7 and np.abs(ours).max() < 1e-5
    assert ours.std() < 6 * theirs.std() and abs(ours.mean()) < 0.02 * ours.std()


def test_of_equal_maxima_the_first_in_row_order_is_taken():
    """Zeros are equal everywhere; maps that repeat with the patches are equal patch by patch."""
    maps, kernel = random_layer(20)
    _, places, padded = second_layer(np.zeros_like(maps), kernel, 7)
    first = first_of(np.zeros((TILES, 3, 3, 64), int), 20, 7, padded.shape[1])
    np.testing.assert_array_equal(places, first)
    maps = np.tile(maps[:, :4, :4], (1, 5, 5, 1))
    _, places, padded = second_layer(maps, kernel, 7)
    cut = windows(convolved(maps, kernel.astype("d")), 3, 7)
    largest = np.isclose(cut, cut.max(axis=3, keepdims=True), rtol=1e-12, atol=0)
    assert (largest[:, 1, 1].sum(axis=1) > 1).mean() > 0.3
    np.testing.assert_array_equal(places, first_of(largest.argmax(axis=3), 20, 7, padded.shape[1]))


def test_what_is_not_a_number_is_the_maximum():
    """A hidden one would let a broken run go on. It reaches the patches that see it, no others."""
    maps, kernel = random_layer(20)
    sound, _, _ = second_layer(maps, kernel, 2)
    maps[1, 9, 9, 3] = np.nan  # in the patch of rows and columns 8 to 11, alone
    found, _, _ = second_layer(maps, kernel, 2)
    assert np.isnan(found[1, 4:6, 4:6]).all()
    found[1, 4:6, 4:6] = sound[1, 4:6, 4:6]
    np.testing.assert_array_equal(found, sound)


@pytest.mark.parametrize("side, size", [(5, 2), (20, 7), (21, 2)])
def test_gradients_come_from_the_places_of_the_maxima(side, size):
    """One maximum after the other: its slope times the pixels around it, and times the kernel."""
    maps, kernel = random_layer(side)
    found, places, padded = second_layer(maps, kernel, size)
    slopes = np.random.default_rng(1).normal(size=found.shape).astype("f")
    slopes[:, 0, 0, :32] = 0  # as ReLU leaves them
    slopes[:, :, :, 5] = 0
    d_maps, d_weights = zeros(padded.shape), zeros((64, 3, 3, 32))
    weights = np.ascontiguousarray(kernel.transpose(3, 0, 1, 2))
    fastbackward.gradients(padded, weights, places, slopes, d_maps, d_weights)
    by_maps, by_kernel = np.zeros(padded.shape), np.zeros(weights.shape)
    for n, i, j, f in np.ndindex(*places.shape):
        y, x = divmod(int(places[n, i, j, f]), padded.shape[1])
        by_maps[n, y : y + 3, x : x + 3] += slopes[n, i, j, f] * weights[f].astype("d")
        by_kernel[f] += slopes[n, i, j, f] * padded[n, y : y + 3, x : x + 3].astype("d")
    np.testing.assert_allclose(d_maps, by_maps, atol=2e-6 * np.abs(by_maps).max())
    np.testing.assert_allclose(d_weights, by_kernel, atol=2e-6 * np.abs(by_kernel).max())


def first_layer(tiles, kernel, bias):
    """What `firstlayer.pooled` finds, and which corner of each window was the largest."""
    side = -(-tiles.shape[1] // 2)
    maps = np.zeros((len(tiles), side + 2, side + 2, 32), np.float32)
    chosen = np.empty((len(tiles), side, side, 32), np.uint8)
    firstlayer.pooled(tiles, kernel, bias, maps, chosen)
    inside = maps[:, 1:-1, 1:-1].copy()
    maps[:, 1:-1, 1:-1] = 0
    assert not maps.any()  # nothing is written around them
    return inside, chosen


def test_first_layer_by_hand():
    """A kernel of one pixel shifts the tile by one; then maxima of 2 x 2, bias and ReLU."""
    tile = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3)
    kernel = np.zeros((9, 32), np.float32)
    kernel[4, 0] = kernel[0, 1] = 1  # the pixel itself; the one above and to its left
    maps, chosen = first_layer(tile, kernel, np.full(32, -1, np.float32))
    assert maps[0, ..., 0].tolist() == [[4, 5], [7, 8]]
    assert chosen[0, ..., 0].tolist() == [[3, 2], [1, 0]]
    assert maps[0, ..., 1].tolist() == [[0, 1], [3, 4]]
    none = firstlayer.NONE
    assert chosen[0, ..., 1].tolist() == [[none, 2], [1, 0]]
    assert not maps[..., 2:].any() and (chosen[..., 2:] == none).all()


@pytest.mark.parametrize("size", [9, 40, 41])
def test_first_layer_and_its_gradient_are_those_of_the_direct_sums(size):
    random = np.random.default_rng(size)
    tiles = random.normal(size=(TILES, size, size)).astype("f")
    kernel, bias = random.normal(size=(3, 3, 1, 32)).astype("f"), random.normal(size=32).astype("f")
    maps, chosen = first_layer(tiles, kernel.reshape(9, 32), bias)
    side = maps.shape[1]
    # a last row and column alone: windows begin at the first pixel, whatever the size
    even = np.pad(tiles, ((0, 0), (0, 2 * side - size), (0, 2 * side - size)))
    sums = convolved(even[..., None].astype("d"), kernel.astype("d"))
    sums[:, size:] = sums[:, :, size:] = -np.inf
    cut = windows(sums, side, 2)
    expected = np.maximum(cut.max(axis=3) + bias, 0)
    np.testing.assert_allclose(maps, expected, atol=4e-6)
    largest = np.where(expected > 0, cut.argmax(axis=3), firstlayer.NONE)
    np.testing.assert_array_equal(chosen, largest)

    slopes = np.zeros((TILES, side + 2, side + 2, 32), np.float32)
    slopes[:, 1:-1, 1:-1] = random.normal(size=maps.shape)
    gradient = np.zeros((10, 32), np.float32)
    firstlayer.gradients(tiles, chosen, slopes, gradient)
    at_corner = largest[..., None, :] == np.arange(4)[:, None]
    given = slopes[:, 1:-1, 1:-1, None].astype("d") * at_corner  # (n, i, j, corner, 32)
    given = given.reshape(TILES, side, side, 2, 2, 32).swapaxes(2, 3)
    given = given.reshape(TILES, 2 * side, 2 * side, 32)
    padded = np.pad(even, ((0, 0), (1, 1), (1, 1)))
    for tap in range(9):
        seen = padded[:, tap // 3 :, tap % 3 :][:, : 2 * side, : 2 * side]
        one = (seen[..., None] * given).sum(axis=(0, 1, 2))
        np.testing.assert_allclose(gradient[tap], one, atol=1e-5 * np.abs(given).sum() / 32)
    np.testing.assert_allclose(gradient[9], given.sum(axis=(0, 1, 2)), atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tile_with_a_pixel_that_is_not_finite_has_no_maps(value):
    tiles = np.random.default_rng(1).normal(size=(TILES, 9, 9)).astype("f")
    tiles[1, 8, 3] = value
    maps, _ = first_layer(tiles, np.ones((9, 32), "f"), np.zeros(32, "f"))
    assert np.isnan(maps[1]).all() and np.isfinite(maps[[0, 2]]).all()


def random_weights():
    random = np.random.default_rng(2)
    return Weights.of(
        *(random.normal(size=s).astype("f") for s in ((3, 3, 1, 32), (32,), (3, 3, 32, 64)))
    )


@pytest.mark.parametrize("pyramid", [True, False])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_have_tiles_of_their_own(threads, pyramid):
    """The same maxima, bit for bit; gradients are the sum of the parts', in their order."""
    tiles = np.random.default_rng(1).normal(size=(2 * BLOCK + 5, 12, 12)).astype("f")
    one, many = (Convolutions(12, pyramid=pyramid, threads=k) for k in (1, threads))
    weights = random_weights()
    found = many.kept_maxima(tiles, weights)
    slopes = np.random.default_rng(2).normal(size=found.shape).astype("f")
    gradients = many.gradients(tiles, weights, slopes)
    ends = [len(tiles) * k // threads for k in range(threads + 1)]
    parts = []
    for start, stop in itertools.pairwise(ends):
        maxima = one.kept_maxima(tiles[start:stop], weights)
        np.testing.assert_array_equal(maxima, found[start:stop])
        parts.append(one.gradients(tiles[start:stop], weights, slopes[start:stop]))
    for whole, *pieces in zip(gradients, *parts, strict=True):
        np.testing.assert_array_equal(whole, np.sum(pieces, axis=0))
    again = np.empty_like(found)
    many.maxima(tiles, weights, again)  # nothing is kept; no trace of what was kept before
    np.testing.assert_array_equal(again, found)


OTHER_VECTORS = """
import sys
from pathlib import Path
import numpy as np
from cosmodeep_hpc.engine import elementwise, network, simd
from cosmodeep_hpc.engine.convolutions import Convolutions, Weights
given = np.load(sys.argv[1])
weights = Weights.of(*(given[name] for name in ("first", "bias", "second")))
convolutions = Convolutions(12, pyramid=True, threads=1)
maxima = convolutions.kept_maxima(given["tiles"], weights)
gradients = convolutions.gradients(given["tiles"], weights, maxima)
tiles = [given["tiles"][:, :6, :6], given["tiles"]]
tiles[0] = np.tile(tiles[0], (1, 12, 12))
tiles[1] = np.tile(tiles[1], (1, 4, 4))[:, :40, :40]
found = [
    network.load(Path(path), 1)(some, 500) for path, some in zip(sys.argv[3:], tiles, strict=True)
]
numbers = np.linspace(-100, 100, 4001, dtype="f")
found += [elementwise.sigmoid(numbers), elementwise.log(abs(numbers) + 1)]
np.savez(sys.argv[2], maxima, *gradients, *found)
print(simd.LANES)
"""


@pytest.fixture(scope="module")
def on_a_processor(tmp_path_factory):
    """A function: a processor's name and instructions to lanes there, and to what is found."""
    random = np.random.default_rng(3)
    shapes = {"tiles": (5, 12, 12), "first": (3, 3, 1, 32), "bias": (32,), "second": (3, 3, 32, 64)}
    given = {name: random.normal(size=shape).astype("f") for name, shape in shapes.items()}
    folder = tmp_path_factory.mktemp("processors")
    np.savez(folder / "given.npz", **given)

    def results(**words):
        job = subprocess.run(
            [
                *(sys.executable, "-c", OTHER_VECTORS, folder / "given.npz", folder / "found.npz"),
                *(modelfile.shipped(name) for name in ("robust", "paper-npix40")),
            ],
            env=environment(**words), check=True, capture_output=True, text=True,
        )  # fmt: skip
        with np.load(folder / "found.npz") as file:
            return int(job.stdout), [file[name] for name in file.files]

    return results


def has(*features):
    """Whether this processor has these instructions, and numba was told of no other."""
    if "NUMBA_CPU_NAME" in os.environ:
        return False
    here = binding.get_host_cpu_features()
    return all(here.get(feature) for feature in features)


@pytest.mark.skipif(not has("avx2", "fma"), reason="this processor has no AVX2")
def test_shorter_vectors_give_the_same_bits(on_a_processor):
    """Ranks on unlike nodes: as compiled for a processor with AVX2, and for this one."""
    lanes, here = on_a_processor()
    assert lanes == (16 if has("avx512f") else 8)
    lanes, other = on_a_processor(NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="+avx2,+fma")
    assert lanes == 8
    for one, two in zip(here, other, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_a_processor_without_such_vectors_rounds_otherwise_and_no_more(on_a_processor):
    """The least of its family, that joins no products and sums: vectors are done in pieces."""
    _, here = on_a_processor()
    lanes, other = on_a_processor(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert lanes == 8
    for one, two in zip(here, other, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5 * np.abs(one).max())
