"""A run that is stopped and goes on, on one rank: the same decisions and the same model."""

import json
import os
import re
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from support.heard import heard
from support.models import weights_of

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import checkpoint, modelfile, trainer
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.metrics import Accuracy
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.learn.store import fill
from cosmodeep_hpc.learn.validation import Validation
from cosmodeep_hpc.tiles.tileset import read_tileset

pytestmark = pytest.mark.usefixtures("tf")
STEPS = 2  # of an epoch


@pytest.fixture(scope="module")
def train(tiles, world):
    """Train: what came of it, and what the user was told; stopped by USR1 after `stop` steps."""

    def run(out, *, stop=None, accept_changes=False, restart=False, use=None, **options):
        own = {"epochs": 6, "batch": 60, "log_steps": 1, "learning_rate": 1e-3, **options}
        settings = configuration.load(None, [(f"train.{k}", json.dumps(v)) for k, v in own.items()])

        def progress(done, total, note=""):
            if done + 1 == stop:  # the next step tells it to all ranks
                os.kill(os.getpid(), signal.SIGUSR1)

        with heard() as told:
            model = trainer.run(
                settings, tiles, out, world,
                restart=restart, accept_changes=accept_changes, progress=progress, store=use,
            )  # fmt: skip
        return SimpleNamespace(model=model, told=told)

    return run


def lines(run, kind=None):
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if kind in (None, row["kind"])]


def assert_same_model(one, other):
    """The same weights, bit for bit, and the same card."""
    a, b = (modelfile.load(run) for run in (one, other))
    assert a.card == b.card
    for x, y in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture
def scores(monkeypatch):
    """Validations that find what is asked for: As in percent, an epoch after the other."""

    def ask(*percent):
        left = {epoch: score for epoch, score in enumerate(percent)}
        asked = []

        def validate(store, step, world, batch):
            epoch = ask.epoch_of(step)
            asked.append(epoch)
            counts = Accuracy(Nsc=left[epoch], Nsw=100 - left[epoch], Nvc=50, Nvw=0)
            return Validation(threshold=(epoch + 1) / 100, accuracy=counts, loss=1.0)

        monkeypatch.setattr(trainer, "validate", validate)
        return asked

    steps = {}
    real = Step.train

    def counting(self, *args):
        steps[id(self)] = steps.get(id(self), 0) + 1
        ask.done += 1
        return real(self, *args)

    monkeypatch.setattr(Step, "train", counting)
    ask.done = 0
    ask.epoch_of = lambda step: ask.done // STEPS - 1
    return ask


def weights_after(train, folder, epochs, **options):
    """The weights of a run that ends after so many epochs and keeps its last model."""
    train(folder, epochs=epochs, **options)
    return weights_of(folder)


def test_the_best_model_is_kept_and_training_stops(train, tmp_path, scores):
    """As 50, 70, 70, 60 %: the second epoch is the best, and after two more it is over."""
    asked = scores(50, 70, 70, 60, 99, 99)
    train(tmp_path / "run", patience=2, keep="best")
    assert asked == [0, 1, 2, 3]
    best = weights_of(tmp_path / "run")
    scores.done = 0
    scores(0, 0)
    for x, y in zip(best, weights_after(train, tmp_path / "two", 2), strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_last_model_is_kept_by_default(train, tmp_path, scores):
    scores(50, 70, 60)
    train(tmp_path / "run", epochs=3)
    kept = weights_of(tmp_path / "run")
    scores.done = 0
    scores(50, 70, 60)
    train(tmp_path / "best", epochs=3, keep="best")
    best = weights_of(tmp_path / "best")
    assert not all(np.array_equal(x, y) for x, y in zip(kept, best, strict=True))


def test_operating_points_are_of_the_validation_tiles(train, tiles, tmp_path):
    """Worked out again from the file of the model and the shards."""
    train(tmp_path / "run", epochs=4)
    model = modelfile.load(tmp_path / "run")
    tileset = read_tileset(tiles)
    images = {n for n, image in enumerate(tileset.images) if image.split == "validation"}
    signal, found = [], []
    for entry in tileset.shards:
        with h5py.File(tiles / entry.file) as shard:
            rows = np.isin(shard["image"][()], list(images))
            signal.append(shard["counts"][rows, 0] > model.card.n_pix)
            found.append(probabilities(model, shard["tiles"][rows], 500))
    signal, found = np.concatenate(signal), np.concatenate(found).astype(float)
    assert 0 < signal.sum() < len(signal)
    tried = sorted({*found, *(found - 1e-6)})
    best = max(np.sum(signal & (found >= t)) / np.sum(signal | (found >= t)) for t in tried)
    at = found >= model.card.threshold
    assert np.sum(signal & at) / np.sum(signal | at) == pytest.approx(best)
    assert np.mean(found[signal] >= model.card.completeness) >= 0.99
    assert model.card.completeness <= model.card.threshold <= model.card.purity
    # calibrated: as many signal tiles as the probabilities promise (the offset's own equation)
    assert found.sum() == pytest.approx(signal.sum(), abs=1)


@pytest.mark.parametrize("stop", [3, 6, 8])
def test_a_stopped_run_decides_as_it_would_have(train, tmp_path, scores, stop):
    """Whether in an epoch, at its end, or with the step after which training is over."""
    scores(50, 70, 60, 65)
    options = {"patience": 2, "keep": "best", "warmup_epochs": 2.0}
    train(tmp_path / "whole", **options)
    scores.done = 0
    asked = scores(50, 70, 60, 65)
    stopped = train(tmp_path / "run", stop=stop, **options)
    assert (stopped.model is None) == (stop < 8)
    if stop < 8:
        assert train(tmp_path / "run", **options).told == [
            f"{tmp_path / 'run'}: goes on after step {stop}, saved by a job of 1 rank"
        ]
    assert asked == [0, 1, 2, 3]
    assert_same_model(tmp_path / "run", tmp_path / "whole")
    kinds = [[(row["kind"], row["step"]) for row in lines(tmp_path / r)] for r in ("run", "whole")]
    assert kinds[0] == kinds[1]


def test_a_run_repeats_bit_for_bit(train, tmp_path):
    for name in ("a", "b"):
        train(tmp_path / name, epochs=2)
    assert_same_model(tmp_path / "a", tmp_path / "b")
    a, b = ([(row["kind"], row["step"], row["loss"]) for row in lines(tmp_path / r)] for r in "ab")
    assert a == b


ON_DISK = {"store": "disk", "read_ahead": 1}


def test_tiles_on_disk_train_the_same_model(train, tmp_path):
    """Bit for bit, losses and validations too."""
    whole = {"epochs": 4, "symmetries": True}
    train(tmp_path / "held", store="memory", **whole)
    told = train(tmp_path / "read", **ON_DISK, **whole).told
    assert [line for line in told if "stay on disk" in line] == [
        "0.00 GB of tiles stay on disk and are read ahead: train.store"
    ]
    assert_same_model(tmp_path / "held", tmp_path / "read")
    seconds = ("seconds", "per_second")
    held, read = (
        [{k: v for k, v in row.items() if not k.endswith(seconds)} for row in lines(tmp_path / r)]
        for r in ("held", "read")
    )
    assert held == read


def test_a_run_goes_on_from_memory_to_disk_and_back(train, tmp_path):
    """In the middle of an epoch: where tiles are held is no part of the recipe."""
    train(tmp_path / "whole", store="memory")
    train(tmp_path / "run", stop=3, store="memory")
    train(tmp_path / "run", stop=7, **ON_DISK)
    train(tmp_path / "run", store="auto")
    assert_same_model(tmp_path / "run", tmp_path / "whole")
    assert [row["step"] for row in lines(tmp_path / "run", "train")] == list(range(1, 13))


class SlowDisk:
    """A disk whose every read takes some time; it counts them."""

    def __init__(self, seconds):
        self.seconds, self.reads = seconds, 0

    @contextmanager
    def opened(self, location):
        with location.opened_rows() as read_rows:

            def slow(rows, into):
                self.reads += 1
                time.sleep(self.seconds)
                read_rows(rows, into)

            yield slow


def test_a_slow_disk_shows_in_what_training_waits_for(train, tiles, world, tmp_path):
    """Each step reads its own tiles, at least once: nothing else of the run is that slow."""
    settings = configuration.load(None, [("train.store", "disk"), ("train.batch", "60")])
    disk = SlowDisk(0.25)
    store = fill(read_tileset(tiles), settings.label, settings.train, world, opened=disk.opened)
    one_step = replace(store, tiles=replace(store.tiles, ahead=0))  # two steps are held
    slow = train(tmp_path / "slow", use=one_step)
    assert disk.reads >= 12
    waits = [row["data_seconds"] for row in lines(tmp_path / "slow", "train")]
    steps = [row["step_seconds"] for row in lines(tmp_path / "slow", "train")]
    assert waits[0] > 0.25
    assert np.median(waits) > 0.1 > np.median(steps)
    (line,) = [line for line in slow.told if "waited for tiles" in line]
    assert re.search(r"slow: waited for tiles in \d\d % of the time \(data_seconds of", line)
    assert not [line for line in train(tmp_path / "fast").told if "waited" in line]


def test_lost_between_the_last_validation_and_the_model(train, tmp_path, monkeypatch):
    """The validation is neither done nor recorded twice, and the model is the same."""
    train(tmp_path / "whole", epochs=2)

    def fails(path, network, card):
        raise InputError("no space")

    with monkeypatch.context() as broken:
        broken.setattr(modelfile, "save", fails)
        with pytest.raises(InputError, match="no space"):
            train(tmp_path / "run", epochs=2)
    before = lines(tmp_path / "run")
    monkeypatch.setattr(trainer, "validate", None)
    train(tmp_path / "run", epochs=2)
    assert lines(tmp_path / "run") == before
    assert [row["step"] for row in lines(tmp_path / "run", "validation")] == [2, 4]
    assert_same_model(tmp_path / "run", tmp_path / "whole")


def test_a_checkpoint_by_time(train, tmp_path):
    """Each step takes longer than a millionth of a minute."""
    options = {"epochs": 2, "keep_checkpoints": 9}
    train(tmp_path / "often", checkpoint_minutes=1e-6, **options)
    train(tmp_path / "rarely", checkpoint_minutes=0, **options)
    steps = {
        name: sorted(int(p.stem[5:]) for p in checkpoint.newest(tmp_path / name))
        for name in ("often", "rarely")
    }
    assert steps == {"often": [1, 2, 3, 4], "rarely": [4]}
    assert_same_model(tmp_path / "often", tmp_path / "rarely")


def test_a_changed_option_is_refused_or_accepted(train, tmp_path):
    run = tmp_path / "run"
    train(run, stop=3)
    with pytest.raises(InputError, match=r"train\.learning_rate 0\.001, now 0\.002; .*--accept-ch"):
        train(run, learning_rate=2e-3)
    with pytest.raises(InputError, match=r"train\.batch 60, now 30, train\.epochs 6, now 2;"):
        train(run, batch=30, epochs=2)
    found = train(run, batch=30, epochs=2, accept_changes=True)
    assert "goes on with another configuration: train.batch 60, now 30" in found.told[0]
    # from the start of the second epoch: of four steps now, after the three that were done
    assert [row["step"] for row in lines(run, "train")] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["epoch"] for row in lines(run, "train")] == [0, 0, 1, 1, 1, 1, 1]
    assert json.loads((run / "config.json").read_text())["train"]["batch"] == 30


def test_another_network_cannot_be_accepted(train, tmp_path, tiles, world):
    train(tmp_path, stop=2)
    settings = configuration.load(None, [("train.batch", "60"), ("model.head", "flatten")])
    with pytest.raises(InputError, match="of a network of other shapes"):
        trainer.run(settings, tiles, tmp_path, world, accept_changes=True)


def test_a_run_that_is_over_is_not_complained_of_when_slurm_starts_its_job_again(
    train, tmp_path, monkeypatch
):
    """Its job was lost between its last line and its end."""
    first = train(tmp_path, epochs=1)
    model = first.model.read_bytes()
    with pytest.raises(InputError, match="holds a finished run"):
        train(tmp_path, epochs=1)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = train(tmp_path, epochs=1)
    assert again.model == first.model and again.model.read_bytes() == model


def test_times_stand_apart(train, tmp_path):
    """What the step waits for its tiles is no part of it; its parts are no more than it."""
    train(tmp_path, epochs=2)
    for row in lines(tmp_path, "train"):
        whole, parts = row["step_seconds"], (row["compute_seconds"], row["allreduce_seconds"])
        assert 0 < sum(parts) <= whole and min(parts) >= 0 and row["data_seconds"] > 0
        assert row["tiles_per_second"] < 60 / whole


def test_the_learning_rate_of_each_step(train, tmp_path, monkeypatch):
    """A line over three epochs to the rate of a batch of 60, by a run that is stopped in it."""
    seen = []
    real = Step.train

    def recorded(self, *args):
        seen.append(self.learning_rate)
        return real(self, *args)

    monkeypatch.setattr(Step, "train", recorded)
    options = {"learning_rate_rule": "linear", "base_batch": 30, "warmup_epochs": 3.0, "epochs": 4}
    train(tmp_path, stop=3, **options)
    train(tmp_path, **options)
    assert seen == pytest.approx([2e-3 * min(1, n / 6) for n in range(1, 9)])


@pytest.mark.parametrize("option", [{"patience": 3}, {"keep": "best"}])
def test_there_must_be_signal_to_choose_by(train, tmp_path, monkeypatch, option):
    fill = trainer.fill

    def blind(*args, **words):
        store = fill(*args, **words)
        store.signal[store.validation] = False
        return store

    monkeypatch.setattr(trainer, "fill", blind)
    name, value = next(iter(option.items()))
    with pytest.raises(InputError, match=f'train.{name} = "?{value}"?: no signal tile among 25'):
        train(tmp_path, **option)
