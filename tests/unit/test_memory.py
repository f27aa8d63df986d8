"""The memory that a job may take: the least of what the kernel, Slurm and the shell leave it."""

import subprocess
import sys

import pytest

from cosmodeep_hpc.parallel import memory

GIB = 2**30
V1, V2 = "cgroup/memory", "cgroup"


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def node(tmp_path):
    """A node with 40 GiB to spare, outside of any group, and a process without limits."""
    kilobytes = 40 * GIB // 1024
    write(tmp_path, {
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemFree: 17 kB\nMemAvailable: {kilobytes} kB\n",
        "proc/self/status": "Name:\tpython\nVmSize:\t  2048 kB\nVmData:\t 1024 kB\n",
        "proc/self/cgroup": "0::/\n",
    })  # fmt: skip
    return tmp_path


def test_of_a_node_without_limits(node):
    """Each rank needs something for itself."""
    for ranks in (1, 4):
        found = memory.room(ranks, {}, node)
        assert found.bytes == (40 - ranks) * GIB and "MemAvailable" in found.by


@pytest.mark.parametrize(
    "group, files, left",
    [
        ("0::/job_7/step_0", {V2 + "/job_7/memory.max": 8, V2 + "/job_7/memory.current": 2}, 6),
        (  # the least of both, the own one without limit
            "0::/job_7/step_0",
            {
                V2 + "/job_7/memory.max": 8,
                V2 + "/job_7/memory.current": 2,
                V2 + "/job_7/step_0/memory.max": "max",
                V2 + "/job_7/step_0/memory.current": 1,
            },
            6,
        ),
        (  # a container that shows its own group at the top
            "0::/../../docker/abc",
            {V2 + "/memory.max": 4, V2 + "/memory.current": 1},
            3,
        ),
        (
            "5:cpu:/x\n4:freezer,memory:/slurm/job_7\n0::/",
            {
                V1 + "/slurm/job_7/memory.limit_in_bytes": 12,
                V1 + "/slurm/job_7/memory.usage_in_bytes": 2,
            },
            10,
        ),
        (  # no limit, as version 1 writes it
            "4:memory:/",
            {
                V1 + "/memory.limit_in_bytes": 8589934591,
                V1 + "/memory.usage_in_bytes": 2,
            },
            40,
        ),
    ],
)
def test_of_a_control_group(node, group, files, left):
    """Values in GiB."""
    text = {
        f"sys/fs/{name}": f"{value * GIB if isinstance(value, int) else value}\n"
        for name, value in files.items()
    }
    write(node, {"proc/self/cgroup": group + "\n", **text})
    found = memory.room(2, {}, node)
    assert found.bytes == (left - 2) * GIB
    assert ("control group" in found.by) == (left < 40)


@pytest.mark.parametrize(
    "files, word",
    [
        (("memory.max", "memory.current"), "inactive_file"),
        (("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"), "total_inactive_file"),
    ],
)
def test_files_in_the_cache_make_room(node, files, word):
    """Otherwise a job that has read its tiles once would seem to be full."""
    group = "0::/\n" if word == "inactive_file" else "4:memory:/\n"
    stat = "/".join([*files[0].split("/")[:-1], "memory.stat"])
    write(node, {
        "proc/self/cgroup": group,
        f"sys/fs/cgroup/{files[0]}": f"{10 * GIB}\n",
        f"sys/fs/cgroup/{files[1]}": f"{9 * GIB}\n",
        f"sys/fs/cgroup/{stat}": f"anon 5\n{word} {7 * GIB}\nactive_file 9\n",
    })  # fmt: skip
    assert memory.room(1, {}, node).bytes == (10 - 9 + 7 - 1) * GIB


@pytest.mark.parametrize(
    "given, left, by",
    [
        ({"SLURM_MEM_PER_NODE": "16384"}, 16, "SLURM_MEM_PER_NODE"),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "6"}, 12, "SLURM_MEM_PER_CPU"),
        ({"SLURM_MEM_PER_NODE": "0"}, 40, "MemAvailable of /proc/meminfo"),  # all of the node
        ({"SLURM_MEM_PER_CPU": "2048"}, 40, "MemAvailable of /proc/meminfo"),
    ],
)
def test_of_slurm(node, given, left, by):
    assert memory.room(1, given, node) == memory.Room((left - 1) * GIB, by)


def test_of_memory_that_ranks_share(node):
    """It is a file; one rank alone needs none."""
    (node / "dev/shm").mkdir(parents=True)
    write(node, {"proc/meminfo": f"MemAvailable: {2**50} kB\n"})
    assert "MemAvailable" in memory.room(1, {}, node).by
    found = memory.room(2, {}, node)
    assert found.by == "what is free in /dev/shm" and found.bytes > 0
    elsewhere = {memory.ELSEWHERE: "/scratch"}
    assert "MemAvailable" in memory.room(2, elsewhere, node).by  # not there: MPI would say so
    (node / "scratch").mkdir()
    assert memory.room(2, elsewhere, node).by == "what is free in /scratch"


def test_shared_memory_that_does_not_fit_is_named(tmp_path):
    there = {memory.ELSEWHERE: str(tmp_path)}
    assert memory.too_little_shared(10**6, there) is None
    error = memory.too_little_shared(2**60, there)
    assert str(error).startswith(f"{tmp_path}: ")
    assert "MB free" in str(error) and "--shm-size" in str(error) and "disk" in str(error)


LIMIT = """
import os, resource, sys
from cosmodeep_hpc.parallel import memory
which, gigabytes = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(which, (gigabytes * 2**30, resource.RLIM_INFINITY))
found = memory.room(int(sys.argv[3]), {})
print(found.bytes / 2**30, found.by)
"""


@pytest.mark.parametrize(
    "which, ranks, needed, by",
    [
        ("RLIMIT_AS", 1, 3, "ulimit -v"),
        ("RLIMIT_AS", 2, 3, "ulimit -v"),
        ("RLIMIT_DATA", 1, 1, "ulimit -d"),
        ("RLIMIT_DATA", 2, 1, None),  # shared memory is no data of a process
    ],
)
def test_of_the_shell(which, ranks, needed, by):
    """`ulimit -v` and `-d`, less what the process has and what training needs."""
    job = subprocess.run(
        [sys.executable, "-c", LIMIT, which, "4", str(ranks)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    left, _, name = job.stdout.strip().partition(" ")
    assert (name == by) == (by is not None)
    if by:
        assert 4 - needed - 0.3 < float(left) < 4 - needed
