"""Running the command, or a piece of Python, under mpirun: with a time limit, and no orphans."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest


def environment(**changes: str) -> dict[str, str]:
    """The environment of ranks: that of the tests, with few threads a rank.

    What the MPI of the test process itself put into the C environment is not in `os.environ`.
    """
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **changes,
    }
    if os.geteuid() == 0:  # Open MPI asks root to say twice that it means it
        env |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return env


def unlaunched() -> dict[str, str]:
    """Return the environment of a process that no launcher started."""
    launchers = ("SLURM_", "OMPI_COMM_WORLD", "PMI", "PALS_", "ALPS_", "MV2_")
    return {k: v for k, v in environment().items() if not k.startswith(launchers)}


def command(ranks: int, *words: object) -> list[str]:
    """The command line: `-c CODE ...` or `FILE.py ...` is Python; other words are `cosmodeep`'s."""
    python = words[0] == "-c" or str(words[0]).endswith(".py")
    what = ["-m", "mpi4py"] if python else ["-m", "cosmodeep_hpc"]
    line = [sys.executable, *what, *map(str, words)]
    if ranks == 1:
        return line
    launcher = shutil.which("mpirun", path=environment()["PATH"])
    if launcher is None:
        pytest.fail("no mpirun on the PATH; `make env` says how to get one")
    return [launcher, "-n", str(ranks), "--oversubscribe", "--bind-to", "none", *line]


def start(ranks: int, *words: object, **env: str) -> subprocess.Popen[str]:
    """Start a job in a session of its own, its output in one pipe."""
    return subprocess.Popen(
        command(ranks, *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(**env),
        start_new_session=True,
    )


def mpirun(
    ranks: int, *words: object, timeout: float = 120, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a job to its end; fail the test, with what the job said, if it takes longer."""
    return finish(start(ranks, *words, **env), timeout)


def finish(job: subprocess.Popen[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Wait for a job to end by itself; past the time limit end it and fail the test."""
    try:
        said, _ = job.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end(job)
        said, _ = job.communicate()
        pytest.fail(f"still running after {timeout} s: {job.args}\n{said[-4000:]}")
    finally:
        end(job)
    return subprocess.CompletedProcess(job.args, job.returncode, said)


def end(job: subprocess.Popen[str]) -> None:
    """Kill what is left of a job: ranks have process groups of their own, but one session."""
    for _ in range(20):
        members = session(job.pid)
        if not members:
            return
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def session(leader: int) -> list[int]:
    """The living processes of the session that `leader` started."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state parent group session ...; a name may hold blanks and brackets
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
            if int(of) == leader and state != "Z":
                members.append(int(stat.parent.name))
    return members


def ranks_of(job: subprocess.Popen[str]) -> list[int]:
    """The processes of a job that are ranks, in the order they were started."""
    found = []
    for pid in session(job.pid):
        with suppress(OSError):
            if pid != job.pid and b"mpi" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return sorted(found)


def told(job: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a job's output that are the command's own, but for how its ranks sum."""
    own = [line for line in job.stdout.splitlines() if line.startswith("cosmodeep: ")]
    return [line for line in own if "gradients are summed" not in line]
