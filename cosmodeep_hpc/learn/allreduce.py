"""Sums over ranks, by Horovod or by MPI: the one module that talks to Horovod.

Horovod joins the MPI world that mpi4py opened. Its optimizer wrapper is not used: with Keras 3 it
sums nothing and gives no warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.simd import zeros
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import World, collective

if TYPE_CHECKING:
    from mpi4py import MPI

ALIGNED = 16
"""Numbers between whose beginnings TensorFlow takes tensors as they lie in memory: 64 bytes."""
Way = Literal["auto", "horovod", "mpi"]

logger = logging.getLogger(__name__)


class Transport(Protocol):
    """A way to sum tensors over several ranks."""

    def sums(self, parts: Iterable[Any]) -> list[Any]:
        """Return the sums over ranks of some tensors, as many and as large on all ranks."""

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every rank the values that rank 0 has in these TensorFlow variables."""


class Allreduce:
    """Sums tensors over all ranks; on one rank it returns them as they are.

    Attributes:
        way: "horovod" or "mpi"; empty on one rank.
    """

    def __init__(self, world: World, way: Way = "auto") -> None:
        """Choose how to sum, and start Horovod where it does; a collective call.

        Args:
            way: "auto" takes Horovod where GPUs are summed by it (NCCL), and MPI elsewhere.

        Raises:
            InputError: Horovod is asked for, and is not there or sees other ranks.
        """
        self.way = ""
        self._transport: Transport | None = None
        if world.size == 1:
            return
        reason = ""
        if way == "auto":
            way = "horovod" if all(world.comm.allgather(_sums_gpus())) else "mpi"
            reason = " (no Horovod with NCCL for GPUs)" if way == "mpi" and _has_gpu() else ""
        self.way = way
        self._transport = ByHorovod(world) if way == "horovod" else ByMpi(world)
        if world.is_root:
            name = {"horovod": "Horovod", "mpi": "MPI"}[way]
            logger.info("gradients are summed over %d ranks by %s%s", world.size, name, reason)

    def sums(self, parts: Iterable[Any]) -> list[Any]:
        """Return the sums over ranks of some tensors, as many and as large on all ranks.

        The order of additions is the same in every run on as many ranks.
        """
        return list(parts) if self._transport is None else self._transport.sums(parts)

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every rank the values that rank 0 has in these TensorFlow variables."""
        if self._transport is not None:
            self._transport.broadcast(variables)


class ByHorovod:
    """Sums by Horovod: by NCCL between GPUs.

    Each sum begins as soon as its tensor is computed, while the next one is being computed. Tensors
    are matched by their position and never fused.
    """

    def __init__(self, world: World) -> None:
        """Start Horovod in this world; a collective call.

        Raises:
            InputError: it is not installed for this TensorFlow, or sees other ranks.
        """
        failure = None
        try:
            import horovod.tensorflow as hvd
        except ImportError as error:
            failure = InputError(
                f"horovod: not installed for this TensorFlow ({error}), but there are {world.size} "
                "ranks; run `make env`, or set train.sums = mpi"
            )
        world.agree(failure)
        hvd.init(comm=world.comm)
        if (hvd.rank(), hvd.size()) != (world.rank, world.size):
            raise collective(
                InputError(
                    f"horovod: it counts rank {hvd.rank()} of {hvd.size()}, MPI counts "
                    f"{world.rank} of {world.size}; expected one world: run `cosmodeep doctor` "
                    "under the same launcher, or set train.sums = mpi"
                )
            )
        self._hvd: Any = hvd
        self._thread = ThreadPoolExecutor(1)  # starts its thread at the first sum

    def sums(self, parts: Iterable[Any]) -> list[Any]:
        """Return the sums over ranks of some tensors."""
        begun = [self._thread.submit(self._sum, n, part) for n, part in enumerate(parts)]
        return [summed.result() for summed in begun]

    def _sum(self, number: int, part: Any) -> Any:
        return self._hvd.allreduce(part, op=self._hvd.Sum, name=f"step.{number}")

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every rank the values that rank 0 has in these variables."""
        self._hvd.broadcast_variables(list(variables), root_rank=0)


class ByMpi:
    """Sums by MPI on the host's memory: one message a step, and no thread beside the step's own.

    MPI adds in the same order whenever as many ranks sum as many numbers (MPI 4.1, section 6.9.1,
    advice to implementors), which Open MPI and MPICH keep.
    """

    def __init__(self, world: World) -> None:
        """Take the ranks of this world."""
        self._comm = cast("MPI.Intracomm", world.comm)
        self._buffer: NDArray[np.float32] = np.zeros(0, np.float32)

    def sums(self, parts: Iterable[Any]) -> list[Any]:
        """Return the sums over ranks of some float32 tensors of one axis.

        They lie in memory that the next sum overwrites: a copy of them takes as long as the sum.
        """
        from mpi4py import MPI
        from tensorflow.experimental import dlpack

        own = [np.asarray(part) for part in parts]
        ends = np.cumsum([-(-len(part) // ALIGNED) * ALIGNED for part in own])
        if len(self._buffer) != ends[-1]:
            self._buffer = zeros((int(ends[-1]),))
        summed = [
            whole[: len(part)]
            for whole, part in zip(np.split(self._buffer, ends[:-1]), own, strict=True)
        ]
        for into, part in zip(summed, own, strict=True):
            into[:] = part
        self._comm.Allreduce(MPI.IN_PLACE, self._buffer)
        return [dlpack.from_dlpack(part.__dlpack__()) for part in summed]

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every rank the values that rank 0 has in these variables."""
        for variable in variables:
            variable.assign(self._comm.bcast(variable.numpy()))


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.get_visible_devices("GPU"))


def _sums_gpus() -> bool:
    """Return whether this rank has a GPU, and a Horovod that sums between GPUs."""
    if not _has_gpu():
        return False
    try:
        import horovod.tensorflow as hvd
    except ImportError:
        return False
    return bool(hvd.nccl_built())
