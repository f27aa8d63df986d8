"""TensorFlow and JAX started on the ranks of a job: each has its share of cores and its GPU."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.environment import (
    BEFORE_HOROVOD,
    BEFORE_JAX,
    BEFORE_TENSORFLOW,
    FOR_DETERMINISM,
    set_defaults,
)
from cosmodeep_hpc.parallel.gpus import DEVICES, count_gpus
from cosmodeep_hpc.parallel.world import World

THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")
"""Variables with the number of threads of a rank; the first that is set counts."""


def start_jax(world: World, devices: Path = DEVICES) -> Any:
    """Import JAX with this rank's threads and GPU as defaults; return the module `jax`.

    Args:
        world: the ranks; those of a node share its cores and GPUs.
        devices: the folder of the node's devices.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    set_defaults(BEFORE_JAX)
    # how XLA's threads on a CPU are limited; each is a thread of this rank's own
    set_defaults({"NPROC": str(cores_of_rank(world))})
    import jax

    gpus = count_gpus(devices)
    if gpus:
        for maker in ("cuda", "rocm"):
            jax.config.update(f"jax_{maker}_visible_devices", str(world.local_rank % gpus))
        folder = compiled_for_gpus()
        if folder is not None:
            jax.config.update("jax_compilation_cache_dir", str(folder))
    return jax


def compiled_for_gpus() -> Path | None:
    """Return the folder where JAX keeps what it has compiled; None: it decides, or there is none.

    For GPUs alone: code for a CPU may be of another one, where nodes share a home.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return None
    home, caches = os.environ.get("HOME"), os.environ.get("XDG_CACHE_HOME")
    if not (home or caches):
        return None
    return Path(caches or f"{home}/.cache") / "cosmodeep" / "jax"


def require_tensorflow(world: World) -> None:
    """Refuse to train where TensorFlow is not installed; a collective call.

    A stage calls it before it makes anything: TensorFlow itself starts late, beside the data.

    Raises:
        InputError: a rank has none.
    """
    missing = next((name for name in ("tensorflow", "keras") if find_spec(name) is None), None)
    world.agree(
        None
        if missing is None
        else InputError(
            f"training needs TensorFlow, and Python finds no module {missing}: "
            "pip install 'cosmodeep_hpc[train]'"
        )
    )


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
    set_defaults(BEFORE_TENSORFLOW)
    set_defaults(BEFORE_HOROVOD)
    if deterministic:
        set_defaults(FOR_DETERMINISM)
    threads = cores_of_rank(world)
    with _hushed():
        tf = _tensorflow()
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        # one operation after the other: the network is a chain, more would only share the cores
        tf.config.threading.set_inter_op_parallelism_threads(1)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        take_gpu(tf, world)
        tf.zeros(1) + 1.0  # the first operation brings the rest of the start-up notes
    settle_keras()
    return tf


def _tensorflow() -> Any:
    """Import TensorFlow.

    Raises:
        InputError: it is installed, and cannot be loaded.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        reason = " ".join(str(error).split())
        advice = "run `cosmodeep doctor`"
        if "failed to map" in reason or "allocate" in reason:
            advice = "ask for more memory (--mem of sbatch, ulimit -v): it takes 2 GB of addresses"
        raise InputError(f"TensorFlow cannot be loaded ({reason}); {advice}") from error
    return tf


def settle_keras() -> None:
    """Let Keras take layers as our files describe them, whatever a user's keras.json says."""
    import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


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
    if sys.stderr is not None:  # a process without one may classify from Python
        with suppress(OSError):
            sys.stderr.flush()
    with tempfile.TemporaryFile() as notes:
        real = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            with suppress(OSError):  # the error itself counts
                os.write(real, notes.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
