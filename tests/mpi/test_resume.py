"""A killed job ends by itself; the run that goes on ends where it would have ended."""

import io
import json
import os
import random
import shutil
import signal
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.heard import heard
from support.launch import end, finish, mpirun, ranks_of, start, told

from cosmodeep_hpc.learn import checkpoint

RECORDED = Path(__file__).with_name("recorded.py")
WORDS = ["--train.epochs", 6, "--train.batch", 12, "--train.checkpoint_steps", 4]
WORDS += ["--train.log_steps", 1, "--train.keep_checkpoints", 2]


def train(ranks, tiles, run):
    """Train to the end; the record of what was seen."""
    record = run.with_suffix(".json")
    job = mpirun(ranks, RECORDED, record, "train", "--tiles", tiles, "--out", run, *WORDS)
    assert job.returncode == 0, job.stdout
    return json.loads(record.read_text())


@pytest.fixture(scope="module")
def uninterrupted(tiles, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    return run, train(2, tiles, run)


@pytest.fixture(scope="module")
def killed(tiles, tmp_path_factory):
    """A run folder whose job lost a rank by SIGKILL, three steps after its second checkpoint."""
    run = tmp_path_factory.mktemp("killed") / "run"
    # slow steps, so that the kill falls between them and not after the last
    job = start(2, "-c", SLOW, "train", "--tiles", tiles, "--out", run, *WORDS)
    try:
        until = time.monotonic() + 90
        while steps_told(run) < 11:  # three beyond the checkpoint of step 8
            assert job.poll() is None and time.monotonic() < until, "no step 11"
            time.sleep(0.02)
        os.kill(ranks_of(job)[-1], signal.SIGKILL)
        ended = finish(job, 30)  # by itself: nobody tells the other rank
    finally:
        end(job)
    assert ended.returncode not in (0, 2), ended.stdout
    assert not (run / "model.keras").exists()
    return run


def steps_told(run):
    """The last step in the record of a run that goes on."""
    with suppress(OSError, ValueError, IndexError):
        return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    return 0


SLOW = """
import sys, time
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.learn.step import Step

train = Step.train

def slow(self, *args):
    time.sleep(1)
    return train(self, *args)

Step.train = slow
sys.exit(cli.main(sys.argv[1:]))
"""


def test_notice_of_the_end_stops_all_ranks_at_one_step(uninterrupted, tiles, tmp_path):
    """USR1 on one rank: status 75 and a checkpoint; the run that goes on ends the same.

    So it does although another job was started on its run folder meanwhile, and was refused.
    """
    run = tmp_path / "run"
    words = [*WORDS, "--train.checkpoint_steps", 1000]  # the only checkpoint is that of the signal
    job = start(2, "-c", SLOW, "train", "--tiles", tiles, "--out", run, *words)
    try:
        until = time.monotonic() + 90
        while steps_told(run) < 3:
            assert job.poll() is None and time.monotonic() < until, "no step 3"
            time.sleep(0.02)
        ranks_of_job = ranks_of(job)
        second = mpirun(2, "train", "--tiles", tiles, "--out", run, *words)
        os.kill(ranks_of(job)[-1], signal.SIGUSR1)
        ended = finish(job, 60)
    finally:
        end(job)
    assert second.returncode == 2, second.stdout
    (line,) = told(second)
    assert f"{run}: another job trains in it (process {ranks_of_job[0]} on " in line
    assert ended.returncode == 75, ended.stdout
    assert f"told to end (USR1 or SIGTERM), all saved in {run}" in ended.stdout
    assert len(list((run / "checkpoints").glob("step-*.h5"))) == 1
    rest, record = train(2, tiles, run), uninterrupted[1]
    assert 0 < len(rest["seen"]) <= len(record["seen"]) - 3
    assert rest["losses"] == record["losses"][-len(rest["losses"]) :]
    assert rest["hashes"] == record["hashes"]


def last_checkpoint(run):
    newest = max((run / "checkpoints").glob("step-*.h5"))
    with h5py.File(newest) as file:
        return newest.name, {
            f"{group}/{name}": file[group][name][()]
            for group in ("weights", "optimizer")
            for name in file[group]
        }


def model_weights(run):
    """The weights in the model of a finished run, bit for bit."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with zipfile.ZipFile(run / "model.keras") as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        file.visititems(take)
    return found


def test_it_goes_on_to_the_same_weights(killed, uninterrupted, tiles, tmp_path):
    """Bit for bit, on the same number of ranks."""
    whole, record = uninterrupted
    run = shutil.copytree(killed, tmp_path / "run")
    rest = train(2, tiles, run)
    assert 0 < len(rest["seen"]) < len(record["seen"])
    assert rest["seen"] == record["seen"][-len(rest["seen"]) :]
    assert rest["losses"] == record["losses"][-len(rest["losses"]) :]
    assert rest["hashes"] == record["hashes"]
    name, state = last_checkpoint(run)
    expected_name, expected = last_checkpoint(whole)
    assert name == expected_name and state.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(state[key], value)


@pytest.fixture(scope="module", params=[1, 3])
def others(request, killed, tiles, tmp_path_factory):
    """The killed run of two ranks, gone on with on one rank, and on three."""
    run = shutil.copytree(killed, tmp_path_factory.mktemp("others") / "run")
    return run, train(request.param, tiles, run)


def test_other_ranks_go_on_with_the_same_batches(others, uninterrupted):
    (_, rest), (_, record) = others, uninterrupted
    n = len(rest["seen"])
    assert 0 < n < len(record["seen"]) and rest["seen"] == record["seen"][-n:]
    np.testing.assert_allclose(rest["losses"], record["losses"][-n:], rtol=0, atol=1e-4)


def lines(run):
    """What the record of a run tells of, in order."""
    text = (run / "metrics.jsonl").read_text()
    return [(c["kind"], c["step"]) for c in map(json.loads, text.splitlines())]


def test_the_record_has_each_step_once(others, uninterrupted):
    """Lines of work that was lost and done again are not there twice."""
    assert lines(others[0]) == lines(uninterrupted[0])


@pytest.mark.timeout(1200)  # a minute on two idle cores: it starts TensorFlow a dozen times
def test_killed_at_random_moments_until_it_is_done(uninterrupted, tiles, tmp_path):
    """SIGKILL of a random rank, again and again, with a checkpoint written at almost any moment.

    Each job ends by itself and leaves a checkpoint that loads; the last one ends with the weights
    of the uninterrupted run, bit for bit.
    """
    whole, _ = uninterrupted
    run, seed = tmp_path / "run", random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # shown where the test fails
    draw, deaths = random.Random(seed), []
    words = ["train", "--tiles", tiles, "--out", run, *WORDS, "--train.checkpoint_steps", 1]
    while True:
        rank, early = draw.randrange(2), draw.random() < 0.2
        wait, steps = draw.uniform(0, 4 if early else 0.1), draw.randrange(25)
        before = steps_told(run)
        job = start(2, RECORDED, tmp_path / "record.json", *words)
        try:
            until = time.monotonic() + 300
            while job.poll() is None and (
                len(ranks_of(job)) < 2 if early else steps_told(run) <= before + steps
            ):
                assert time.monotonic() < until, "no step"
                time.sleep(0.005)
            time.sleep(wait)
            with suppress(ProcessLookupError, IndexError):
                os.kill(ranks_of(job)[rank], signal.SIGKILL)
            ended = finish(job, 60)  # by itself: nobody tells the other rank
        finally:
            end(job)
        deaths.append((rank, "starting" if early else before + steps, ended.returncode))
        print(deaths[-1])
        assert ended.returncode != 2, ended.stdout  # no fault of what the killed job left
        if (run / "model.keras").exists():  # all was done, also where the kill came after that
            break
        if checkpoint.newest(run):
            with heard() as told:
                _, state = checkpoint.latest(run)
            assert state.total_steps >= before - 1 and told == []
    assert len(deaths) > 1
    (_, last), (_, expected) = last_checkpoint(run), last_checkpoint(whole)
    for key, value in expected.items():
        np.testing.assert_array_equal(last[key], value)
    assert model_weights(run) == model_weights(whole)
    assert lines(run) == lines(whole)
    left = {path.name for path in run.iterdir()}
    lock = {"run.lock"} if ended.returncode else set()  # of the job that was killed
    assert left - lock == {"checkpoints", "config.json", "log", "metrics.jsonl", "model.keras"}


def test_a_finished_run_is_not_trained_on(uninterrupted, tiles):
    whole, _ = uninterrupted
    before = (whole / "model.keras").read_bytes()
    for other in ((), ("--train.seed", 2), ("--accept-changes", "--train.seed", 2)):
        job = mpirun(1, "train", "--tiles", tiles, "--out", whole, *WORDS, *other)
        assert job.returncode == 2 and "holds a finished run" in job.stdout
    assert (whole / "model.keras").read_bytes() == before
