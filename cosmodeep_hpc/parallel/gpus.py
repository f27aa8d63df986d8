"""The GPUs of this node that a job may use, NVIDIA's or AMD's, before any library counts them."""

from __future__ import annotations

import os
import re
from pathlib import Path

DEVICES = Path("/dev")
VARIABLES = {
    "nvidia": ("CUDA_VISIBLE_DEVICES",),
    "amd": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
}
"""The variables by which the libraries of each maker are shown some of a node's GPUs."""
NAMES = re.compile(r"\d+|(GPU|MIG)-.*")


def count_gpus(devices: Path = DEVICES) -> int:
    """Return how many GPUs this job may use on its node.

    Args:
        devices: the folder of the node's devices.
    """
    maker, there = _there(devices)
    if not there:
        return 0
    for name in VARIABLES[maker]:
        named = named_gpus(os.environ.get(name))
        if named is not None:
            return len(named)
    return there


def named_gpus(shown: str | None) -> list[str] | None:
    """Return the GPUs that such a variable names, by number or identifier; None: it hides none.

    As for the makers' libraries, what follows a word that names no GPU counts for nothing, such as
    -1, or NoDevFiles, which Slurm writes for jobs that asked for none.
    """
    if shown is None or shown == "all":
        return None
    named = []
    for word in shown.replace(",", " ").split():
        if not NAMES.fullmatch(word):
            break
        named.append(word)
    return named


def _there(devices: Path) -> tuple[str, int]:
    """Return the maker of the node's GPUs, and how many there are."""
    if nvidia := _numbered(devices, r"nvidia\d+"):
        return "nvidia", nvidia
    if (devices / "kfd").exists():  # the driver of AMD's GPUs as computing devices
        return "amd", _numbered(devices / "dri", r"renderD\d+")
    return "", 0


def _numbered(folder: Path, pattern: str) -> int:
    """Return how many entries of a folder have names of a pattern; 0 where there is no folder."""
    try:
        return sum(bool(re.fullmatch(pattern, path.name)) for path in folder.iterdir())
    except OSError:
        return 0
