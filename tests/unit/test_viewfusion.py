"""The fusion of scales against numpy, whatever rows are computed together."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import expit
from support.models import random_fusion

from cosmodeep_hpc.learn.viewfusion import LIMIT, Fusion, ScaleLogits, logits_of


def scales_of(shape, thresholds, scales, seed=2):
    """Log-odds of a whole plane at scales of 1, 2 and 4 cells, some of them beyond all limits."""
    random, made = np.random.default_rng(seed), []
    for factor in (1, 2, 4)[:scales]:
        rows, cols = (-(-side // factor) for side in shape)
        values = random.normal(0, 8, (rows, cols, thresholds)).astype(np.float32)
        made.append(ScaleLogits(factor, values, (0, 0), (rows, cols)))
    return made


def part_of(scale, rows, cols):
    """Some cells of a scale."""
    values = np.ascontiguousarray(scale.values[slice(*rows), slice(*cols)])
    return ScaleLogits(scale.factor, values, (rows[0], cols[0]), scale.whole)


def around(scale, first, last, axis):
    """The cells of a coarser scale that a part of the finest lies between, along an axis."""
    return max(first // scale.factor - 1, 0), min(last // scale.factor + 2, scale.whole[axis])


def interpolated(values, factor, shape):
    """A coarser scale between the centres of its cells, in float64; beyond them the nearest."""
    found = values.astype(np.float64)
    for axis, length in enumerate(shape):
        at = np.clip((np.arange(length) + 0.5) / factor - 0.5, 0, found.shape[axis] - 1)
        below = np.floor(at).astype(int)
        above = np.minimum(below + 1, found.shape[axis] - 1)
        share = (at - below).reshape([-1 if a == axis else 1 for a in range(3)])
        low, high = np.take(found, below, axis), np.take(found, above, axis)
        found = low + share * (high - low)
    return found


def expected(fusion, scales, shape):
    """All columns of the fusion in float64."""
    every = [interpolated(scale.values, scale.factor, shape) for scale in scales]
    x = np.clip(np.concatenate(every, axis=-1), -LIMIT, LIMIT)
    u = x @ np.array(fusion.into).reshape(-1, x.shape[-1]).T + fusion.shift
    total = x @ np.array(fusion.straight).T + fusion.offset
    return expit(total + (u / (1 + np.abs(u))) @ np.array(fusion.out).T)


SHAPES = [(16, 24), (13, 7), (1, 1), (2, 131), (37, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("thresholds, scales", [(1, 1), (4, 1), (4, 2), (4, 3), (1, 3)])
def test_probabilities_are_those_of_the_formula(shape, thresholds, scales):
    fusion, given = random_fusion(thresholds, scales), scales_of(shape, thresholds, scales)
    wanted = expected(fusion, given, shape)
    assert fusion.scales == scales
    for column in range(thresholds):
        found = fusion.probability(given, column)
        assert found.dtype == np.float32 and found.shape == shape
        np.testing.assert_allclose(found, wanted[..., column], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [(0, 8), (8, 16), (4, 37), (36, 37), (16, 24)])
@pytest.mark.parametrize("cols", [(0, 600), (0, 80), (80, 600), (599, 600), (160, 240)])
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_cells_have_the_same_bits_in_parts(rows, cols, scales):
    """A part has the cells of coarser scales around it alone."""
    fusion, given = random_fusion(2, scales), scales_of((37, 600), 2, scales)
    parts = [part_of(given[0], rows, cols)]
    for scale in given[1:]:
        parts.append(part_of(scale, around(scale, *rows, 0), around(scale, *cols, 1)))
    whole, found = (fusion.probability(some, 1) for some in (given, parts))
    np.testing.assert_array_equal(found, whole[slice(*rows), slice(*cols)])
    whole, found = (logits_of(some) for some in (given, parts))
    np.testing.assert_array_equal(found, whole[slice(*rows), slice(*cols)])


def test_a_cell_has_the_same_bits_whatever_lies_beside_it():
    """Columns that are no multiple of what is computed at once."""
    fusion, (given,) = random_fusion(2, 1), scales_of((3, 150), 2, 1)
    whole = fusion.probability([given], 0)
    for count in (1, 63, 64, 65, 149):
        some = ScaleLogits(1, np.ascontiguousarray(given.values[:, :count]), (0, 0), (3, count))
        np.testing.assert_array_equal(fusion.probability([some], 0), whole[:, :count])


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_without_a_fit_the_finest_scale_is_taken_as_it_is(scales):
    given = scales_of((9, 14), 3, scales)
    limited = np.clip(given[0].values.astype(np.float64), -LIMIT, LIMIT)
    for column in range(3):
        found = Fusion.none(3, scales).probability(given, column)
        np.testing.assert_allclose(found, expit(limited[..., column]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_the_fit_sees_what_the_map_is_made_of(scales):
    """Log-odds at all scales of a cell, and the probability by them."""
    fusion, given = random_fusion(2, scales), scales_of((13, 22), 2, scales)
    rows = logits_of(given).reshape(13 * 22, -1)
    every = [interpolated(scale.values, scale.factor, (13, 22)) for scale in given]
    wanted = np.concatenate(every, axis=-1).reshape(13 * 22, -1)
    np.testing.assert_allclose(rows, wanted, rtol=0, atol=1e-4)
    found = fusion.of_logits(rows, 1).reshape(13, 22)
    np.testing.assert_array_equal(found, fusion.probability(given, 1))


def test_the_fit_may_see_more_cells_than_float32_counts():
    """The second of two scales alone counts: its log-odds are 0, but for one cell."""
    logits = np.zeros((2**23 + 4, 2), np.float32)
    logits[-2, 1] = 1.0
    fusion = Fusion.of([[0.0, 1.0]], np.zeros((0, 2)), (), (), [0.0])
    found = fusion.of_logits(logits, 0)
    assert np.flatnonzero(found != 0.5).tolist() == [2**23 + 2]


def test_a_fusion_is_the_same_after_it_was_text():
    fusion = random_fusion(4, 3)
    assert Fusion.from_dict(json.loads(json.dumps(asdict(fusion)))) == fusion
    plain = Fusion.none(4, 3)
    assert Fusion.from_dict(json.loads(json.dumps(asdict(plain)))) == plain


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda d: d["straight"].pop(), "matrix is not 2 x 4"),
        (lambda d: d["straight"][1].pop(), "matrix is not 2 x 4"),
        (lambda d: d["into"].pop(), "matrix is not 8 x 4"),
        (lambda d: d["out"][0].append(1.0), "matrix is not 2 x 8"),
        (lambda d: d["offset"].append(0.0), "4 inputs for 3 thresholds"),
        (lambda d: d["shift"].__setitem__(3, float("nan")), "not finite"),
        (lambda d: d["into"][2].__setitem__(0, float("inf")), "not finite"),
        (lambda d: d["into"].__setitem__(0, ["many"] * 4), "could not convert"),
        (lambda d: d["straight"][0].append(0.0), "5 inputs for 2 thresholds"),
        (lambda d: [row.pop() for row in d["straight"] + d["into"]], "3 inputs for 2 thresholds"),
        (lambda d: d.update(offset=[], straight=[], out=[]), "0 inputs for 0 thresholds"),
    ],
)
def test_a_damaged_fusion_is_refused(change, said):
    content = json.loads(json.dumps(asdict(random_fusion(2, 2))))
    change(content)
    with pytest.raises(ValueError, match=said):
        Fusion.from_dict(content)
