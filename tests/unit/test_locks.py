"""Locks: of many who want a file one makes it, and who is gone holds nobody up."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.waiting import until

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel import locks
from cosmodeep_hpc.parallel.locks import LockHolder, lock_of, locked, make_each_once

MAKER = """
import os, sys, time
from pathlib import Path
from cosmodeep_hpc.parallel import locks
locks.POLL = 0.05
folder, me = Path(sys.argv[1]), sys.argv[2]
paths = [folder / f"box-{i}.h5" for i in range(4)]
def make(number):
    with (folder / "made").open("a") as log:
        log.write(f"{number}\\n")
    time.sleep(float(sys.argv[3]))
    paths[number].write_text(me)
(folder / f"ready-{me}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
locks.make_each_once(paths, lambda i: paths[i].exists(), make, print)
"""
MOCK = """
import sys
from pathlib import Path
from cosmodeep_hpc.parallel import locks
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.sky import recipes
locks.POLL = 0.2
make = recipes.ParticleMesh.make
def recorded(self, path, *rest):
    with Path(sys.argv[1]).open("a") as log:
        log.write(f"{self.name}\\n")
    make(self, path, *rest)
recipes.ParticleMesh.make = recorded
sys.exit(cli.main(sys.argv[2:]))
"""


def start(code, *words):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def held_by(path, *, age=0.0, **changes):
    """A lock on the path, held by this process but for the changes, renewed `age` seconds ago."""
    holder = replace(LockHolder.current(), **changes)
    lock_of(path).write_text(json.dumps(asdict(holder)))
    then = time.time() - age
    os.utime(lock_of(path), (then, then))
    return holder


@pytest.fixture
def ended():
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_of_processes_started_at_once_one_makes_each_file(tmp_path):
    makers = [start(MAKER, tmp_path, name, 0.1) for name in "abc"]
    until(lambda: len(list(tmp_path.glob("ready-*"))) == 3)
    (tmp_path / "go").touch()
    logs = [maker.communicate(timeout=60)[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0, 0], logs
    assert sorted((tmp_path / "made").read_text().split()) == ["0", "1", "2", "3"]
    assert len({(tmp_path / f"box-{i}.h5").read_text() for i in range(4)}) > 1  # work was shared
    assert not list(tmp_path.glob("*.lock")) and not list(tmp_path.glob(".*"))


def test_two_mock_commands_started_at_once_simulate_each_box_once(tmp_path):
    options = {"sky.mesh": 24, "sky.sides": "[60]", "sky.seeds": "[1, 2, 3]", "sky.steps": 6}
    options |= {"sky.z_far": 0.08, "sky.snapshots": "[0.1]"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    words = ["mock", "--out", tmp_path / "out", "--images", 0, *words]
    jobs = [start(MOCK, tmp_path / "log", *words) for _ in range(2)]
    logs = [job.communicate(timeout=120)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], logs
    boxes = sorted((tmp_path / "log").read_text().split())
    assert boxes == ["box-60-1", "box-60-2", "box-60-3"]
    made = sorted(path.name for path in (tmp_path / "out/boxes").iterdir())
    assert made == [f"{name}.h5" for name in boxes]


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_is_broken_at_once_on_its_node(tmp_path, death):
    maker = start(MAKER, tmp_path, "a", 60)
    (tmp_path / "go").touch()
    until(lambda: (tmp_path / "made").exists())
    assert (tmp_path / "box-0.h5.lock").exists()
    maker.send_signal(death)
    maker.wait(10)
    assert maker.returncode == -death
    # SIGTERM, the end of a batch job's time, leaves no lock that another node would wait for
    assert (tmp_path / "box-0.h5.lock").exists() == (death == signal.SIGKILL)
    with locked(tmp_path / "box-0.h5") as mine:
        assert mine
    assert not list(tmp_path.glob("*.lock")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "age, changes, broken",
    [
        (0, {"host": "elsewhere"}, False),
        (540, {"host": "elsewhere"}, False),
        (660, {"host": "elsewhere"}, True),  # not renewed for more than 10 minutes
        (-660, {"host": "elsewhere"}, False),  # of the future: clocks differ, by the server's no
        (0, {"processes": "pid:[1]"}, False),  # another container: its numbers say nothing
        (0, {}, False),  # a living process of this node
        (660, {}, True),  # living, but it has not renewed: it hangs
        (0, {"started": "12"}, True),  # its number was given to another process
    ],
)
def test_when_a_lock_is_broken(tmp_path, age, changes, broken):
    path = tmp_path / "box.h5"
    held_by(path, age=age, **changes)
    with locked(path) as mine:
        assert mine == broken
    assert lock_of(path).exists() != broken
    assert not list(tmp_path.glob(".*"))


def test_a_lock_of_an_ended_process_is_broken(tmp_path, ended):
    held_by(tmp_path / "box.h5", pid=ended)
    with locked(tmp_path / "box.h5") as mine:
        assert mine


def test_a_lock_of_a_dead_process_that_nobody_has_buried_is_broken(tmp_path):
    """A zombie: killed, but its parent has not asked yet what became of it."""
    process = subprocess.Popen(["sleep", "60"])
    held_by(tmp_path / "box.h5", pid=process.pid, started=locks._started(process.pid))
    with locked(tmp_path / "box.h5") as mine:
        assert not mine
    process.kill()
    until(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "Z")
    with locked(tmp_path / "box.h5") as mine:
        assert mine
    process.wait()


@pytest.mark.parametrize(
    "job, restart, broken",
    [
        ("77", 0, True),  # this job, before Slurm started it again: all of it has ended
        ("77", 1, False),  # this very start of it, on another of its nodes
        ("76", 0, False),
        ("", 0, False),
    ],
)
def test_a_job_that_slurm_started_again_breaks_its_own_lock(
    tmp_path, monkeypatch, job, restart, broken
):
    """On other nodes, where nobody can see that the first process has ended."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    held_by(tmp_path / "run", host="elsewhere", job=job, restart=restart)
    with locked(tmp_path / "run") as mine:
        assert mine == broken


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_that_cannot_be_read_counts_by_its_age(tmp_path, text):
    path = tmp_path / "box.h5"
    lock_of(path).write_text(text)
    with locked(path) as mine:
        assert not mine
    os.utime(lock_of(path), (time.time() - 660,) * 2)
    with locked(path) as mine:
        assert mine


def test_one_of_many_breaks_a_stale_lock(tmp_path):
    for trial in range(50):
        path = tmp_path / f"box-{trial}.h5"
        held_by(path, age=660, host="elsewhere")
        together, all_tried = (threading.Barrier(8, timeout=20) for _ in range(2))

        def attempt(_, path=path, together=together, all_tried=all_tried):
            together.wait()
            with locked(path) as mine:
                all_tried.wait()
                return mine

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(8))) == 1
    assert not list(tmp_path.iterdir())


def test_who_ended_while_breaking_a_lock_holds_nobody_up(tmp_path, ended):
    path = tmp_path / "box.h5"
    gone = held_by(path, pid=ended)
    (tmp_path / ".box.h5.lock.breaking").write_text(json.dumps(asdict(gone)))
    for expected in (False, True):  # what it left is found, and then the way is free
        with locked(path) as mine:
            assert mine == expected
    assert not list(tmp_path.iterdir())


def test_a_lock_is_renewed_while_the_work_lasts(tmp_path):
    path = tmp_path / "box.h5"
    with locked(path, beat=0.02) as mine:
        assert mine
        os.utime(lock_of(path), (0, 0))
        until(lambda: lock_of(path).stat().st_mtime > time.time() - 60)


def test_who_lost_the_lock_leaves_it_to_the_new_holder(tmp_path):
    path = tmp_path / "box.h5"
    with locked(path, beat=0.02):
        other = held_by(path, age=300, host="elsewhere", token="other")
        time.sleep(0.1)
        assert lock_of(path).stat().st_mtime < time.time() - 200  # nor renews it
    assert locks.holder_of(path) == other


def test_a_failure_gives_the_lock_back(tmp_path):
    with pytest.raises(InputError), locked(tmp_path / "box.h5"):
        raise InputError("no")
    assert not list(tmp_path.iterdir())


def test_where_a_file_has_one_name_only_locks_work_too(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(locks.errno.EPERM, "no links here")

    monkeypatch.setattr(locks.os, "link", refused)
    path = tmp_path / "box.h5"
    with locked(path) as mine, locked(path) as second:
        assert mine and not second
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none_is_named(tmp_path):
    with (
        pytest.raises(InputError, match=r"absent/box.h5.lock"),
        locked(tmp_path / "absent/box.h5"),
    ):
        pass


def test_who_waits_says_for_whom_and_takes_over(tmp_path):
    paths = [tmp_path / "box-0.h5", tmp_path / "box-1.h5"]
    held_by(paths[0], host="elsewhere", pid=77, job="1234")
    notes, made = [], []

    def waiting(note):
        notes.append(note)
        if len(notes) == 3:  # the other gives up
            lock_of(paths[0]).unlink()

    def make(number):
        made.append(number)
        paths[number].touch()

    make_each_once(paths, lambda i: paths[i].exists(), make, waiting, poll=0.01)
    assert made == [1, 0]  # what nobody else makes first
    expected = "waiting for 1 of 2: box-0.h5, made by process 77 on elsewhere, job 1234"
    assert notes == [expected] * 3


def test_what_another_made_meanwhile_is_not_made_again(tmp_path, monkeypatch):
    path = tmp_path / "box.h5"
    looks = iter([False, True])  # it is finished between the first look and the lock
    make_each_once([path], lambda _: next(looks), lambda _: pytest.fail("made"), print)


def test_a_holder_learns_that_its_lock_was_taken(tmp_path):
    path = tmp_path / "run"
    with locked(path) as mine:
        assert mine and locks.taken_by(path) is None
        held_by(path, host="elsewhere")  # this process was stopped for long, and others broke it
        assert locks.taken_by(path).host == "elsewhere"
    assert lock_of(path).exists()  # it is theirs


HIDDEN = """
import os, sys, time
from pathlib import Path
from cosmodeep_hpc.parallel.locks import locked
path = Path(sys.argv[1]) / "run"
def child(user, work):
    if number := os.fork():
        return number
    os.setgid(user), os.setuid(user)
    work()
    os._exit(0)
def hold():
    with locked(path) as mine:
        print("first:", mine, flush=True)
        time.sleep(60)
def attempt():
    with locked(path) as mine:
        print("second:", mine, flush=True)
holder = child(1001, hold)
while not path.with_name("run.lock").exists():
    time.sleep(0.01)
os.waitpid(child(1002, attempt), 0)
os.kill(holder, 9)
os.waitpid(holder, 0)
os.waitpid(child(1002, attempt), 0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: two users, and a /proc of their own")
@pytest.mark.parametrize("hidepid", [0, 2])
def test_the_lock_of_a_living_process_of_another_user_is_kept_where_proc_hides_it(hidepid):
    """As on the nodes of shared clusters; and when that process has ended, its lock is broken."""
    mount = f'mount -t proc -o hidepid={hidepid} proc /proc && exec "$@"'
    new = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", mount, "sh"]
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which is one user's alone
        os.chmod(folder, 0o777)
        job = subprocess.run(
            [*new, sys.executable, "-c", HIDDEN, folder],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    if "unshare" in job.stderr or "mount:" in job.stderr:
        pytest.skip(f"no namespaces here: {job.stderr.strip()}")
    assert job.stdout.splitlines() == ["first: True", "second: False", "second: True"], job.stderr


def test_a_script_holds_a_lock_as_long_as_it_lives(tmp_path):
    """Also where the file system knows no flock: slurm/table2.sh asks for it in this way."""
    words = [sys.executable, "-m", "cosmodeep_hpc.parallel.holdlock", tmp_path / "run"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    first = subprocess.Popen(words, **pipes)
    assert first.stdout.readline() == "ours\n" and (tmp_path / "run.lock").exists()
    second = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert second.stdout == f"process {first.pid} on {socket.gethostname()}\n"
    first.communicate()  # its input ends
    assert first.returncode == 0 and not list(tmp_path.iterdir())
    words[-1] = tmp_path / "absent/run"
    absent = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert absent.returncode == 2 and "absent/run.lock: cannot write it" in absent.stderr
