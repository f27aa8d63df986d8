"""The runs of a search: each is an ordinary training run, none stops the others, none is lost."""

import json
import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from support.heard import heard

from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import trainer
from cosmodeep_hpc.learn.tune import results, runs
from cosmodeep_hpc.learn.tune.grid import tune_run
from cosmodeep_hpc.parallel import locks
from cosmodeep_hpc.tiles import make

OPTIONS = {
    "tune.learning_rates": "[1e-4, 1e30]",
    "tune.batches": "[20, 50]",
    "tune.epochs": "[1, 3]",
    "train.log_steps": "1",
}
WORDS = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
SEARCH = configuration.load(None, list(OPTIONS.items()))
GOOD = replace(SEARCH, tune=replace(SEARCH.tune, learning_rates=(1e-4, 3e-4)))


def row(out, number):
    return json.loads((out / f"results/{number:04d}.json").read_text())


def accuracies(content):
    """What of a result must repeat: all but times."""
    times = {"seconds", "tiles_per_second"}
    return [{k: v for k, v in p.items() if k not in times} for p in content["points"]]


@pytest.fixture(scope="module")
def searched(tiles, tmp_path_factory):
    """A search of four runs, two of which end in a loss that is nan, and its exit status."""
    out = tmp_path_factory.mktemp("search") / "out"
    return out, main(["tune", "--tiles", str(tiles), "--out", str(out), *WORDS])


def test_a_failed_run_does_not_stop_the_others(searched):
    out, status = searched
    assert status == 1
    rows = [row(out, k) for k in range(4)]
    assert [r["state"] for r in rows] == ["done", "failed", "done", "failed"]
    assert all("the loss is nan" in r["error"] for r in rows[1::2])
    assert [len(r["points"]) for r in rows] == [2, 0, 2, 0]
    assert sorted(path.name for path in (out / "results").iterdir()) == [
        f"{k:04d}.json" for k in range(4)
    ]


def test_fewer_epochs_are_the_beginning_of_more(searched, tiles, world, tmp_path):
    """What the sharing of runs stands on: a run of 1 epoch gives what run 2 had after its first."""
    options = {"learning_rate": 1e-4, "batch": 50, "epochs": 1}
    alone = replace(SEARCH, train=replace(SEARCH.train, **options))
    trainer.run(alone, tiles, tmp_path / "run", world)
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    found = next(v for v in map(json.loads, lines) if v["kind"] == "validation")
    point = row(searched[0], 2)["points"][0]
    assert point["epochs"] == 1
    for name in ("As", "Ws", "Wv", "Nsc", "Nvw", "threshold"):
        assert point[name] == found[name]


def test_what_is_done_is_kept_and_what_failed_is_tried_again(searched, tiles, world):
    out, _ = searched
    before = (out / "results/0000.json").stat().st_mtime_ns
    outcome = runs.run(SEARCH, tiles, out, world, [0, 1])
    assert (outcome.kept, outcome.failed, outcome.done) == ([0], [1], [])
    assert (out / "results/0000.json").stat().st_mtime_ns == before


def test_a_result_that_was_lost_is_written_again_without_training(searched, tiles, world):
    out, _ = searched
    model = out / "runs/0000/model.keras"
    earlier, trained = row(out, 0), model.stat().st_mtime_ns
    (out / "results/0000.json").unlink()
    outcome = runs.run(SEARCH, tiles, out, world, [0])
    assert outcome.done == [0] and model.stat().st_mtime_ns == trained
    assert row(out, 0) == earlier


@pytest.mark.parametrize(
    "section, name, value, line",
    [
        ("tune", "batches", (20, 60), "tune.batches [20, 50], now [20, 60]"),
        ("train", "seed", 2, "train.seed 1, now 2"),
        ("label", "n_pix", 9, "label.n_pix 40, now 9"),
        ("model", "dropout", 0.5, "model.dropout 0.25, now 0.5"),
    ],
)
def test_another_search_in_its_folder_is_refused(
    searched, tiles, world, section, name, value, line
):
    other = replace(SEARCH, **{section: replace(getattr(SEARCH, section), **{name: value})})
    with pytest.raises(InputError) as error:
        runs.run(other, tiles, searched[0], world)
    assert line in str(error.value) and str(searched[0]) in str(error.value)


def test_options_that_change_no_result_may_change(searched, tiles, world):
    """Nor may those count that each run has its own of."""
    train = replace(SEARCH.train, checkpoint_steps=7, log_steps=9, batch=77)
    assert runs.run(replace(SEARCH, train=train), tiles, searched[0], world, [0]).kept == [0]


def test_another_tile_set_is_refused(searched, pairs, settings, world, tmp_path):
    make.run(replace(settings, tiles=replace(settings.tiles, seed=5)), pairs, tmp_path, world)
    with pytest.raises(InputError, match="not that of"):
        runs.run(SEARCH, tmp_path, searched[0], world)


def test_a_folder_of_another_stage_is_refused(tiles, world, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds config.json of another stage"):
        runs.run(SEARCH, tiles, tmp_path, world)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("content", ["[1]", "{}", '"x"'])
def test_a_damaged_record_of_the_tile_set_is_refused(tmp_path, content):
    (tmp_path / "tiles.json").write_text(content)
    with pytest.raises(InputError, match="tiles.json: damaged .*: choose another --out"):
        results.tiles_of(tmp_path)


def test_tiles_without_validation_images_are_refused(pairs, settings, world, tmp_path):
    none = replace(settings, tiles=replace(settings.tiles, validation=0.0))
    make.run(none, pairs, tmp_path / "tiles", world)
    with pytest.raises(InputError, match="no validation image to judge runs by"):
        runs.run(SEARCH, tmp_path / "tiles", tmp_path / "out", world)
    assert not (tmp_path / "out").exists()


def test_damaged_tiles_end_the_search_and_fail_no_run(tiles, world, tmp_path):
    """They are those of all runs."""
    own = shutil.copytree(tiles, tmp_path / "tiles")
    shard = own / "shard-00000.h5"
    shard.write_bytes(shard.read_bytes()[:-4000])
    with pytest.raises(InputError, match="shard-00000.h5"):
        runs.run(GOOD, own, tmp_path / "out", world)
    assert not list((tmp_path / "out/results").iterdir())


def test_a_falling_learning_rate_is_refused(tiles, world, tmp_path):
    """A run to 4 epochs has not, after 2, what a run to 2 ends with."""
    train = replace(SEARCH.train, schedule="cosine")
    wrong = replace(SEARCH, train=train, tune=replace(SEARCH.tune, epochs=(2, 4)))
    with pytest.raises(
        InputError, match=r'train\.schedule = "cosine" with tune\.epochs = \(2, 4\)'
    ):
        runs.run(wrong, tiles, tmp_path / "out", world)
    assert not (tmp_path / "out").exists()


def test_labels_that_the_tiles_do_not_have_are_refused(tiles, world, tmp_path):
    """They would fail in every run."""
    other = replace(SEARCH.tiles, thresholds=(2e-7,))
    wrong = replace(SEARCH, tiles=other, label=replace(SEARCH.label, f_th=2e-7))
    with pytest.raises(InputError, match="2e-07"):
        runs.run(wrong, tiles, tmp_path / "out", world)
    assert not (tmp_path / "out").exists()


def test_a_part_of_the_runs_is_done(monkeypatch, tiles, tmp_path):
    """`--task 1` is run 1; `--task 1/2` are runs 1 and 3."""
    asked = []

    def run(config, tiles, out, world, numbers, **others):
        asked.append(list(numbers))
        return runs.SearchOutcome()

    monkeypatch.setattr(runs, "run", run)
    for task in ("1", "1/2", "0/4"):
        words = ["--tiles", str(tiles), "--out", str(tmp_path), "--task", task]
        assert main(["tune", *words, *WORDS]) == 0
    assert main(["tune", "--tiles", str(tiles), "--out", str(tmp_path), *WORDS]) == 0
    assert asked == [[1], [1, 3], [0], [0, 1, 2, 3]]


def test_a_random_search_is_made_longer(tiles, world, tmp_path):
    tune = replace(GOOD.tune, search="random", runs=1, epochs=(1,))
    runs.run(replace(GOOD, tune=tune), tiles, tmp_path, world)
    outcome = runs.run(replace(GOOD, tune=replace(tune, runs=2)), tiles, tmp_path, world)
    assert (outcome.kept, outcome.done) == ([0], [1])
    assert configuration.load(tmp_path / "config.json").tune.runs == 2


def interrupt(at):
    """What sends USR1, as Slurm does before the end, when it has been called `at` times."""
    calls = iter(range(1, 10**6))

    def call(*args):
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGUSR1)

    return call


@pytest.mark.parametrize("where", ["in a run", "between two"])
def test_a_search_warned_of_its_end_goes_on_where_it_was(searched, tiles, world, tmp_path, where):
    asked = replace(GOOD, tune=replace(GOOD.tune, epochs=(3,)))
    second = interrupt(2)  # step, or run that is about to begin

    def progress(label):
        return second if where == "in a run" else second() or (lambda *step: None)

    outcome = runs.run(asked, tiles, tmp_path, world, [2, 3], progress=progress)
    assert outcome.stopped and outcome.done == ([] if where == "in a run" else [2])
    begun = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert begun == ["0002"]
    outcome = runs.run(asked, tiles, tmp_path, world, [2])
    assert not outcome.stopped and len(outcome.done + outcome.kept) == 1
    (point,) = accuracies(row(tmp_path, 2))
    assert point == {**accuracies(row(searched[0], 2))[1], "test": point["test"]}


def test_a_fault_of_one_run_is_its_result(tiles, world, tmp_path, monkeypatch):
    """What is no bad input, too: memory that is not enough for one batch may be for another."""
    train = trainer.run

    def run(config, *args, **others):
        if config.train.batch == 50:
            raise MemoryError("no room for 50")
        return train(config, *args, **others)

    monkeypatch.setattr(trainer, "run", run)
    asked = replace(GOOD, tune=replace(GOOD.tune, epochs=(1,), learning_rates=(1e-4,)))
    outcome = runs.run(asked, tiles, tmp_path, world)
    assert (outcome.done, outcome.failed) == ([0], [1])
    assert row(tmp_path, 1)["error"] == "MemoryError: no room for 50"


def test_a_run_that_another_job_trains_is_left_to_it(tiles, world, tmp_path):
    (tmp_path / "runs/0001").mkdir(parents=True)
    with locks.locked(tmp_path / "runs/0001/run", beat=0.3) as mine, heard() as said:
        outcome = runs.run(GOOD, tiles, tmp_path, world, [1], poll=0.1)
    assert mine and outcome.elsewhere == [1] and not outcome.failed
    assert f"waiting to see whether process {os.getpid()}" in said[0] and len(said) == 2
    assert not (tmp_path / "results/0001.json").exists()


def test_a_run_whose_job_was_lost_is_taken_over(tiles, world, tmp_path):
    """Its lock, of a process on another node, was last renewed almost too long ago."""
    (tmp_path / "runs/0000").mkdir(parents=True)
    lost = {"host": "lost", "processes": "", "pid": 1, "started": "1", "job": "7", "token": "1"}
    lock = tmp_path / "runs/0000/run.lock"
    lock.write_text(json.dumps(lost))
    os.utime(lock, (time.time() - locks.STALE + 3,) * 2)
    asked = replace(GOOD, tune=replace(GOOD.tune, epochs=(1,), batches=(50,)))
    with heard() as said:
        outcome = runs.run(asked, tiles, tmp_path, world, [0], poll=0.1)
    assert outcome.done == [0] and "process 1 on lost, job 7" in said[0]


def test_the_results_of_a_search_are_summed_up(searched, capfd):
    out, _ = searched
    assert main(["tune", "--summary", "--out", str(out)]) == 0
    said = capfd.readouterr().out
    assert "2 of 4 runs done, 2 failed, 0 missing; 4 of 8 combinations" in said
    assert "sbatch --array=1,3 slurm/tune.sh --config" in said
    best = json.loads((out / "summary.json").read_text())["ranking"][0]
    rows = [p for k in (0, 2) for p in row(out, k)["points"]]
    assert best["As"] == max(p["As"] for p in rows)
    assert np.isfinite([p["tiles_per_second"] for p in rows]).all()
    assert results.read(out, tune_run(SEARCH.tune, 0)).error is None
