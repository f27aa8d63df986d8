"""How much memory the ranks of a node may still take, and what says so."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cosmodeep_hpc.errors import InputError

SHARED = Path("/dev/shm")
"""Where MPI keeps the memory that the ranks of a node share."""
ELSEWHERE = "OMPI_MCA_osc_sm_backing_directory"
"""The variable by which Open MPI is told of another place."""
ADVICE = "leave the tiles on disk with --train.store disk"
ROOT = Path("/")
GIB = 2**30
OF_RANK = GIB
"""What a training rank needs beside its tiles: 0.85 GiB for the paper's network on one core."""
ADDRESSES_OF_RANK = 3 * GIB
"""Addresses that it needs, of which libraries and threads fill a part: 1.8 GiB on one core."""


@dataclass(frozen=True, order=True)
class Room:
    """Memory that is there for tiles.

    Attributes:
        bytes: that may still be taken; below 0 if the ranks themselves need more.
        by: the limit that leaves so much, in words.
    """

    bytes: int
    by: str


def room(ranks: int, environ: Mapping[str, str], root: Path = ROOT) -> Room:
    """Return the least room that a limit leaves for data of a node.

    Args:
        ranks: of the node. Each needs some memory of its own, which is left to it.
        environ: the environment, where Slurm says what the job may take.
        root: the folder that holds `proc`, `sys` and `dev`.
    """
    found = [*_of_node(ranks, environ, root), *_of_process(ranks, root)]
    if ranks > 1:
        shared = Path(environ.get(ELSEWHERE, SHARED))
        found.append(Room(_free(root / shared.relative_to("/")), f"what is free in {shared}"))
    return min(found, default=Room(2**62, "no limit that is known"))


def too_little_shared(size: int, environ: Mapping[str, str]) -> InputError | None:
    """Return the error of ranks that want so many bytes of shared memory; None if they are there.

    MPI makes a file of this size and maps it. Where the file system is full a rank would be killed
    by a bus error, in the middle of its work and without a word.
    """
    shared = Path(environ.get(ELSEWHERE, SHARED))
    free = _free(shared)
    if size <= free:
        return None
    return InputError(
        f"{shared}: {free / 1e6:.0f} MB free, and the ranks of this node are to share "
        f"{size / 1e6:.0f} MB there; give it more (a container: --shm-size=8g, or bind the host's "
        f"/dev/shm), start one rank a node, or {ADVICE}"
    )


def _free(folder: Path) -> int:
    """Return the bytes that are free in a folder; one that is not there limits nothing."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 2**62
    return found.f_bavail * found.f_frsize


def _of_node(ranks: int, environ: Mapping[str, str], root: Path) -> Iterator[Room]:
    """Yield what is left of a node's memory, and of the job's part of it, beside its ranks."""
    for free, by in (*_kernel(root), *_groups(root), *_slurm(environ)):
        yield Room(free - ranks * OF_RANK, by)


def _kernel(root: Path) -> Iterator[tuple[int, str]]:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024, "MemAvailable of /proc/meminfo"


def _slurm(environ: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield what Slurm gave the job on this node; 0 stands for all of it."""
    megabytes, by = environ.get("SLURM_MEM_PER_NODE", ""), "SLURM_MEM_PER_NODE"
    cores = environ.get("SLURM_CPUS_ON_NODE", "")
    if not megabytes and cores.isdecimal():
        megabytes, by = environ.get("SLURM_MEM_PER_CPU", ""), "SLURM_MEM_PER_CPU"
        if megabytes.isdecimal():
            megabytes = str(int(megabytes) * int(cores))
    if megabytes.isdecimal() and int(megabytes):
        yield int(megabytes) * 2**20, by


def _groups(root: Path) -> Iterator[tuple[int, str]]:
    """Yield what the control groups of this process leave, of version 2 and 1.

    Each group above it counts too. A container may see its own group at the top. Files in the
    kernel's cache count as used, but make room when it is needed.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, name = line.split(":", 2)
        if kinds == "":
            top, files = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            top = root / "sys/fs/cgroup/memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = top / name.lstrip("/")
        for group in (own, *own.parents):
            if not group.is_relative_to(top):
                break
            limit, used = (_text(group / file).strip() for file in files[:2])
            if limit.isdecimal() and used.isdecimal():
                words = _text(group / "memory.stat").split()
                cached = dict(zip(words[::2], words[1::2], strict=False)).get(files[2], "0")
                yield int(limit) - int(used) + int(cached), f"{files[0]} of its control group"


def _of_process(ranks: int, root: Path) -> Iterator[Room]:
    """Yield what the limits of this process leave (`ulimit -v`, `ulimit -d`).

    Memory that ranks share is no data of a process, but has addresses in each.
    """
    status = dict(
        line.split(":", 1) for line in _text(root / "proc/self/status").splitlines() if ":" in line
    )
    for which, word, letter, needed in (
        (resource.RLIMIT_AS, "VmSize", "v", ADDRESSES_OF_RANK),
        (resource.RLIMIT_DATA, "VmData", "d", OF_RANK),
    ):
        limit = resource.getrlimit(which)[0]
        if limit == resource.RLIM_INFINITY or (letter == "d" and ranks > 1):
            continue
        used = int(status.get(word, "0 kB").split()[0]) * 1024
        yield Room(limit - used - needed, f"ulimit -{letter}")


def _text(path: Path) -> str:
    """Return the text of a file of the kernel; empty if this kernel or container has none."""
    with suppress(OSError):
        return path.read_text()
    return ""
