"""The stage `tune`: the runs of a search, each in a run folder of its own, one after the other."""

from __future__ import annotations

import dataclasses
import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.files import make_folder, sha256, write_json
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.learn import modelfile, runfolder, trainer
from cosmodeep_hpc.learn.tune import results
from cosmodeep_hpc.learn.tune.grid import TuneRun, config_of, count, tune_run
from cosmodeep_hpc.learn.tune.results import RESULTS, RUNS, TILES, Result, folder_of
from cosmodeep_hpc.parallel import locks
from cosmodeep_hpc.parallel.signals import StopRequest
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.tiles.tileset import INDEX, read_tileset

logger = logging.getLogger(__name__)

CONFIG = "config.json"
DECIDING = ("label", "model", "train", "tune")
"""Sections that decide the result of a search: all its runs must have the same."""
FREE = {f"train.{name}" for name in runfolder.FREE} | {"tune.runs"}
"""Options in them that do not; a random search may be made longer."""
REPLACED = {"train.learning_rate", "train.batch", "train.epochs"}
"""Options that each run has its own of."""


@dataclass
class SearchOutcome:
    """What became of the runs that were asked for.

    Attributes:
        done, failed, kept: numbers of runs: trained now, failed now, there already.
        elsewhere: numbers of runs that another job is training.
        stopped: whether USR1 came before the last was done.
    """

    done: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)
    stopped: bool = False


def run(
    config: Config,
    tiles: Path,
    out: Path,
    world: World,
    numbers: Sequence[int] | None = None,
    *,
    progress: Callable[[str], Progress] = lambda label: silent,
) -> SearchOutcome:
    """Do the runs of a search, all ranks together on each; a collective call.

    A run whose result is there is kept, one that was cut short goes on from its checkpoint, and one
    that failed is tried again. A failure becomes that run's result, and the next one is begun.

    Args:
        config: its section `tune` says which runs there are.
        tiles: the tile set; its validation images judge the runs.
        out: folder of the search.
        numbers: of the runs to do; all by default.
        progress: makes, of a label, what is called with (steps done, steps in all).

    Raises:
        InputError: no such run, a tile set without validation images, a folder that holds a search
            with other options or tiles.
    """
    asked = world.on_root(
        lambda: [
            tune_run(config.tune, k)
            for k in (range(count(config.tune)) if numbers is None else numbers)
        ]
    )
    world.on_root(lambda: _prepare(config, tiles, out))
    outcome = SearchOutcome()
    memory = RunMemory(world.comm, world.node)
    with StopRequest() as notice:  # between two runs too

        def is_over() -> bool:
            return world.any(notice.given)

        for place, one in enumerate(asked, start=1):
            if not is_over() and _is_done(out, one, world):
                outcome.kept.append(one.number)
                continue
            if not _is_free(out, one, world, is_over):
                outcome.elsewhere.append(one.number)
                continue
            memory.begin()
            steps = progress(f"run {one.name} ({place} of {len(asked)}), steps")
            result = None if is_over() else _run(config, tiles, out, memory, one, steps)
            if result is None:
                outcome.stopped = True
                return outcome
            world.on_root(partial(result.write, out))
            (outcome.done if result.error is None else outcome.failed).append(one.number)
            if world.is_root:
                logger.log(logging.INFO if result.error is None else logging.ERROR, said(result))
    return outcome


def _is_done(out: Path, run: TuneRun, world: World) -> bool:
    earlier = world.on_root(lambda: results.read(out, run))
    return earlier is not None and earlier.error is None


def _is_free(out: Path, run: TuneRun, world: World, is_over: Callable[[], bool]) -> bool:
    """Whether no other job trains a run; waits until a job that may be gone shows whether it is.

    A job that was killed leaves its lock. A job at work renews it (see `locks`).
    """
    path = folder_of(out, run) / runfolder.LOCK
    first: int | None = None
    while not is_over():
        renewed = world.on_root(lambda: _renewed(path))
        if renewed is None:
            return True
        if first is None:
            first = renewed
            if world.is_root:
                holder = locks.holder_of(path) or "a process that cannot be told"
                logger.info("run %s: waiting to see whether %s still trains it", run.name, holder)
        elif renewed != first:
            if world.is_root:
                logger.info("run %s: left to that job", run.name)
            return False
        time.sleep(locks.POLL)
    return True


def _renewed(path: Path) -> int | None:
    """Return when the lock on a run was renewed; None where nobody holds it."""
    try:
        there = locks.lock_of(path).stat()
    except FileNotFoundError:
        return None
    holder = locks.holder_of(path)
    is_stale = time.time() - there.st_mtime >= locks.STALE
    return None if is_stale or (holder is not None and holder.is_gone) else there.st_mtime_ns


def said(result: Result) -> str:
    """A line about a run that ended."""
    run = result.run
    head = f"run {run.name}: learning rate {run.learning_rate:g}, batch {run.batch}"
    if result.error is not None:
        return f"{head}: failed: {' '.join(result.error.split())}"
    last = max(result.points, key=lambda point: point["epochs"])
    ratios = ", ".join(
        f"{name} {'-' if last[name] is None else format(last[name], '.4f')}"
        for name in ("As", "Ws", "Wv")
    )
    return f"{head}: {ratios} after {last['epochs']} epochs, {last['seconds']:.0f} s of training"


def _run(
    config: Config,
    tiles: Path,
    out: Path,
    world: World,
    run: TuneRun,
    progress: Progress,
) -> Result | None:
    """Train one run to its end; None where USR1 came first."""
    folder, error = folder_of(out, run), None
    try:
        # there, without a result: the job ended between the two
        if not world.on_root(lambda: (folder / modelfile.MODEL).exists()):
            own = config_of(config, run)
            model = trainer.run(own, tiles, folder, world, progress=progress)
            if model is None:
                return None
    except Exception as failure:
        if world.size > 1 and not hasattr(failure, "known_to_all"):
            raise  # the other ranks do not know of it: the job must end
        kind = "" if isinstance(failure, InputError) else f"{type(failure).__name__}: "
        error = f"{kind}{failure}"
    _forget()
    keep, ended = config.train.keep, error is None
    points, validation = world.on_root(lambda: results.measured(out, run, keep=keep, ended=ended))
    if error is None and len(points) < len(run.epochs):
        error = f"{folder}: the record of its validations is not whole; remove the folder"
    return Result(run=run, error=error, points=points, validation=validation, ranks=world.size)


def _forget() -> None:
    """Drop the network of a run: the next one needs the memory."""
    import keras

    keras.utils.clear_session()
    gc.collect()


def _prepare(config: Config, tiles: Path, out: Path) -> None:
    """Check the tile set and the folder of the search, and record what it is made with."""
    tileset = read_tileset(tiles)
    runfolder.as_tiled(config, tileset)  # what is wrong with all runs is refused before the first
    if config.train.schedule != "constant" and len(config.tune.epochs) > 1:
        raise InputError(
            f'train.schedule = "{config.train.schedule}" with tune.epochs = {config.tune.epochs}: '
            "a run to the largest of them is then none of the others; expected one number of epochs"
        )
    if not any(image.split == "validation" and image.tiles for image in tileset.images):
        raise InputError(
            f"{tiles / INDEX}: no validation image to judge runs by; make the tile set with "
            "tiles.validation above 0 and images enough"
        )
    about = {"tiles": str(tiles.resolve()), "index_sha256": sha256(tiles / INDEX)}
    if (out / CONFIG).exists() and not (out / TILES).exists():
        raise InputError(f"{out}: holds {CONFIG} of another stage; choose another --out")
    for folder in (out, out / RESULTS, out / RUNS):
        make_folder(folder)
    if not (out / CONFIG).exists():
        write_json(out / TILES, about)
        config.write(out / CONFIG)
        return
    earlier = configuration.load(out / CONFIG)
    changed = changes(earlier, config)
    if changed:
        raise InputError(
            f"{out / CONFIG}: a search with {changed[0]}; choose another --out for another search"
        )
    found = results.tiles_of(out)
    if found["index_sha256"] != about["index_sha256"]:
        raise InputError(
            f"{out / TILES}: a search on the tile set {found['tiles']}, which is not that of "
            f"{tiles}; choose another --out for another tile set"
        )
    if config.tune.runs > earlier.tune.runs:
        config.write(out / CONFIG)


def changes(earlier: Config, now: Config) -> list[str]:
    """The options that differ between two searches, each as `name = value, now value`."""
    ignored = FREE | REPLACED
    return [
        f"{section}.{name} = {value}, now {new}"
        for section in DECIDING
        for name, value in dataclasses.asdict(getattr(earlier, section)).items()
        if value != (new := getattr(getattr(now, section), name))
        and f"{section}.{name}" not in ignored
    ]


class RunMemory(World):
    """A world whose shared memory is used again by the next run.

    A window of shared memory lives as long as the job, so that each of many runs would add its
    tiles to those of the runs before.
    """

    def __init__(self, *args: Any) -> None:
        """The same ranks as those of a world, with nothing held yet."""
        super().__init__(*args)
        object.__setattr__(self, "_held", {})
        object.__setattr__(self, "_given", Counter())

    _held: dict[tuple[tuple[int, ...], np.dtype[Any]], list[NDArray[Any]]]
    _given: Counter[tuple[tuple[int, ...], np.dtype[Any]]]

    def begin(self) -> None:
        """Take back all that was given: the run before has ended on every rank of the node."""
        self._given.clear()
        self.node.Barrier()

    def node_array(
        self, shape: tuple[int, ...], dtype: DTypeLike, *, cleared: bool = True
    ) -> NDArray[Any]:
        """One array in memory shared by the ranks of this node; a collective call."""
        if self.local_size == 1:
            return super().node_array(shape, dtype, cleared=cleared)
        kind = (shape, np.dtype(dtype))
        held = self._held.setdefault(kind, [])
        number = self._given[kind]
        self._given[kind] += 1
        if number == len(held):
            held.append(super().node_array(shape, dtype, cleared=cleared))
            return held[-1]
        if cleared:
            if self.local_rank == 0:
                held[number].fill(0)
            self.node.Barrier()
        return held[number]
