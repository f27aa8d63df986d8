"""Environment variables that decide the speed, each with its reason; all are set here.

A user's own environment wins: only unset variables are set.
"""

from __future__ import annotations

import os
from pathlib import Path

from cosmodeep_hpc.parallel.gpus import DEVICES, count_gpus

BEFORE_MPI = {
    # Open MPI 5 asks the kernel for the route between two ranks of one node, is told the loopback,
    # and says at each start that the ranks cannot reach each other; the other way compares networks
    "OMPI_MCA_reachable": "weighted",
}
BEFORE_MPI_ON_CPU = {
    # Open MPI's waiting ranks spin and take the core from the computation of their neighbours:
    # two training ranks of one core each gain up to a factor 1.6 from yielding it
    "OMPI_MCA_mpi_yield_when_idle": "1",
}
BEFORE_TENSORFLOW = {
    # the TensorFlow wheel leaves oneDNN off on AMD processors; with it TensorFlow's convolutions,
    # which mixed precision and other networks than ours run on cores, are 1.4-2.6 times as fast
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # warnings and errors only: the start-up notes of every rank would bury the progress lines
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
BEFORE_JAX = {
    # else the first rank of a GPU takes three quarters of its memory, and the next finds none
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",  # XLA's start-up notes obey it too
}
BEFORE_HOROVOD = {
    # off by default: a rank that lost its partners would wait for ever
    "HOROVOD_STALL_CHECK_TIME_SECONDS": "60",
    "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "300",
    # a step sums one tensor, so there is nothing to wait for and to fuse, and a step on a GPU takes
    # a few ms only; on two cores 0.2, 0.5 and 1 ms (Horovod's own) are equal, 5 ms costs a tenth
    "HOROVOD_CYCLE_TIME": "0.5",
}
FOR_DETERMINISM = {
    # NCCL chooses between ring and tree by its own timings, and they add in another order
    "NCCL_ALGO": "Ring",
}


def before_mpi(devices: Path = DEVICES) -> None:
    """Set the defaults that MPI reads when it starts."""
    set_defaults(BEFORE_MPI)
    if not count_gpus(devices):
        set_defaults(BEFORE_MPI_ON_CPU)


def set_defaults(defaults: dict[str, str]) -> None:
    """Set the variables that are not set."""
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
