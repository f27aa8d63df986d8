"""Maps of pixels in 16 bits, and what a card says of them."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from cosmodeep_hpc.learn.pixelmap import (
    BLANK,
    LEVELS,
    LOWEST,
    MapPoints,
    PixelMap,
    packed,
    unpacked,
)
from cosmodeep_hpc.learn.viewfusion import ScaleLogits


@pytest.mark.parametrize(
    "probability, number",
    [
        (0.0, LOWEST),
        (1 / LEVELS, LOWEST + 1),
        (0.5, LOWEST + LEVELS // 2),
        (1 - 2 / LEVELS, 2**15 - 1),
        (1 - 1 / LEVELS, 2**15 - 1),  # no number is left for the last two
        (1.0, 2**15 - 1),
        (np.nan, BLANK),
    ],
)
def test_probabilities_as_whole_numbers(probability, number):
    found = packed(probability)
    assert found.dtype == np.int16 and int(found) == number
    np.testing.assert_allclose(unpacked(found.reshape(1)), probability, rtol=0, atol=2 / LEVELS)


def test_every_number_is_a_probability_of_its_own():
    numbers = np.arange(-(2**15), 2**15).astype(np.int16)
    found = unpacked(numbers)
    assert np.isnan(found[0]) and found[1] == 0 and (np.diff(found[1:]) > 0).all()
    np.testing.assert_array_equal(packed(found), numbers)
    np.testing.assert_array_equal(found[1:].astype(np.float64) * LEVELS, np.arange(2**16 - 1))


def test_a_probability_changes_by_half_a_step_at_most():
    given = np.random.default_rng(1).random((50, 70)).astype(np.float32)
    given[3, 4] = np.nan
    found = unpacked(packed(given))
    assert np.isnan(found).sum() == 1 and np.isnan(found[3, 4])
    inside = given <= 1 - 2 / LEVELS
    assert np.abs(found - given)[inside].max() <= 0.5 / LEVELS
    assert np.nanmax(np.abs(found - given)) <= 2 / LEVELS


POINTS = MapPoints(
    threshold=0.4, completeness=0.1, purity=None, reliability=((0.05, 0.04, 900), (0.9, 0.8, 70))
)


def card():
    plain = PixelMap.plain((1e-7, 1e-8), 3)
    return PixelMap(thresholds=plain.thresholds, fusions=plain.fusions, points=(POINTS,) * 2)


def test_what_is_known_of_a_map_is_the_same_after_it_was_text():
    assert PixelMap.from_dict(json.loads(json.dumps(asdict(card())))) == card()
    assert card().at(1e-8) == POINTS


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_a_small_image_is_read_by_the_fusion_of_the_scales_that_it_has(scales):
    """Here by offsets: that of one scale gives logistic(1), that of two logistic(2)."""
    from dataclasses import replace

    plain = card()
    fusions = tuple(
        replace(each, straight=((0.0,) * 2 * n,) * 2, offset=(0.0, float(n)))
        for n, each in enumerate(plain.fusions, 1)
    )
    known = replace(plain, fusions=fusions)
    given = [
        ScaleLogits(2**n, np.ones((8 >> n, 8 >> n, 2), "f"), (0, 0), (8 >> n,) * 2)
        for n in range(scales)
    ]
    found = known.probability(given, 1e-8)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-scales)), rtol=1e-6)
    np.testing.assert_allclose(known.probability(given, 1e-7), 0.5)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda d: d["fusions"].pop(0), "not of 1, 2, ... scales"),
        (lambda d: d["fusions"].reverse(), "not of 1, 2, ... scales"),
        (lambda d: d["points"].pop(), "does not have 2 thresholds throughout"),
        (lambda d: d["points"].append({}), "does not have 2 thresholds throughout"),
        (lambda d: d["thresholds"].pop(), "does not have 1 thresholds throughout"),
        (lambda d: d["thresholds"].append(1e-9), "does not have 3 thresholds throughout"),
        (lambda d: d["points"][0]["reliability"].append((1, 2)), "not enough values"),
    ],
)
def test_a_damaged_description_of_a_map_is_refused(change, said):
    content = json.loads(json.dumps(asdict(card())))
    change(content)
    with pytest.raises(ValueError, match=said):
        PixelMap.from_dict(content)


@pytest.mark.parametrize("name", ["fusions", "points", "thresholds"])
def test_so_is_one_of_which_a_part_is_missing(name):
    content = json.loads(json.dumps(asdict(card())))
    del content[name]
    with pytest.raises(KeyError):
        PixelMap.from_dict(content)
