"""Calibration of a network's map on fields with a known sky."""

import numpy as np
import pytest
from astropy.io import fits
from support.fields import write_pairs
from support.models import THRESHOLDS, weights_of, write_counts, write_untrained
from support.sweeping import swept

from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation import calibrate
from cosmodeep_hpc.evaluation.fields import bright_cells
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.tiles.make import fingerprint_of

pytestmark = pytest.mark.usefixtures("tf")


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Two pairs of odd sizes: tiles and cells are cut."""
    return write_pairs(tmp_path_factory.mktemp("fields"), 2, (211, 189), seed=7)


@pytest.fixture(scope="module")
def model(tf, tmp_path_factory):
    return write_counts(tmp_path_factory.mktemp("model") / "counts.keras", trained_on=("a", "b"))


@pytest.fixture(scope="module")
def made(fields, model, world, tmp_path_factory):
    """The calibrated model, and what the stage says of it."""
    out = tmp_path_factory.mktemp("out") / "calibrated.keras"
    return out, calibrate.run(Config(), str(model), [fields], out, world)


def skies(fields):
    return [fits.getdata(fields / f"sky-{number:05d}.fits") for number in range(2)]


def test_the_network_stays_and_its_card_has_the_map(made, model, fields):
    out, card = made
    for one, other in zip(weights_of(out), weights_of(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert modelfile.read_card(out) == card
    assert card.pixels.thresholds == THRESHOLDS
    assert [fusion.scales for fusion in card.pixels.fusions] == [1, 2, 3]
    seen = [open_image(path).pixels() for path in sorted(fields.glob("noise-*.fits"))]
    assert card.trained_on == ("a", "b", *map(fingerprint_of, seen))


def test_as_many_cells_are_bright_as_probabilities_say(made, fields):
    """On the fields themselves: what is fitted has an offset."""
    _, card = made
    for f_th, points in zip(THRESHOLDS, card.pixels.points, strict=True):
        mean, share, count = np.array(points.reliability).T
        bright = [bright_cells(sky, f_th, 2) for sky in skies(fields)]
        assert count.sum() == sum(part.size for part in bright) == 2 * 106 * 95
        assert (share * count).sum() == pytest.approx(sum(map(np.sum, bright)), rel=1e-3)
        assert (mean * count).sum() == pytest.approx((share * count).sum(), rel=0.01)


def test_rules_of_tiles_are_fitted_to_the_same_fields(made):
    """Where any tile has so many bright pixels; the rule of the card has its own."""
    _, card = made
    points = card.readings.at(1e-7, 40, None)
    assert card.threshold == points.threshold and card.calibration == points.calibration
    assert card.readings.points[0][-1] is None or card.readings.points[1][-1] is not None


def test_images_are_classified_by_the_thresholds_of_the_map(made, fields):
    out, card = made
    found = swept(fields / "noise-00000.fits", modelfile.load(out))
    assert found.threshold == card.pixels.at(1e-7).threshold
    assert found.tile_threshold == card.threshold
    other = swept(fields / "noise-00000.fits", modelfile.load(out, rule=(5e-8, 40)))
    assert other.threshold == card.pixels.at(5e-8).threshold


def test_the_same_fields_give_the_same_file(made, model, fields, world, tmp_path):
    out, _ = made
    again = tmp_path / "again.keras"
    calibrate.run(Config(), str(model), [fields], again, world)
    assert again.read_bytes() == out.read_bytes()


def test_the_command_tells_thresholds(made, model, fields, tmp_path, capsys):
    out, card = made
    words = ["--images", str(fields), "--out", str(tmp_path / "a.keras")]
    assert main(["calibrate", "--model", str(model), *words]) == 0
    text = capsys.readouterr().out
    assert "best IoU" in text and text.count("\n") == 1 + len(THRESHOLDS)
    assert f"{card.pixels.points[0].threshold:.4f}" in text
    assert (tmp_path / "a.keras").read_bytes() == out.read_bytes()


# --- what is refused ---


def test_an_image_that_it_was_trained_on_is_refused(made, fields, world, tmp_path):
    """As it is after it was calibrated on it."""
    out, _ = made
    with pytest.raises(InputError, match=r"noise-0000\d\.fits: the model was trained or c"):
        calibrate.run(Config(), str(out), [fields], tmp_path / "b.keras", world)
    assert not list(tmp_path.iterdir())


def test_a_network_of_tiles_is_refused(fields, world, tmp_path):
    path = write_untrained(tmp_path / "tiles.keras")
    with pytest.raises(InputError, match=r"tiles\.keras: knows tiles alone, .*network of counts"):
        calibrate.run(Config(), str(path), [fields], tmp_path / "b.keras", world)
    path = write_counts(tmp_path / "zeros.keras", margin=0)
    with pytest.raises(InputError, match=r"zeros\.keras: knows tiles alone, .*tiles\.margin"):
        calibrate.run(Config(), str(path), [fields], tmp_path / "b.keras", world)


def test_the_command_says_so_in_one_line(fields, tmp_path, capsys):
    words = ["--images", str(fields), "--out", str(tmp_path / "a.keras")]
    assert main(["calibrate", "--model", "paper-npix40", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert "knows tiles alone" in said and "\n" not in said


@pytest.mark.parametrize(
    "shape, pixel, said",
    [
        ((20, 20), 9.6, "too small for its noise to be measured at all scales"),
        ((160, 160), 4.8, "pixels of another size than those of the training"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(model, world, tmp_path, shape, pixel, said):
    folder = write_pairs(tmp_path / "fields", 1, shape)
    for path in folder.iterdir():
        for axis, sign in ((1, -1), (2, 1)):
            fits.setval(path, f"CDELT{axis}", value=sign * pixel / 3600)
    with pytest.raises(InputError, match=rf"noise-00000\.fits: {said}"):
        calibrate.run(Config(), str(model), [folder], tmp_path / "b.keras", world)


def test_a_place_that_cannot_be_written_is_said(model, fields, world, tmp_path):
    with pytest.raises(InputError, match=r"a\.keras: cannot be written; expected"):
        calibrate.run(Config(), str(model), [fields], tmp_path / "none" / "a.keras", world)


@pytest.mark.parametrize("name", ["a.fits", "a.txt", "a"])
def test_a_model_has_the_ending_of_one(model, fields, world, tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: expected the name of a \.keras file"):
        calibrate.run(Config(), str(model), [fields], tmp_path / name, world)


def test_what_is_no_model_is_not_replaced(made, model, fields, world, tmp_path):
    """An earlier model is."""
    out = tmp_path / "b.keras"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"b\.keras: not a \.keras file"):
        calibrate.run(Config(), str(model), [fields], out, world)
    assert out.read_text() == "mine"
    out.write_bytes(model.read_bytes())
    calibrate.run(Config(), str(model), [fields], out, world)
    assert out.read_bytes() == made[0].read_bytes()


def test_a_field_counts_once(model, fields, world, tmp_path):
    with pytest.raises(InputError, match=r"noise-00000\.fits: given twice"):
        calibrate.run(Config(), str(model), [fields, fields], tmp_path / "b.keras", world)


@pytest.mark.parametrize(
    "sky, bright",
    [
        ([[2, 2, 2], [0, 0, 2]], [[1, 1]]),  # half of the pixels are enough; the last is cut
        ([[2, 0, 0], [0, 0, 2]], [[0, 1]]),
        ([[1, 1, 1], [1, 1, 1]], [[0, 0]]),  # as bright as F_th is not brighter
        ([[np.nan, 2, 2], [np.nan, 2, 2], [0, 2, 2]], [[1, 1], [1, 1]]),
        ([[np.nan, np.nan, np.nan]], [[0, 0]]),
    ],
)
def test_which_cells_are_bright(sky, bright):
    found = bright_cells(np.array(sky, np.float32), 1.0, 2)
    assert found.tolist() == [[bool(value) for value in row] for row in bright]
