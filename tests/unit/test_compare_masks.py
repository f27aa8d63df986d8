"""The comparison by pixels and objects: masks of all detectors on the same cells."""

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from support.fields import NOISE, blobs, header, write, write_pairs
from support.models import write_untrained

import cosmodeep_hpc as cd
from cosmodeep_hpc.comparison import compare, continunet, finders, maskaccuracies, table
from cosmodeep_hpc.comparison.finders import FinderError, FinderTask
from cosmodeep_hpc.comparison.maskscoring import of_finders, of_smoothed
from cosmodeep_hpc.comparison.scoredmasks import MASKED, SMOOTHED, MaskWay, ScoredMasks
from cosmodeep_hpc.comparison.smoothedmaps import smoothed_maps, without_compact
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth
from cosmodeep_hpc.evaluation.mapscore import MapScore
from cosmodeep_hpc.images.mosaic import open_image

PRETENDED = """
import sys, numpy as np
from astropy.io import fits
from cosmodeep_hpc.comparison.finders import work

def islands(image, task):
    yield "0.0"
    pixels = fits.getdata(image)
    if sys.argv[1] in FAILING:
        raise RuntimeError("beam is not round")
    for threshold in task.thresholds:
        yield pixels > max(threshold, 1) * task.rms, 0.5

work(sys.argv[2:], islands)
"""
"""A finder that takes the pixels above a threshold."""


@pytest.fixture
def pretended(monkeypatch):
    """Put it in the place of all finders; the names that are returned fail."""
    failing = []

    def command(name, folder):
        code = PRETENDED.replace("FAILING", repr(failing))
        return [sys.executable, "-c", code, name, str(folder)]

    monkeypatch.setattr(finders, "missing", lambda names: {})
    monkeypatch.setattr(finders, "command", command)
    return failing


def settings(**changes):
    return configuration.load(None, [(f"compare.{name}", word) for name, word in changes.items()])


@pytest.fixture
def truth(tmp_path):
    """A field of blobs in noise, with compact sources that are no signal."""
    sky = blobs((240, 240), 6, 2)
    noise = sky + np.random.default_rng(1).normal(0, NOISE, sky.shape).astype(np.float32)
    noise[10::20, 10::20] += np.float32(1000 * NOISE)
    images = (
        open_image(write(tmp_path / f"{name}.fits", pixels))
        for name, pixels in (("sky", sky), ("noise", noise))
    )
    return FieldTruth.of(*images, 1e-7, 2, NOISE)


def test_compact_sources_are_masked_and_wide_ones_stay():
    y, x = np.mgrid[:80, :80]
    wide = (30 * np.exp(-((y - 40) ** 2 + (x - 40) ** 2) / (2 * 6**2))).astype(np.float32)
    cells = wide + np.random.default_rng(1).normal(0, 1, wide.shape).astype(np.float32)
    with_source = cells.copy()
    with_source[20, 60] += 1000
    left = without_compact(with_source)
    assert np.abs(left[18:23, 58:63]).max() < 5
    assert left[35:46, 35:46].mean() == pytest.approx(cells[35:46, 35:46].mean(), rel=0.02)
    unchanged = left == with_source
    assert unchanged.mean() > 0.99 and not unchanged[19:22, 59:62].any()


def test_smoothed_maps_keep_the_mean():
    cells = np.full((100, 100), 2.0, np.float32)
    maps = {(name, sigma): found for name, sigma, found in smoothed_maps(cells, 2, (2.0, 6.0))}
    assert set(maps) == {(name, sigma) for name in (SMOOTHED, MASKED) for sigma in (2.0, 6.0)}
    for found in maps.values():
        np.testing.assert_allclose(found[40:60, 40:60], 2, rtol=1e-4)


def test_masking_sources_is_worth_much_among_sources(truth):
    made = of_smoothed(truth, 2, 1e-7, kernels=(3.0,), levels=(0.7, 1.0), min_beams=2.0)
    precision = {way.family: score.average_precision for way, score in made.items()}
    assert precision[MASKED] > precision[SMOOTHED] + 0.2
    assert len(made) == 4  # two maps at two levels


def test_a_cell_is_in_an_island_from_half_of_its_pixels_on(truth):
    mask = np.zeros((240, 240), dtype=bool)
    mask[0, :2] = mask[10, 10] = True
    masks = [("aegean", 3.0, mask), ("continunet", None, mask)]
    made = of_finders(truth, 2, masks)
    assert {str(way) for way in made} == {"islands >= 3", "islands"}
    for score in made.values():
        assert score.pixels.hit + score.pixels.false == 1 and score.average_precision is None


def test_the_way_of_largest_iou_is_chosen(truth):
    """On the images to choose by; on the others where there is none of a detector."""
    good, poor = (MaskWay("pybdsf", "islands", threshold) for threshold in (2.0, 1.0))
    own = MaskWay("continunet", "islands")
    every, none = np.ones_like(truth.bright), np.zeros_like(truth.bright)

    def image(name, **masks):
        ways = {"good": good, "poor": poor, "own": own}
        return ScoredMasks(name, {ways[n]: MapScore.of(truth, m) for n, m in masks.items()})

    first = image("a", good=truth.bright, poor=every)
    second = image("b", good=none, poor=truth.bright, own=none)
    assert maskaccuracies.choose([first], [second]) == {"pybdsf": good, "continunet": own}
    assert maskaccuracies.choose([second], [first]) == {"pybdsf": poor}  # the other has no score
    rows = maskaccuracies.detector_rows([first, second], {"pybdsf": good})
    assert rows["pybdsf"]["pixels"]["mean"]["iou"]["mean"] == 0.5
    assert rows["pybdsf"]["images"] == 2


def test_all_detectors_side_by_side(tmp_path, tf, pretended, world):
    """The counts network's row is that of evaluate; a detector that fails is named in the table."""
    pretended += ["continunet"]
    images = write_pairs(tmp_path / "images", 2, (200, 240), seed=9)
    changes = {"finders": '["pybdsf", "wavelets", "aegean", "continunet"]', "closeups": "0"}
    result = compare.run(settings(**changes), "counts", images, tmp_path / "out", world)
    maps = result["maps"]
    assert (maps["folder"], maps["f_th"]) == ("images", 1e-7)
    names = ["cosmodeep", SMOOTHED, MASKED, "pybdsf", "pybdsf peak", "wavelets", "aegean"]
    assert list(maps["detectors"]) == names
    assert list(maps["left_out"]) == ["continunet"]
    assert "beam is not round" in maps["left_out"]["continunet"]
    expected = cd.evaluate("counts", images)
    row = maps["detectors"]["cosmodeep"]
    assert row["pixels"] == {k: v for k, v in expected["pixels"].items() if k != "threshold"}
    assert row["objects"] == expected["objects"]
    assert row["threshold"] == expected["pixels"]["threshold"]
    tiles = result["rules"][0]["detectors"]["cosmodeep"]
    assert {name: tiles[name] for name in expected["total"]} == expected["total"]
    lead = maps["detectors"]["aegean"]["network_less_it"]["mean"]
    ious = [maps["detectors"][n]["pixels"]["mean"]["iou"]["mean"] for n in ("cosmodeep", "aegean")]
    assert lead == pytest.approx(ious[0] - ious[1])
    said = table.text(result)
    assert "wavelets" in said and "beam is not round" in said
    json.dumps(result, allow_nan=False)


def test_a_second_comparison_is_drawn_beside(tmp_path, tf, world):
    """And a folder that holds none is refused before the work."""
    model = write_untrained(tmp_path / "model.keras")
    images = write_pairs(tmp_path / "images", 1, (80, 120))
    made = settings(finders="[]", closeups="0")
    compare.run(made, str(model), images, tmp_path / "one", world)
    compare.run(made, str(model), images, tmp_path / "two", world, beside=tmp_path / "one")
    drawn = [(tmp_path / name / "compare-objects.png").stat().st_size for name in ("one", "two")]
    assert drawn[1] > 1.5 * drawn[0]
    (tmp_path / "one" / "compare.json").write_text('{"rules": []}')
    with pytest.raises(InputError, match="compare.json: not a comparison by objects"):
        compare.run(made, str(model), images, tmp_path / "two", world, beside=tmp_path / "one")


@pytest.mark.parametrize(
    "shape, side", [((512, 512), 512), ((2000, 700), 512), ((100, 90), 112), ((600, 40), 512)]
)
def test_squares_cover_the_image(shape, side):
    """Each is as large as the side that is a multiple of 16, where the image is."""
    count = np.zeros(shape, dtype=int)
    for down, across in continunet.squares(shape):
        assert down.stop - down.start == across.stop - across.start == side
        assert side % 16 == 0
        count[down, across] += 1
    assert count.min() == 1


needs_continunet = pytest.mark.skipif(
    find_spec("continunet") is None, reason="continunet is not installed: pip install continunet"
)


def task():
    return FinderTask(thresholds=(0.0,), rms=1.0)


@needs_continunet
def test_continunet_finds_a_bright_source(tmp_path):
    y, x = np.mgrid[:200, :150]
    source = 50 * np.exp(-((y - 150) ** 2 + (x - 40) ** 2) / (2 * 3**2))
    pixels = (source + np.random.default_rng(1).normal(0, 1, source.shape)).astype(np.float32)
    image = open_image(write(tmp_path / "a.fits", pixels))
    found = finders.find("continunet", image, pixels, task())
    mask = found.mask(0.0)
    assert mask[150, 40] and mask.mean() < 0.1


@needs_continunet
def test_continunet_wants_a_round_beam(tmp_path):
    about = header((64, 64))
    about["BMAJ"] = 2 * about["BMIN"]
    pixels = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
    with pytest.raises(FinderError, match="continunet: .*not circular"):
        finders.find("continunet", cd.open_image(pixels, about), pixels, task())


@pytest.mark.skipif(find_spec("bdsf") is None, reason="bdsf is not installed: pip install bdsf")
def test_wavelets_find_a_wide_faint_source(tmp_path):
    """Too faint in each pixel for the peak that the islands of the image itself need.

    PyBDSF looks at no wavelet plane of an image without islands: a compact source gives it one.
    """
    y, x = np.mgrid[:200, :200]
    source = 1.5 * np.exp(-((y - 120) ** 2 + (x - 80) ** 2) / (2 * 8**2))
    source += 100 * np.exp(-((y - 40) ** 2 + (x - 150) ** 2) / 2)
    pixels = (source + np.random.default_rng(1).normal(0, 1, source.shape)).astype(np.float32)
    image = open_image(write(tmp_path / "a.fits", pixels))
    asked = FinderTask(thresholds=(3.0,), rms=1.0, min_pixels=9, peak=6.5)
    mask = finders.find("wavelets", image, pixels, asked).mask(3.0)
    assert mask[40, 150] and mask[115:126, 75:86].mean() > 0.5
    assert not finders.find("pybdsf", image, pixels, asked).mask(3.0)[100:140, 60:100].any()
