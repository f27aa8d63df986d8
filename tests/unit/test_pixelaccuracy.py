"""Accuracy by pixels, by hand and by another library."""

import json

import numpy as np
import pytest
from support.fields import NOISE, write

from cosmodeep_hpc.evaluation import mapscore
from cosmodeep_hpc.evaluation.fieldspread import mean_and_error, share_and_error
from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth, noise_of
from cosmodeep_hpc.evaluation.mapscore import MapScore, precision_of
from cosmodeep_hpc.evaluation.pixelaccuracy import PixelAccuracy, average_precision
from cosmodeep_hpc.images.mosaic import open_image


@pytest.mark.parametrize(
    "bright, found, iou, completeness, purity",
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1, 1, 1),
        ([1, 1, 0, 0], [0, 1, 1, 0], 1 / 3, 1 / 2, 1 / 2),
        ([1, 1, 0, 0], [0, 0, 0, 0], 0, 0, None),  # nothing found
        ([0, 0, 0, 0], [0, 0, 1, 0], 0, None, 0),  # an empty sky
        ([0, 0, 0, 0], [0, 0, 0, 0], None, None, None),
    ],
)
def test_ratios_by_hand(bright, found, iou, completeness, purity):
    one = PixelAccuracy.of(np.array(bright, bool), np.array(found, bool)).as_dict()
    assert (one["iou"], one["completeness"], one["purity"]) == (iou, completeness, purity)


def test_counts_of_fields_add_up():
    a, b = PixelAccuracy(hit=1, missed=2, false=3), PixelAccuracy(hit=4, missed=0, false=1)
    assert PixelAccuracy.total([a, b]) == PixelAccuracy(hit=5, missed=2, false=4)
    assert PixelAccuracy.total([]).as_dict()["iou"] is None


def precision_by_rank(bright, ranking):
    """The mean purity at each bright cell, where no two values are equal."""
    hits = bright[np.argsort(-ranking)]
    return (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean()


def test_average_precision():
    random = np.random.default_rng(3)
    bright = random.random(4000) < 0.1
    ranking = (bright + random.normal(0, 1, 4000)).astype(np.float32)
    found = average_precision(bright, ranking)
    assert found == pytest.approx(precision_by_rank(bright, ranking), abs=1e-12)
    assert average_precision(bright, bright.astype(np.float32)) == 1
    # no order at all: the share of bright cells
    assert average_precision(bright, np.zeros(4000, np.float32)) == bright.mean()
    assert np.isnan(average_precision(bright & False, ranking))


def test_a_bright_cell_without_a_value_is_never_found():
    bright = np.array([True, True])
    assert average_precision(bright, np.array([0.5, np.nan], np.float32)) == 0.5


def test_means_and_shares_over_fields():
    assert mean_and_error([0.2, 0.4, float("nan")]) == pytest.approx(
        {"mean": 0.3, "standard_error": 0.1}
    )
    assert mean_and_error([]) == {"mean": None, "standard_error": None}
    # fields of one size: the share's error is that of the mean of their shares
    shares = [1 / 10, 4 / 10, 7 / 10]
    found = share_and_error([1, 4, 7], [10, 10, 10])
    assert found["share"] == pytest.approx(0.4)
    assert found["standard_error"] == pytest.approx(mean_and_error(shares)["standard_error"])
    # a field without any says nothing
    assert share_and_error([1, 4, 7, 0], [10, 10, 10, 0]) == found
    assert share_and_error([0], [0]) == {"share": None, "standard_error": None}


@pytest.fixture
def truth(tmp_path):
    """Cells of 2 x 2 of 5 x 6 pixels: brighter than 1e-7, than half of it, and without data."""
    sky = np.zeros((5, 6), np.float32)
    sky[0, :2] = 2e-7  # half of a cell
    sky[0, 2] = 2e-7  # a quarter
    sky[2:4, :2] = 0.8e-7  # fainter than F_th, not than half of it
    sky[4, 4:] = 3e-7  # a cell cut in half by the edge
    image = sky + np.float32(1e-7)
    image[2:4, 2:4] = np.nan
    image[2, 4] = np.nan
    sky[2:4, 2:4] = 1
    pair = write(tmp_path / "s.fits", sky), write(tmp_path / "n.fits", image, NOISERMS=NOISE)
    sky_image, noise = map(open_image, pair)
    return FieldTruth.of(sky_image, noise, 1e-7, 2, noise_of(noise))


def test_truth_of_cells(truth):
    assert truth.bright.tolist() == [[True, False, False], [False] * 3, [False, False, True]]
    assert np.argwhere(truth.emission & ~truth.bright).tolist() == [[1, 0]]
    assert np.argwhere(~truth.known).tolist() == [[1, 1]]  # one pixel is enough
    assert truth.sky[0, 0] == np.float32(1e-7) and truth.sky[1, 1] == 0
    assert truth.image[2, 2] == pytest.approx(4e-7)
    assert truth.noise == NOISE
    assert truth.cell_area == pytest.approx(19.2**2, rel=1e-4)
    assert truth.beam_area == pytest.approx(113.3, rel=1e-3)


def test_the_score_of_a_field(truth):
    """One of two bright cells found, one found that is fainter; what has no data is left out."""
    found = truth.bright.copy()
    found[0, 0], found[1, 0], found[1, 1] = False, True, True
    ranking = found.astype(np.float32)
    score = MapScore.of(truth, found, precision_of(truth, ranking))
    assert score.pixels == PixelAccuracy(hit=1, missed=1, false=1)
    # half of the bright cells at a purity of 1/2, the others where all 8 cells are found
    assert score.average_precision == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 8)
    assert score.objects.objects.matched.tolist() == [False, True]
    assert score.objects.islands.matched.tolist() == [True, True]
    result = mapscore.by_pixels({"a": score, "b": score})
    assert result["total"]["hit"] == 2 and result["mean"]["iou"]["standard_error"] == 0
    assert result["an_image"]["a"]["average_precision"] == score.average_precision
    unranked = mapscore.by_pixels({"a": MapScore.of(truth, found)})
    assert "average_precision" not in unranked["mean"]
    assert "average_precision" not in unranked["an_image"]["a"]
    json.dumps([result, mapscore.by_objects({"a": score})], allow_nan=False)
