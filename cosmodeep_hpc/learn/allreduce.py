"""Sums over ranks by Horovod: the one module that talks to it.

Horovod joins the MPI world that mpi4py opened. Its optimizer wrapper is not used: with Keras 3 it
sums nothing and gives no warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import World


class Allreduce:
    """Sums tensors over all ranks; on one rank it returns them as they are, without Horovod."""

    def __init__(self, world: World) -> None:
        """Start Horovod in this world; a collective call."""
        self._hvd: Any = None
        self._thread = ThreadPoolExecutor(1)  # starts its thread at the first sum
        if world.size == 1:
            return
        try:
            import horovod.tensorflow as hvd
        except ImportError as error:
            raise InputError(
                f"horovod: not installed for this TensorFlow ({error}), but there are {world.size} "
                "ranks; run `make env`, or train with one rank"
            ) from error
        hvd.init(comm=world.comm)
        if (hvd.rank(), hvd.size()) != (world.rank, world.size):
            raise InputError(
                f"horovod: it counts rank {hvd.rank()} of {hvd.size()}, MPI counts {world.rank} of "
                f"{world.size}; expected one world: run `cosmodeep doctor` under the same launcher"
            )
        self._hvd = hvd

    def sums(self, parts: Iterable[Any]) -> list[Any]:
        """Return the sums over ranks of some tensors, as many and as large on all ranks.

        Each sum begins as soon as its tensor is computed, while the next one is being computed.
        Tensors are matched by their position and never fused, so that the order of additions is the
        same in every run.
        """
        if self._hvd is None:
            return list(parts)
        begun = [self._thread.submit(self._sum, n, part) for n, part in enumerate(parts)]
        return [summed.result() for summed in begun]

    def _sum(self, number: int, part: Any) -> Any:
        return self._hvd.allreduce(part, op=self._hvd.Sum, name=f"step.{number}")

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every rank the values that rank 0 has in these TensorFlow variables."""
        if self._hvd is not None:
            self._hvd.broadcast_variables(list(variables), root_rank=0)
