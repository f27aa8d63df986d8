"""A counts network from tiles to readings: trained, stopped, stored, and read by other rules."""

import json
import os
import signal
from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy.io import fits
from support.fields import write_pairs
from support.models import weights_of

import cosmodeep_hpc as cd
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation import evaluate
from cosmodeep_hpc.learn import modelfile, trainer
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.store import fill
from cosmodeep_hpc.tiles import make
from cosmodeep_hpc.tiles.tileset import read_tileset

pytestmark = pytest.mark.usefixtures("tf")
TILES = ["--tiles.margin", "4", "--tiles.keep_sky", "true", "--tiles.images_per_shard", "2"]
TILES += ["--tiles.validation", "0.2"]
TRAIN = {
    "model.network": "counts",
    "model.width": 4,
    "train.epochs": 3,
    "train.batch": 40,
    "train.learning_rate": 3e-3,
    "train.schedule": "cosine",
    "train.symmetries": True,
    "train.log_steps": 1,
    "train.checkpoint_steps": 2,
}


def settings(**changes):
    return configuration.load(None, [(k, json.dumps(v)) for k, v in {**TRAIN, **changes}.items()])


@pytest.fixture(scope="module")
def counted(pairs, world, tmp_path_factory):
    """The tile set of `pairs` with margins and Sky tiles; do not write in it."""
    folder = tmp_path_factory.mktemp("counted")
    words = dict(zip(TILES[::2], TILES[1::2], strict=True))
    made = configuration.load(
        None, [(name.removeprefix("--"), word) for name, word in words.items()]
    )
    make.run(made, pairs, folder, world)
    return folder


@pytest.fixture(scope="module")
def run(counted, world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    trainer.run(settings(), counted, folder, world)
    return folder


def all_rows(folder, name):
    return np.concatenate([h5py.File(path)[name][()] for path in sorted(folder.glob("*.h5"))])


def test_targets_are_those_of_the_sky(counted, world):
    """Bits of each pixel, by h5py and numpy; their sums are the counts. Drawn: any bright pixel."""
    tileset = read_tileset(counted)
    options = settings()
    store = fill(tileset, options.label, options.train, world, counted=True)
    tiles, sky, counts = (all_rows(counted, name) for name in ("tiles", "sky", "counts"))
    number = {tile.tobytes(): row for row, tile in enumerate(tiles)}
    held = np.array([number[tile.tobytes()] for tile in store.tiles.pixels])
    for k, threshold in enumerate(tileset.thresholds):
        exceeds = store.tiles.exceeded >> k & 1
        np.testing.assert_array_equal(exceeds, sky[held] > np.float32(threshold))
        np.testing.assert_array_equal(exceeds.sum(axis=(1, 2)), counts[held, k])
    np.testing.assert_array_equal(store.counted.bright, counts[held])
    np.testing.assert_array_equal(store.signal, counts[held, 0] > 40)
    faint = counts[held, 3] > 0
    assert faint[store.sampler.signal].all() and not faint[store.sampler.noise].any()
    training = np.setdiff1d(np.arange(len(held)), store.validation)
    assert set(store.sampler.signal) == set(training[faint[training]])


def test_tiles_on_disk_train_the_same_network(run, counted, world, tmp_path):
    """Bit for bit: tiles, counts and the thresholds of pixels, turned and mirrored."""
    folder = tmp_path / "run"
    trainer.run(settings(**{"train.store": "disk"}), counted, folder, world)
    for one, other in zip(weights_of(run), weights_of(folder), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_sky_tiles_it_is_refused(tiles, world, tmp_path):
    with pytest.raises(InputError, match=r"no Sky tiles in it; .* with tiles\.keep_sky = true"):
        trainer.run(settings(), tiles, tmp_path / "run", world)


def test_a_damaged_sky_is_refused(counted, world, tmp_path):
    import shutil

    own = shutil.copytree(counted, tmp_path / "set")
    with h5py.File(own / "shard-00000.h5", "a") as file:
        file["sky"][7, 3, 2] += 1
    tileset, options = read_tileset(own), settings()
    with pytest.raises(InputError, match=r"dataset 'sky', rows .*checksum differs"):
        fill(tileset, options.label, options.train, world, counted=True)


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"tiles.margin": 3}, r"tiles\.margin = 3: model\.network = \"counts\" expects both even"),
        ({"tiles.size": 42}, r"tiles\.size = 42, .* a multiple of 4"),
        ({"tiles.size": 21}, r"tiles\.size = 21"),
        ({"model.depth": 3, "tiles.margin": 10}, r"margin = 10: .* of 8 .* such as 40 and 16$"),
        ({"tiles.thresholds": [n * 1e-8 for n in range(1, 10)]}, r"9 of them; .* expects 8"),
        ({"label.n_pix": 401}, r"label\.n_pix = 401: .* expects 400 at most"),
        ({"tiles.size": 20, "label.n_pix": 201}, r"expects 200 at most"),
    ],
)
def test_what_such_a_network_cannot_have_is_refused(changes, line):
    label = {"label.f_th": 1e-8} if "tiles.thresholds" in changes else {}
    with pytest.raises(InputError, match=line):
        settings(**changes, **label)


def test_the_loss_falls_and_validations_are_recorded(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]
    found = [row for row in rows if row["kind"] == "validation"]
    assert len(found) == 3 and all(0 <= row["As_over_rules"] <= 1 for row in found)


def test_the_model_reads_every_rule_alike(run, counted, world):
    """Labels, calibration and thresholds of each rule, worked out from the shards again."""
    tileset = read_tileset(counted)
    images = {n for n, image in enumerate(tileset.images) if image.split == "validation"}
    rows = np.isin(all_rows(counted, "image"), list(images))
    tiles, counts = (all_rows(counted, name)[rows] for name in ("tiles", "counts"))
    for column, n_pix in ((0, 40), (0, 9), (3, 40), (2, 100)):
        model = modelfile.load(run, rule=(tileset.thresholds[column], n_pix))
        assert (model.card.f_th, model.card.n_pix) == (tileset.thresholds[column], n_pix)
        assert (counts[:, column] > n_pix).any()
        given = model.network(tiles, 500)[:, column, model.card.readings.levels.index(n_pix)]
        expected = model.card.calibration(given)  # the card's is that of the rule
        found = probabilities(model, tiles, 500)
        np.testing.assert_array_equal(found, expected)
        p = found.astype(float)
        tried = [*np.unique(p), model.card.threshold]
        scores = [p[p >= t].sum() / (p.sum() + (1 - p[p >= t]).sum()) for t in tried]
        assert scores[-1] == pytest.approx(max(scores))
    own = modelfile.load(run).card
    assert own == modelfile.load(run, rule=(1e-7, 40)).card
    assert own == modelfile.load(run, rule=(1e-7, None)).card


def test_between_two_levels_it_is_between_them(run, counted):
    tiles = all_rows(counted, "tiles")[:50]
    models = [modelfile.load(run, rule=(1e-8, n)) for n in (40, 44, 50)]
    low, mid, high = (probabilities(model, tiles, 9) for model in models)
    assert ((np.minimum(low, high) - 1e-6 <= mid) & (mid <= np.maximum(low, high) + 1e-6)).all()
    assert (low != high).any()
    thresholds = [model.card.threshold for model in models]
    assert sorted(thresholds) in (thresholds, thresholds[::-1])


@pytest.mark.parametrize(
    "rule, line", [((3e-8, 40), "was not trained for"), ((None, 401), "from 0 to 40")]
)
def test_a_rule_that_it_does_not_read(run, rule, line):
    with pytest.raises(InputError, match=line):
        modelfile.load(run, rule=rule)


def test_a_stopped_run_ends_in_the_same_model(run, counted, world, tmp_path):
    """Symmetries, schedule and draws are functions of the step."""

    def stop(done, total, note=""):
        if done == 3:
            os.kill(os.getpid(), signal.SIGUSR1)

    assert trainer.run(settings(), counted, tmp_path / "run", world, progress=stop) is None
    trainer.run(settings(), counted, tmp_path / "run", world)
    one, other = (modelfile.load(folder) for folder in (run, tmp_path / "run"))
    assert one.card == other.card
    for a, b in zip(weights_of(run), weights_of(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_papers_network_may_be_turned_too(counted, world, tmp_path):
    for name, turned in (("a", False), ("b", True)):
        changes = {"model.network": "paper", "train.symmetries": turned, "train.epochs": 1}
        trainer.run(settings(**changes), counted, tmp_path / name, world)
    a, b = (weights_of(tmp_path / name) for name in "ab")
    assert any((x != y).any() for x, y in zip(a, b, strict=True))


def test_evaluate_asks_by_the_label(run, tmp_path, capsys):
    """Given on the command line it chooses the rule; else it is the model's own."""
    images = write_pairs(tmp_path / "images", 2, (200, 200), seed=9)
    words = ["evaluate", "--model", str(run), "--images", str(images)]
    for name, label, rule in (
        ("own", [], (40, 1e-7)),
        ("other", ["--label.n_pix", "9", "--label.f_th", "5e-8"], (9, 5e-8)),
        ("half", ["--label.n_pix", "9"], (9, 1e-7)),
    ):
        assert main([*words, "--out", str(tmp_path / name), *label]) == 0
        found = json.loads((tmp_path / name / "metrics.json").read_text())
        assert (found["n_pix"], found["f_th"]) == pytest.approx(rule)
    assert main([*words, "--out", str(tmp_path / "no"), "--label.n_pix", "1000"]) == 2
    assert "N_pix from 0 to 400" in capsys.readouterr().err


def precision_averaged(bright, probability):
    """The purity averaged over the completeness, threshold by threshold."""
    total, before = 0, 0
    for threshold in np.unique(probability)[::-1]:
        found = probability >= threshold
        hits = (bright & found).sum()
        total, before = total + (hits - before) * hits / found.sum(), hits
    return total / bright.sum()


def test_evaluate_judges_what_classify_gives(run, tmp_path):
    """Tiles, pixels and islands of one pass, beside the sky."""
    images = write_pairs(tmp_path / "images", 2, (200, 240), seed=9)
    result = cd.evaluate(run, images, config={"classify": {"stride": 20, "high_threshold": 0.0}})
    union = hits = 0
    for name, image in result["an_image"].items():
        found = cd.classify(images / f"noise-{name}.fits", model=run, high_threshold=0.0)
        signal = found.tile_probability.astype(np.float64) >= result["threshold"]
        assert signal.sum() == image["Nsc"] + image["Nvw"]
        sky = cd.open_image(images / f"sky-{name}.fits").pixels()
        bright = (sky > 1e-7).reshape(100, 2, 120, 2).sum(axis=(1, 3)) >= 2
        mask = found.mask[::2, ::2] == 1
        hits, union = hits + (bright & mask).sum(), union + (bright | mask).sum()
        assert result["objects"]["an_image"][name]["islands"] == len(found.islands)
        assert result["pixels"]["an_image"][name]["average_precision"] == pytest.approx(
            precision_averaged(bright, found.probability)
        )
    assert result["pixels"]["total"]["iou"] == hits / union > 0
    assert result["pixels"]["threshold"] == found.threshold
    objects = result["objects"]
    assert objects["completeness"]["count"] == sum(
        row["count"] for row in objects["bins"]["size"]["completeness"]
    )
    said = evaluate.table(result)
    assert "IoU" in said and "islands" in said


def test_images_that_are_averaged_first_are_not_evaluated(run, tmp_path):
    images = write_pairs(tmp_path / "images", 1, (200, 200))
    for path in images.iterdir():
        with fits.open(path, mode="update") as file:
            for axis in (1, 2):
                file[0].header[f"CDELT{axis}"] /= 2
    with pytest.raises(InputError, match="noise-00000.fits: pixels of another size"):
        cd.evaluate(run, images)


def test_a_sweep_by_another_rule_is_another_sweep(run, tmp_path, capsys):
    """Products of one rule are not taken for those of another."""
    images = write_pairs(tmp_path / "images", 1, (200, 200), seed=9)
    words = ["classify", str(images / "noise-00000.fits"), "--model", str(run)]
    words += ["--out", str(tmp_path / "out")]
    states = []
    for label in ([], [], ["--label.n_pix", "9"]):
        assert main([*words, *label]) == 0
        states.append("kept" in capsys.readouterr().out)
    assert states == [False, True, False]
    record = json.loads((tmp_path / "out" / "noise-00000.json").read_text())
    assert record["model"]["n_pix"] == 9


def test_the_card_keeps_its_readings(run, tmp_path):
    card = modelfile.read_card(run / modelfile.MODEL)
    import keras

    net = keras.saving.load_model(run / modelfile.MODEL, compile=False)
    modelfile.save(tmp_path / "a.keras", net, card)
    assert modelfile.read_card(tmp_path / "a.keras") == card
    short = replace(
        card.readings,
        levels=card.readings.levels[:-1],
        points=tuple(row[:-1] for row in card.readings.points),
    )
    modelfile.save(tmp_path / "b.keras", net, replace(card, readings=short))
    with pytest.raises(InputError, match=r"gives \(4, 19\); expected \(4, 18\)"):
        modelfile.load(tmp_path / "b.keras")
