"""The stage `tune`: the runs of a search, each in a run folder of its own, one after the other."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.files import make_folder, sha256, write_json
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.learn import modelfile, runfolder, trainer
from cosmodeep_hpc.learn.runfolder import SEARCH
from cosmodeep_hpc.learn.store import Store
from cosmodeep_hpc.learn.tune import results
from cosmodeep_hpc.learn.tune.grid import TuneRun, config_of, count, tune_run
from cosmodeep_hpc.learn.tune.results import RESULTS, RUNS, Result, folder_of
from cosmodeep_hpc.parallel import locks, runtime
from cosmodeep_hpc.parallel.signals import StopRequest
from cosmodeep_hpc.parallel.world import World, is_collective
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
    poll: float = locks.POLL,
    stop: StopRequest | None = None,
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
        poll: seconds between two looks at a run that another job trains.
        stop: listens for signals, and counts steps; by default the search listens itself.

    Raises:
        InputError: no such run, a tile set that is damaged or without validation images, a folder
            that holds a search with other options or tiles; no TensorFlow.
    """
    runtime.require_tensorflow(world)
    wanted = range(count(config.tune)) if numbers is None else numbers
    asked = world.on_root(lambda: [tune_run(config.tune, k) for k in wanted])
    world.on_root(lambda: _prepare(config, tiles, out))
    outcome = SearchOutcome()
    with nullcontext(stop) if stop else StopRequest() as stop:  # between two runs too
        search = _Search(config, tiles, out, world, poll, stop)

        def is_over() -> bool:
            return world.any(stop.given)

        for place, one in enumerate(asked, start=1):
            if not is_over() and search.is_done(one):
                outcome.kept.append(one.number)
                continue
            if not search.is_free(one, is_over):
                outcome.elsewhere.append(one.number)
                continue
            steps = progress(f"run {one.name} ({place} of {len(asked)}), steps")
            result = None if is_over() else search.train(one, steps)
            if result is None:
                outcome.stopped = True
                return outcome
            world.on_root(partial(result.write, out))
            (outcome.done if result.error is None else outcome.failed).append(one.number)
            if world.is_root:
                logger.log(logging.INFO if result.error is None else logging.ERROR, said(result))
    return outcome


def said(result: Result) -> str:
    """Return a line about a run that ended."""
    run = result.run
    head = f"run {run.name}: learning rate {run.learning_rate:g}, batch {run.batch}"
    if result.error is not None:
        return f"{head}: failed: {' '.join(result.error.split())}"
    last = max(result.points, key=lambda point: point["epochs"])
    ratios = ", ".join(f"{name} {results.shown(last[name], '.4f')}" for name in ("As", "Ws", "Wv"))
    return f"{head}: {ratios} after {last['epochs']} epochs, {last['seconds']:.0f} s of training"


@dataclass
class _Search:
    """A search on all ranks; each method is a collective call."""

    config: Config
    tiles: Path
    out: Path
    world: World
    poll: float
    stop: StopRequest

    @cached_property
    def store(self) -> Store:
        """The tiles, read once for all runs, which differ in the order that they see them in."""
        tileset = self.world.on_root(lambda: read_tileset(self.tiles))
        return trainer.read_tiles(self.config, tileset, self.world)

    def is_done(self, run: TuneRun) -> bool:
        """Return whether a run has ended without a failure."""
        earlier = self.world.on_root(lambda: results.read(self.out, run))
        return earlier is not None and earlier.error is None

    def is_free(self, run: TuneRun, is_over: Callable[[], bool]) -> bool:
        """Return whether no other job trains a run; wait for one that may be gone to show it.

        A job that was killed leaves its lock. A job at work renews it (see `locks`).
        """
        path = folder_of(self.out, run) / runfolder.LOCK
        first: int | None = None
        while not is_over():
            renewed = self.world.on_root(lambda: locks.renewed(path))
            if renewed is None:
                return True
            if first is None:
                first = renewed
                holder = locks.holder_of(path) or "a process that cannot be told"
                self._tell(f"run {run.name}: waiting to see whether {holder} still trains it")
            elif renewed != first:
                self._tell(f"run {run.name}: left to that job")
                return False
            time.sleep(self.poll)
        return True

    def train(self, run: TuneRun, progress: Progress) -> Result | None:
        """Train one run to its end; return None where USR1 came first."""
        folder, error = folder_of(self.out, run), None
        # there, without a result: the job ended between the two
        is_trained = self.world.on_root(lambda: (folder / modelfile.MODEL).exists())
        more: Any = (
            {} if is_trained else {"progress": progress, "store": self.store, "stop": self.stop}
        )
        own = config_of(self.config, run)
        try:
            if not is_trained and not trainer.run(own, self.tiles, folder, self.world, **more):
                return None
        except Exception as failure:
            if self.world.size > 1 and not is_collective(failure):
                raise  # the other ranks do not know of it: the job must end
            kind = "" if isinstance(failure, InputError) else f"{type(failure).__name__}: "
            error = f"{kind}{failure}"
        _forget()
        keep, ended = self.config.train.keep, error is None
        points, validation = self.world.on_root(
            lambda: results.read_record(folder, run, keep=keep, ended=ended)
        )
        if error is None and len(points) < len(run.epochs):
            error = f"{folder}: the record of its validations is not whole; remove the folder"
        return Result(
            run=run, error=error, points=points, validation=validation, ranks=self.world.size
        )

    def _tell(self, line: str) -> None:
        if self.world.is_root:
            logger.info("%s", line)


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
    if (out / CONFIG).exists() and not (out / SEARCH).exists():
        raise InputError(f"{out}: holds {CONFIG} of another stage; choose another --out")
    for folder in (out, out / RESULTS, out / RUNS):
        make_folder(folder)
    if not (out / CONFIG).exists():
        write_json(out / SEARCH, about)
        config.write(out / CONFIG)
        return
    earlier = configuration.load(out / CONFIG)
    if changed := runfolder.differences(_recipe(earlier), _recipe(config)):
        raise InputError(
            f"{out / CONFIG}: a search with {changed[0]}; choose another --out for another search"
        )
    found = results.tiles_of(out)
    if found["index_sha256"] != about["index_sha256"]:
        raise InputError(
            f"{out / SEARCH}: a search on the tile set {found['tiles']}, which is not that of "
            f"{tiles}; choose another --out for another tile set"
        )
    if config.tune.runs > earlier.tune.runs:
        config.write(out / CONFIG)


def _recipe(config: Config) -> str:
    """Return what decides the result of a search, as JSON: options by name."""
    options = {
        f"{section}.{name}": value
        for section in DECIDING
        for name, value in asdict(getattr(config, section)).items()
    }
    return json.dumps({k: v for k, v in options.items() if k not in FREE | REPLACED})
