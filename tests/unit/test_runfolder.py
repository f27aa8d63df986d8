"""A run folder is one job's at a time, and is gone on with only by the same recipe."""

import json
import os
import subprocess
from dataclasses import asdict, replace

import numpy as np
import pytest
from support.heard import heard

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import checkpoint, runfolder
from cosmodeep_hpc.learn.checkpoint import State
from cosmodeep_hpc.learn.stopping import Standing
from cosmodeep_hpc.parallel import locks
from cosmodeep_hpc.tiles.tileset import read_tileset

RECIPE = json.dumps({"train.seed": 1, "label.n_pix": 40, "tile set": "aa"})


def state(total=9, recipe=RECIPE):
    weights = [np.array([total], np.float32)]
    standing = Standing(epoch=1, best=0.5, best_epoch=1)
    numbers = {"epoch": 2, "step": 3, "total_steps": total, "ranks": 2}
    return State(**numbers, recipe=recipe, weights=weights, optimizer=weights, standing=standing)


def prepare(out, recipe=RECIPE, restart=False, accept_changes=False):
    """What a run finds, and what its user was told."""
    changes = {"restart": restart, "accept_changes": accept_changes}
    with heard() as told:
        return runfolder.prepare(configuration.Config(), out, recipe, **changes), told


def test_a_new_run(tmp_path):
    assert prepare(tmp_path) == (None, [])
    assert configuration.load(tmp_path / "config.json") == configuration.Config()


def test_the_same_recipe_is_gone_on_with(tmp_path):
    checkpoint.write(tmp_path, state(), 3)
    found, told = prepare(tmp_path)
    assert (found.epoch, found.step, found.standing.best) == (2, 3, 0.5)
    assert told == [f"{tmp_path}: goes on after step 9, saved by a job of 2 ranks"]


def test_another_recipe_is_refused_and_says_what_differs(tmp_path):
    checkpoint.write(tmp_path, state(), 3)
    other = json.dumps({"train.seed": 2, "label.n_pix": 40, "tile set": "bb"})
    line = "another configuration: tile set aa, now bb, train.seed 1, now 2; .*--accept-changes"
    with pytest.raises(InputError, match=line):
        prepare(tmp_path, other)
    assert not (tmp_path / "config.json").exists()
    found, told = prepare(tmp_path, other, accept_changes=True)
    # tiles and batches may be others: the epoch begins anew, and nothing is compared with before
    assert (found.epoch, found.step, found.total_steps) == (2, 0, 9)
    assert found.recipe == other and found.standing == Standing()
    assert "goes on with another configuration: tile set aa, now bb, train.seed 1, now 2" in told[0]


def test_a_finished_run_is_refused(tmp_path):
    (tmp_path / "model.keras").touch()
    for accept in (False, True):
        with pytest.raises(InputError, match="holds a finished run"):
            prepare(tmp_path, accept_changes=accept)
    # no advice to accept changes, which could not be followed
    checkpoint.write(tmp_path, state(recipe=json.dumps({"train.seed": 2})), 3)
    with pytest.raises(InputError, match="holds a finished run"):
        prepare(tmp_path)


@pytest.mark.parametrize(
    "left, line", [("index.json", "holds a tile set"), ("tiles.json", "holds a search of")]
)
def test_a_folder_of_another_stage_is_left_as_it_is(tmp_path, world, left, line):
    (tmp_path / left).touch()
    with pytest.raises(InputError, match=line), runfolder.held(tmp_path, world):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [left]


def test_a_run_that_ended_before_its_job_was_killed(tmp_path, monkeypatch):
    """Slurm starts the job again: there is nothing left to do, and nothing to complain of."""
    checkpoint.write(tmp_path, state(), 3)
    started_again = "SLURM_RESTART_COUNT"
    monkeypatch.setenv(started_again, "1")
    assert not runfolder.is_finished(tmp_path, RECIPE)  # it was killed before its end
    (tmp_path / "model.keras").touch()
    assert runfolder.is_finished(tmp_path, RECIPE)
    assert not runfolder.is_finished(tmp_path, json.dumps({"train.seed": 2}))  # another's
    monkeypatch.delenv(started_again)
    assert not runfolder.is_finished(tmp_path, RECIPE)


def fill(out):
    """A finished run of two checkpoints, and a file that is not ours."""
    for total in (5, 9):
        checkpoint.write(out, state(total), 3)
    (out / "log").mkdir()
    for name in ("model.keras", "metrics.jsonl", "log/events.out.1", "notes.txt"):
        (out / name).write_text("x")


def test_restart_removes_the_run_and_nothing_else(tmp_path):
    fill(tmp_path)
    found, _ = prepare(tmp_path, restart=True)
    left = sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
    assert found is None and left == ["config.json", "notes.txt"]


def test_a_job_that_slurm_started_again_does_not_restart(tmp_path, monkeypatch):
    """Its own checkpoints would be lost at each time limit."""
    checkpoint.write(tmp_path, state(), 3)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    found, told = prepare(tmp_path, restart=True)
    assert found.total_steps == 9 and "Slurm started this job again" in told[0]


def test_halves_of_files_that_a_killed_job_left_are_removed(tmp_path):
    checkpoint.write(tmp_path, state(), 3)
    halves = [tmp_path / ".model.77.part.keras", tmp_path / "checkpoints" / ".step-1.77.part.h5"]
    for half in halves:
        half.touch()
    found, _ = prepare(tmp_path)
    assert found.total_steps == 9 and not any(half.exists() for half in halves)


OLD = {"train.seed": 1, "model.head": "pyramid"}


@pytest.mark.parametrize(
    "new, phrases",
    [
        (OLD, []),
        ({**OLD, "train.seed": 2}, ["train.seed 1, now 2"]),
        ({"train.seed": 1}, ["model.head pyramid, now without"]),  # an older version
        ({**OLD, "train.xla": True}, ["train.xla unknown, now True"]),  # a newer one
    ],
)
def test_differences(new, phrases):
    assert runfolder.differences(json.dumps(OLD), json.dumps(new)) == phrases


@pytest.mark.parametrize(
    "name, value, counts",
    [
        ("train.seed", "2", True),
        ("train.batch", "50", True),
        ("train.patience", "3", True),
        ("train.warmup_epochs", "1", True),
        ("label.n_pix", "9", True),
        ("model.dropout", "0.5", True),
        ("train.log_steps", "1", False),
        ("train.checkpoint_steps", "1", False),
        ("train.checkpoint_minutes", "1", False),
        ("train.keep_checkpoints", "1", False),
        ("train.validate_epochs", "2", False),
    ],
)
def test_what_counts_as_another_recipe(tiles, name, value, counts):
    tileset = read_tileset(tiles)
    before, after = (
        runfolder.recipe_of(configuration.load(None, changes), tileset)
        for changes in ([], [(name, value)])
    )
    assert (before != after) == counts
    named = {p.split()[0] for p in runfolder.differences(before, after)}
    assert named - {"train.validate_epochs"} == ({name} if counts else set())


def test_validations_count_where_they_decide(tiles):
    """With patience, or where the best is kept, how often they come changes the result."""
    tileset = read_tileset(tiles)
    for name, value in (("train.patience", "3"), ("train.keep", '"best"')):
        one, two = (
            runfolder.recipe_of(
                configuration.load(None, [(name, value), ("train.validate_epochs", every)]), tileset
            )
            for every in "12"
        )
        assert one != two


def test_another_tile_set_is_another_recipe(tiles):
    tileset = read_tileset(tiles)
    other = replace(tileset, shards=tileset.shards[:-1])
    recipes = (runfolder.recipe_of(configuration.Config(), t) for t in (tileset, other))
    assert [p.split(",")[0][:8] for p in runfolder.differences(*recipes)] == ["tile set"]


def test_a_second_job_is_refused_by_name(tmp_path, world):
    run = tmp_path / "run"
    with runfolder.held(run, world):
        with pytest.raises(InputError) as caught, runfolder.held(run, world, patience=0.2):
            pass
        who = f"process {os.getpid()} on {os.uname().nodename}, since 2"
        assert f"{run}: another job trains in it ({who}" in str(caught.value)
    with runfolder.held(run, world):  # it was given back
        pass


def test_a_job_waits_for_a_killed_one_to_die(tmp_path, world):
    """The rank that held the folder was told to end, and takes a second for it."""
    tmp_path.joinpath("run").mkdir()
    process = subprocess.Popen(["sleep", "1"])
    me, started = locks.LockHolder.current(), locks._started(process.pid)
    holder = replace(me, pid=process.pid, started=started)
    locks.lock_of(tmp_path / "run" / "run").write_text(json.dumps(asdict(holder)))
    with runfolder.held(tmp_path / "run", world):
        assert locks.holder_of(tmp_path / "run" / "run").pid == os.getpid()
    process.wait()


def test_a_job_whose_folder_was_taken_over_writes_no_more(tmp_path, world):
    """It was stopped for longer than a lock lasts: another job goes on from its checkpoint."""
    with runfolder.held(tmp_path, world):
        runfolder.save(tmp_path, state(5), 3)
        path = locks.lock_of(tmp_path / "run")
        theirs = replace(locks.holder_of(tmp_path / "run"), host="elsewhere", token="other")
        path.write_text(json.dumps(asdict(theirs)))
        with pytest.raises(InputError, match="on elsewhere trains in it since"):
            runfolder.save(tmp_path, state(9), 3)
    assert [p.name for p in checkpoint.newest(tmp_path)] == ["step-00000005.h5"]
