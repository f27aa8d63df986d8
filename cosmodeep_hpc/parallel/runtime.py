"""Process defaults that decide the speed, each with its reason; all are set here.

A user's own environment wins: only unset variables are set.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmodeep_hpc.parallel.world import World

DEVICES = Path("/dev")
NO_GPU = {"-1", "", "NoDevFiles"}
"""Values of CUDA_VISIBLE_DEVICES for a job without GPU; the last is Slurm's, without --gres."""

THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")
"""Variables with the number of threads of a rank; the first that is set counts."""
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


def has_gpu() -> bool:
    """Return whether this node has an NVIDIA GPU that this job may use."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in NO_GPU
    return (DEVICES / "nvidia0").exists() and not hidden


def before_mpi() -> None:
    """Set the defaults that MPI reads when it starts."""
    _set(BEFORE_MPI)
    if not has_gpu():
        _set(BEFORE_MPI_ON_CPU)


def start_jax(world: World) -> Any:
    """Import JAX with this rank's threads and GPU as defaults; return the module `jax`."""
    os.environ["KERAS_BACKEND"] = "jax"
    _set(BEFORE_JAX)
    # how XLA's threads on a CPU are limited; each is a thread of this rank's own
    _set({"NPROC": str(cores_of_rank(world))})
    import jax

    gpus = _gpus_of_node()
    if gpus:
        jax.config.update("jax_cuda_visible_devices", str(world.local_rank % gpus))
    return jax


def _gpus_of_node() -> int:
    """Return the number of NVIDIA GPUs that this job may use here, before libraries count them."""
    if not has_gpu():
        return 0
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return len(shown.split(","))
    return sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in DEVICES.iterdir())


def start_tensorflow(world: World, *, deterministic: bool = False) -> Any:
    """Import TensorFlow with this rank's threads and GPU as defaults.

    Args:
        world: the ranks; those of a node share its cores and GPUs.
        deterministic: only use operations that give the same bits each time, on GPUs too; slower.

    Returns:
        the module `tensorflow`.
    """
    # the training step is TensorFlow's, whatever backend a user prefers for classification
    os.environ["KERAS_BACKEND"] = "tensorflow"
    _set(BEFORE_TENSORFLOW)
    _set(BEFORE_HOROVOD)
    if deterministic:
        _set(FOR_DETERMINISM)
    threads = cores_of_rank(world)
    with _hushed():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        # one operation after the other: the network is a chain, more would only share the cores
        tf.config.threading.set_inter_op_parallelism_threads(1)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        take_gpu(tf, world)
        tf.zeros(1) + 1.0  # the first operation brings the rest of the start-up notes
    return tf


def take_gpu(tf: Any, world: World) -> Any:
    """Give this rank the GPU of its number on the node; return the GPU, or None without GPUs.

    If the batch system shows each rank only its own GPU, the rank takes that one. Memory is taken
    as needed, so that ranks of other jobs can use the GPU too. More ranks than GPUs take turns:
    that is good enough to classify; `cosmodeep doctor` calls it a fault.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    own = gpus[world.local_rank % len(gpus)]
    tf.config.set_visible_devices(own, "GPU")
    tf.config.experimental.set_memory_growth(own, True)
    return own


def cores_of_rank(world: World) -> int:
    """Return the cores this rank may keep busy: from the environment, else its share of the node.

    Ranks that are bound to cores have their own; under `mpirun --bind-to none` all ranks of a node
    share all of them.
    """
    for name in THREADS:
        given = os.environ.get(name, "").partition(",")[0].strip()  # OpenMP: one number a level
        if given.isdecimal() and int(given) > 0:
            return int(given)
    own = os.sched_getaffinity(0)
    sharers = sum(bool(own & other) for other in world.node.allgather(own))
    return max(1, len(own) // sharers)


@contextmanager
def _hushed() -> Iterator[None]:
    """Hold back what libraries write to standard error as they start; show it if they fail.

    TensorFlow obeys no log level before its logging is set up: it would write two lines a rank.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as notes:
        real = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(real, notes.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def _set(defaults: dict[str, str]) -> None:
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
