"""The cost of a training step on the ranks of this job, measured part by part.

Everything is timed on random tiles held in memory, so no tile set is needed. One rank alone is
timed before Horovod starts, whose thread would otherwise use the same cores. Where gradients are
summed by MPI and Horovod is there, its steps are timed at the end.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.bench.timings import Hardware, StepTimings, Timing
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.files import make_folder
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.learn import network
from cosmodeep_hpc.learn.allreduce import Allreduce, Way
from cosmodeep_hpc.learn.batch import Batch, CountsBatch, PaperBatch
from cosmodeep_hpc.learn.sampler import Sampler, keep_mask
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.learn.tilesinmemory import TilesInMemory
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import Ranks, World, collective
from cosmodeep_hpc.parallel.world import alone as world_of_one
from cosmodeep_hpc.tiles.noise import MAD_TO_SIGMA

if TYPE_CHECKING:
    from mpi4py import MPI

WARM_UP = 3  # uncounted calls of each action: the first one compiles
MESSAGES = 5  # short messages are timed so many times more often than steps
HELD = 2048  # random tiles of the store that batches are drawn from


def run(
    config: Config,
    world: World,
    *,
    steps: int = 20,
    out: Path | None = None,
    progress: Progress = silent,
) -> StepTimings:
    """Time all parts of a step; a collective call.

    Args:
        steps: timed of each kind.
        out: a file to write later; it is checked now.
        progress: called with (measurements done, measurements in all).

    Raises:
        InputError: fewer tiles in a batch than ranks, `out` cannot be written, or no TensorFlow.
    """
    runtime.require_tensorflow(world)
    batch = config.train.batch
    if batch < world.size:
        text = f"expected at least one tile for each of the {world.size} ranks"
        raise collective(InputError(f"train.batch = {batch}: {text}"))
    world.on_root(lambda: _check_file(out))
    tf = runtime.start_tensorflow(world)
    place = _place(tf, world)
    share = -(-batch // world.size)
    sizes = sorted({1, -(-batch // 4), share, batch})
    total = len(sizes) + (6 if world.size > 1 else 4)
    done = 0

    def ready() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    alone: dict[int, Timing] = {}
    lonely = Allreduce(world_of_one())
    for tiles in sizes if world.is_root else ():
        parts = _steps(_StepTrial(tf, config, lonely, tiles, tiles), steps)
        alone[tiles] = Timing.of(parts["step"])
        ready()
    _wait(world)
    alone = world.comm.bcast(alone, root=0)
    together = Allreduce(world, config.train.sums)
    weak = _steps(_StepTrial(tf, config, together, batch, batch * world.size), steps)
    ready()
    mine = len(world.share(batch))
    trial = _StepTrial(tf, config, together, mine, batch)
    strong = _steps(trial, steps)
    ready()
    numbers = trial.numbers
    messages: dict[str, Timing] = {}
    if world.size > 1:
        messages = _sums(tf, together, world, numbers, steps)
        ready()
        messages |= _mpi(world, numbers, steps)
        ready()
    fetching = _input(config, world, steps)
    ready()
    classify = _classify(trial.step, config, world, max(steps // 4, 2))
    ready()
    compute = np.concatenate(world.comm.allgather(weak["compute"]))
    beside: dict[str, Timing] = {}
    if other := _other_way(together.way, world):
        beside = _beside(tf, config, Allreduce(world, other), world, steps)
    return StepTimings(
        place=place,
        batch=batch,
        gradient=4 * numbers,
        inference=config.classify.batch,
        alone=alone,
        weak={name: _slowest(seconds, world) for name, seconds in weak.items()},
        strong={name: _slowest(seconds, world) for name, seconds in strong.items()},
        crowding=float(np.median(compute)) / alone[batch].median,
        scatter=_scatter(compute),
        sums=together.way,
        messages=messages,
        beside=beside,
        input=fetching,
        classify=classify,
    )


def _check_file(out: Path | None) -> None:
    """Raise now if the results could not be written after the measurements."""
    if out is None:
        return
    if out.is_dir():
        raise InputError(f"{out}: a folder; expected the name of a file to write")
    make_folder(out.parent)


def _place(tf: Any, world: World) -> Hardware:
    gpus = tf.config.get_visible_devices("GPU")
    device = _processor()
    if gpus:
        device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    of_ranks = world.comm.allgather(
        (world.local_rank == 0, world.local_size, runtime.cores_of_rank(world), bool(gpus))
    )
    first, sharing, cores, on_gpu = zip(*of_ranks, strict=True)
    return Hardware(
        ranks=world.size,
        nodes=sum(first),
        per_node=max(sharing),
        cores=min(cores),
        gpus=sum(on_gpu),
        device=str(device),
    )


def _processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _wait(world: World) -> None:
    """Wait for all ranks and leave the cores to them meanwhile."""
    if world.size == 1:
        return
    request = cast("MPI.Intracomm", world.comm).Ibarrier()
    while not request.Test():
        time.sleep(0.01)


class _StepTrial:
    """Training steps on one random batch; each number of tiles has a compiled step of its own."""

    def __init__(
        self, tf: Any, config: Config, allreduce: Allreduce, tiles: int, batch: int
    ) -> None:
        options, size = config.train, config.tiles.window
        net = network.asked(config)
        self.step = Step(
            tf,
            net,
            options.learning_rate,
            allreduce,
            precision=options.precision,
            xla=options.xla,
        )
        self.numbers = sum(math.prod(v.shape) for v in net.trainable_variables) + 2
        random = np.random.default_rng(options.seed)
        images = random.standard_normal((tiles, size, size), dtype=np.float32)
        self._part: Batch
        if config.model.network == "counts":
            size, thresholds = config.tiles.size, len(config.tiles.thresholds)
            self._part = CountsBatch(
                tiles=images,
                counts=random.integers(0, 50, (tiles, thresholds), dtype=np.uint16),
                exceeded=random.integers(0, 2**thresholds, (tiles, size, size), dtype=np.uint8),
            )
        else:
            keep = np.ones((tiles, network.HIDDEN_UNITS), dtype=np.float32)
            self._part = PaperBatch(tiles=images, signal=random.random(tiles) < 0.5, keep=keep)
        self._batch = batch

    def train(self) -> None:
        # with flags as in training: the end of the job, and a checkpoint that is due
        self.step.train(self._part, self._batch, (False, False))


def _steps(trial: _StepTrial, count: int) -> dict[str, NDArray[np.float64]]:
    """Return the seconds of `count` steps of this rank, and of their parts."""
    found: dict[str, list[float]] = {"step": [], "compute": [], "allreduce": []}
    for number in range(-WARM_UP, count):
        start = time.perf_counter()
        trial.train()
        parts = {"step": time.perf_counter() - start, **trial.step.read_times()}
        if number >= 0:
            for name, seconds in found.items():
                seconds.append(parts[name])
    return {name: np.array(seconds) for name, seconds in found.items()}


def _slowest(seconds: NDArray[np.float64], world: World) -> Timing:
    """Return the time of the slowest rank for each repetition; a collective call."""
    return Timing.of(np.max(world.comm.allgather(seconds), axis=0))


def _scatter(seconds: NDArray[np.float64]) -> float:
    """Return the relative standard deviation by the median deviation, robust against outliers."""
    median = float(np.median(seconds))
    return MAD_TO_SIGMA * float(np.median(np.abs(seconds - median))) / median


def _repeated(action: Callable[[], object], world: World, count: int) -> Timing:
    """Time an action that all ranks begin together; a collective call."""
    found = np.empty(count)
    for number in range(-WARM_UP, count):
        world.comm.Barrier()
        start = time.perf_counter()
        action()
        if number >= 0:
            found[number] = time.perf_counter() - start
    return _slowest(found, world)


def _other_way(way: str, world: World) -> Way | None:
    """Return the way to sum that this job does not take; None: there is none here."""
    if way == "horovod":
        return "mpi"
    return "horovod" if way == "mpi" and not world.any(find_spec("horovod") is None) else None


def _beside(
    tf: Any, config: Config, allreduce: Allreduce, world: World, steps: int
) -> dict[str, Timing]:
    """Time steps, and their sum alone, that are summed in another way; a collective call."""
    batch = config.train.batch
    weak = _StepTrial(tf, config, allreduce, batch, batch * world.size)
    strong = _StepTrial(tf, config, allreduce, len(world.share(batch)), batch)
    found = {
        name: _slowest(_steps(trial, steps)["step"], world)
        for name, trial in (("weak", weak), ("strong", strong))
    }
    return found | {"gradient": _repeated(_summed(allreduce, tf.zeros(weak.numbers)), world, steps)}


def _sums(
    tf: Any, allreduce: Allreduce, world: World, numbers: int, steps: int
) -> dict[str, Timing]:
    """Time the sum of a step alone, of the gradient's bytes and of a few, as a step does it."""
    found = {}
    for name, length in (("gradient", numbers), ("8 bytes", 2)):
        found[name] = _repeated(_summed(allreduce, tf.zeros(length)), world, steps)
    return found


def _summed(allreduce: Allreduce, values: Any) -> Callable[[], object]:
    # reading one number waits for the sum, which a GPU does asynchronously
    return lambda: allreduce.sums([values])[0][0].numpy()


def _mpi(world: World, numbers: int, steps: int) -> dict[str, Timing]:
    """Time MPI's own sums, over all ranks and over those of each node, and a barrier."""
    found = {}
    for where, comm in (("", world.comm), (", a node", world.node)):
        for name, length, count in (
            ("gradient", numbers, steps),
            ("8 bytes", 2, MESSAGES * steps),
        ):
            values, into = np.zeros(length, np.float32), np.empty(length, np.float32)
            found[f"{name}, MPI{where}"] = _repeated(_summing(comm, values, into), world, count)
    found["barrier, MPI"] = _repeated(world.comm.Barrier, world, MESSAGES * steps)
    return found


def _summing(
    ranks: Ranks, values: NDArray[np.float32], into: NDArray[np.float32]
) -> Callable[[], None]:
    comm = cast("MPI.Intracomm", ranks)  # timed only if there are several
    return lambda: comm.Allreduce(values, into)


def _input(config: Config, world: World, steps: int) -> dict[str, Timing]:
    """Time drawing a rank's part of a batch from the node's shared memory, as training does."""
    size, options = config.tiles.window, config.train
    pixels = world.node_array((HELD, size, size), np.float32, cleared=False)
    if world.local_rank == 0:
        pixels[:] = np.random.default_rng(options.seed).standard_normal(size**2).reshape(size, size)
    world.node.Barrier()
    half = np.arange(HELD // 2)
    sampler = Sampler(
        signal=half, noise=half + len(half), batch=options.batch, noise_per_signal=1.0, seed=1
    )
    tiles = TilesInMemory(pixels=pixels)
    order, rows = sampler.order(0), sampler.local_rows(0, world.rank, world.size)
    chosen = order[rows.start : rows.stop]
    drop = config.model.dropout

    def masks() -> NDArray[np.float32]:
        return keep_mask(network.HIDDEN_UNITS, drop, seed=options.seed, epoch=0, rows=rows)

    return {
        "tiles": _repeated(lambda: tiles.batch(chosen), world, steps),
        "masks": _repeated(masks, world, steps),
    }


def _classify(step: Step, config: Config, world: World, count: int) -> Timing:
    """Time the classification of batches of tiles on every rank at once."""
    size = config.tiles.window
    shape = (config.classify.batch, size, size)
    tiles = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    return _repeated(lambda: step.probability(tiles), world, count)
