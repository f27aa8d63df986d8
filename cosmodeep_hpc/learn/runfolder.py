"""The folder of a run: one job at a time works in it, and goes on with what the last one left."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import make_folder
from cosmodeep_hpc.learn import checkpoint, modelfile
from cosmodeep_hpc.learn.checkpoint import State
from cosmodeep_hpc.learn.runlog import BOARD, METRICS
from cosmodeep_hpc.learn.stopping import Standing
from cosmodeep_hpc.parallel import locks
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.tiles.tileset import INDEX, TileSet

logger = logging.getLogger(__name__)

DYING = 5.0
"""Seconds that a rank of a job that was killed may take to die, while the next job begins."""
SEARCH = "tiles.json"  # in the folder of a search: the tile set that it is made on
LOCK = "run"  # what is locked: the file run.lock says by whom
FREE = {
    "log_steps",
    "checkpoint_steps",
    "checkpoint_minutes",
    "keep_checkpoints",
    "store",
    "read_ahead",
    "sums",
}
"""Options of training that do not change its result."""


@contextmanager
def held(out: Path, world: World, *, patience: float = DYING) -> Iterator[None]:
    """Make the run folder, and keep other jobs out of it while the block lasts; a collective call.

    Args:
        patience: seconds that a job which holds it is given to end.

    Raises:
        InputError: another job works in it, it is another stage's, or it cannot be written.
    """
    with ExitStack() as block:
        world.on_root(lambda: _check_no_other(out))
        world.on_root(lambda: block.enter_context(_locked(out, patience)))
        yield


def _check_no_other(out: Path) -> None:
    """Refuse the folder of another stage: its `config.json` would be written over."""
    for left, what in ((INDEX, "tile set"), (SEARCH, "search of `cosmodeep tune`")):
        if (out / left).exists():
            raise InputError(f"{out}: holds a {what} ({left}); choose another --out for the run")


@contextmanager
def _locked(out: Path, patience: float) -> Iterator[None]:
    make_folder(out)
    until = time.monotonic() + patience
    while True:
        with locks.locked(out / LOCK) as mine:
            if mine:
                yield
                return
        if time.monotonic() > until:
            break
        time.sleep(patience / 20)
    holder = locks.holder_of(out / LOCK)
    who = f"{holder}, since {holder.since}" if holder else "by a process that cannot be told"
    raise InputError(
        f"{out}: another job trains in it ({who}); wait for its end or choose another "
        f"--out ({locks.lock_of(out / LOCK).name} of a lost node counts for nothing "
        f"after {locks.STALE / 60:.0f} minutes)"
    )


def save(out: Path, state: State, keep: int) -> None:
    """Write a checkpoint, if the folder is still ours.

    Raises:
        InputError: it cannot be written, or another job took the folder over.
    """
    if taker := locks.taken_by(out / LOCK):
        raise InputError(
            f"{out}: this job was silent for more than {locks.STALE / 60:.0f} minutes, and "
            f"{taker} trains in it since {taker.since}; this job ends, nothing is lost"
        )
    checkpoint.write(out, state, keep)


def prepare(
    config: Config,
    out: Path,
    recipe: str,
    *,
    restart: bool,
    accept_changes: bool,
) -> State | None:
    """Make a held run folder ready; the state to go on from, None where the run begins.

    Args:
        restart: remove the earlier run in it. Not where Slurm started this job again: the earlier
            run is then this job's own.
        accept_changes: go on with another recipe, from the beginning of the epoch.

    Raises:
        InputError: a finished run, one of another recipe, or no checkpoint that loads.
    """
    if restart and locks.restarts():
        logger.info("Slurm started this job again: it goes on, --restart was done the first time")
    elif restart:
        _remove(out)
    with naming(out, "remove what a lost job left in"):
        for left in (*out.glob(".*.part*"), *(out / checkpoint.FOLDER).glob(".*.part*")):
            left.unlink(missing_ok=True)
    if (out / modelfile.MODEL).exists():  # before what could only be said of one that goes on
        raise InputError(
            f"{out}: holds a finished run; choose another --out, or add --restart to begin anew"
        )
    found = checkpoint.latest(out)
    state = None
    if found is not None:
        path, state = found
        if state.recipe != recipe:
            state = _changed(path, state, recipe, accept_changes)
    if state is not None:
        ranks = f"{state.ranks} rank{'s' * (state.ranks > 1)}"
        logger.info(
            "%s: goes on after step %d, saved by a job of %s", out, state.total_steps, ranks
        )
    config.write(out / "config.json")
    return state


def is_finished(out: Path, recipe: str) -> bool:
    """Return whether this job ended its run before it was killed: it was started for nothing."""
    if not locks.restarts() or not (out / modelfile.MODEL).exists():
        return False
    found = checkpoint.latest(out)
    return found is not None and found[1].recipe == recipe


def _remove(out: Path) -> None:
    board = (out / BOARD).glob("events.*")
    latest = out / checkpoint.FOLDER / checkpoint.LATEST
    with naming(out, "remove the earlier run in"):
        for old in (out / modelfile.MODEL, latest, out / METRICS, *checkpoint.newest(out), *board):
            old.unlink(missing_ok=True)


def _changed(path: Path, state: State, recipe: str, accept: bool) -> State:
    """Return the state from which a run goes on with another recipe, if that is accepted.

    The steps of an epoch may see other tiles now, and validations may too: both begin anew.
    """
    changes = ", ".join(differences(state.recipe, recipe))
    if not accept:
        raise InputError(
            f"{path}: made with another configuration: {changes}; choose another --out, add "
            "--accept-changes to go on with this one, or --restart to begin anew"
        )
    logger.warning("%s: goes on with another configuration: %s", path, changes)
    return replace(state, step=0, recipe=recipe, standing=Standing())


def recipe_of(config: Config, tileset: TileSet) -> str:
    """Return what decides the result of a run, as JSON: options, and a hash of the tile set."""
    train = config.train
    free = FREE | ({"validate_epochs"} if train.patience == 0 and train.keep == "last" else set())
    options = {
        **{f"label.{k}": v for k, v in asdict(config.label).items()},
        **{f"model.{k}": v for k, v in asdict(config.model).items()},
        **{f"train.{k}": v for k, v in asdict(train).items() if k not in free},
        **{f"tiles.{k}": v for k, v in asdict(tileset.preprocessing).items()},
    }
    tiles = {
        "shards": [asdict(s) for s in tileset.shards],
        "splits": [i.split for i in tileset.images],
    }
    digest = hashlib.sha256(json.dumps(tiles, sort_keys=True).encode()).hexdigest()
    return json.dumps({**options, "tile set": digest[:16]}, sort_keys=True)


def differences(old: str, new: str) -> list[str]:
    """Return what differs between two recipes, a phrase each: `train.seed 1, now 2`."""
    before, now = json.loads(old), json.loads(new)
    return [
        f"{name} {before.get(name, 'unknown')}, now {now.get(name, 'without')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def as_tiled(config: Config, tileset: TileSet) -> Config:
    """Return the configuration with its tiles section as the tile set was made, for the record.

    Raises:
        InputError: the tile set was not made with the label's threshold.
    """
    made = tileset.preprocessing
    f_th = tileset.thresholds[tileset.column(config.label.f_th)]
    return replace(
        config,
        label=replace(config.label, f_th=f_th),
        tiles=replace(
            config.tiles,
            size=made.tile_size,
            margin=made.margin,
            scaling=made.scaling,
            floor=made.floor,
            ceiling=made.ceiling,
            thresholds=tileset.thresholds,
        ),
    )
