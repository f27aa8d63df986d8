"""Training: an explicit loop, data-parallel over ranks, that reads from top to bottom."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cosmodeep_hpc import runtime
from cosmodeep_hpc.config import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.files import make_folder
from cosmodeep_hpc.learn import checkpoint, modelfile, network
from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.metrics import Curve, curve
from cosmodeep_hpc.learn.notice import Notice
from cosmodeep_hpc.learn.runlog import BOARD, METRICS, RunLog
from cosmodeep_hpc.learn.sampler import keep_mask
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.learn.store import Store, fill
from cosmodeep_hpc.tiles.tileset import TileSet, read_tileset
from cosmodeep_hpc.world import World, known


def run(
    config: Config,
    tiles: Path,
    out: Path,
    world: World,
    *,
    restart: bool = False,
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> Path | None:
    """Train on a tile set; a collective call.

    A run folder with checkpoints of the same recipe is continued. On USR1 all ranks stop after
    the same step with a checkpoint of it.

    Returns:
        the model file; None where the run was stopped by USR1.

    Raises:
        InputError: bad input; a finished run, or one of another recipe, in `out`; a loss that is
            not finite.
    """
    with Notice() as notice:
        return _run(config, tiles, out, world, notice, restart, progress)


def _run(
    config: Config,
    tiles: Path,
    out: Path,
    world: World,
    notice: Notice,
    restart: bool,
    progress: Callable[..., None],
) -> Path | None:
    """`run`, listening for the end of the job."""
    tileset = world.on_root(lambda: read_tileset(tiles))
    config = world.on_root(lambda: _as_tiled(config, tileset))
    if config.train.batch < world.size:
        text = f"expected at least one tile for each of the {world.size} ranks"
        raise known(InputError(f"train.batch = {config.train.batch}: {text}"))
    recipe = recipe_of(config, tileset)
    state = world.on_root(lambda: _prepare(config, out, recipe, restart))
    store = fill(tileset, config.label, config.train, world)
    tf = runtime.start_tensorflow(world)
    allreduce = Allreduce(world)
    net = network.build(config.model, tileset.preprocessing.tile_size, config.train.seed)
    step = Step(tf, net, config.train.learning_rate, allreduce)
    if state is not None:
        step.restore(state)
    step.broadcast()
    log = RunLog(out, tf, after_step=state.total_steps if state else 0) if world.is_root else None
    try:
        threshold = _loop(config, out, recipe, world, store, step, state, log, notice, progress)
    finally:
        if log is not None:
            log.close()
    if threshold is None:
        return None
    card = _card(config, tileset, threshold)
    world.on_root(lambda: modelfile.save(out / modelfile.MODEL, net, card))
    return out / modelfile.MODEL


def _loop(
    config: Config,
    out: Path,
    recipe: str,
    world: World,
    store: Store,
    step: Step,
    state: checkpoint.State | None,
    log: RunLog | None,
    notice: Notice,
    progress: Callable[..., None],
) -> float | None:
    """All epochs from `state` on; the threshold chosen by the last validation.

    None where notice was given that the job ends, and all is saved.
    """

    def save(here: checkpoint.State) -> None:
        world.on_root(lambda: checkpoint.write(out, here, config.train.keep_checkpoints))

    train, sampler = config.train, store.sampler
    first_epoch, first_step, total = (
        (state.epoch, state.step, state.total_steps) if state else (0, 0, 0)
    )
    in_all = train.epochs * sampler.steps
    meter = Meter()
    stopping = False
    for epoch in range(first_epoch, train.epochs):
        order = sampler.order(epoch)
        for k in range(first_step if epoch == first_epoch else 0, sampler.steps):
            rows = sampler.local_rows(k, world.rank, world.size)
            chosen = order[rows.start : rows.stop]
            keep = keep_mask(
                network.HIDDEN_UNITS, config.model.dropout, seed=train.seed, epoch=epoch, rows=rows
            )
            loss, correct = step.train(
                store.tiles[chosen], store.signal[chosen], keep, len(sampler.batch_rows(k))
            )
            if not np.isfinite(loss):
                text = (
                    f"training: the loss is {loss} at epoch {epoch}, step {k}; stopped before the "
                    "update, the last checkpoint is good: lower train.learning_rate, or look for "
                    "odd pixel values in the images"
                )
                raise known(InputError(text))  # the loss is the sum over all ranks
            total += 1
            meter.add(loss, correct, len(sampler.batch_rows(k)))
            if log is not None and (total % train.log_steps == 0 or total == in_all):
                log.write("train", total, meter.read(epoch))
            progress(total, in_all, f"epoch {epoch + 1}/{train.epochs}, loss {meter.last_loss:.4f}")
            stopping = notice.heard(world)
            if k + 1 < sampler.steps and (stopping or total % train.checkpoint_steps == 0):
                save(step.state(epoch=epoch, step=k + 1, total_steps=total, recipe=recipe))
                if stopping:
                    return None
        if epoch + 1 < train.epochs and (epoch + 1) % train.validate_epochs == 0:
            _validate(config, store, step, world, log, epoch, total)
        # after the validation, so that a run continued from here has its line in the record
        if stopping or total % train.checkpoint_steps == 0 or epoch + 1 == train.epochs:
            save(step.state(epoch=epoch + 1, step=0, total_steps=total, recipe=recipe))
        if stopping and epoch + 1 < train.epochs:
            return None
    return _validate(config, store, step, world, log, train.epochs - 1, in_all)


def _validate(
    config: Config,
    store: Store,
    step: Step,
    world: World,
    log: RunLog | None,
    epoch: int,
    total: int,
) -> float:
    """Classify the validation tiles and record the accuracy; the best threshold on them."""
    if len(store.validation) == 0:
        return 0.5
    found = validation_curve(store, step, world, config.classify.batch)
    threshold = found.best_threshold()
    if log is not None:
        at = {**found.at(threshold).as_dict(), "threshold": threshold}
        log.write("validation", total, {"epoch": epoch, **at})
    return threshold


def validation_curve(store: Store, step: Step, world: World, batch: int) -> Curve:
    """The accuracy curve over all validation tiles, each rank classifying its part."""
    share = world.share(len(store.validation))
    mine = store.validation[share.start : share.stop]
    parts = [
        step.probability(store.tiles[mine[start : start + batch]])
        for start in range(0, len(mine), batch)
    ]
    everywhere = world.comm.allgather(np.concatenate([*parts, np.empty(0, dtype=np.float32)]))
    return curve(store.signal[store.validation], np.concatenate(everywhere))


class Meter:
    """Means over the steps since it was last read."""

    def __init__(self) -> None:
        """Start empty."""
        self.last_loss = float("nan")
        self._clear()

    def _clear(self) -> None:
        self._loss, self._correct, self._tiles = 0.0, 0.0, 0
        self._since = time.perf_counter()

    def add(self, loss: float, correct: float, tiles: int) -> None:
        """Add a global batch: the sum of its losses, its correct tiles and its tiles."""
        self._loss += loss
        self._correct += correct
        self._tiles += tiles
        self.last_loss = loss / tiles

    def read(self, epoch: int) -> dict[str, float]:
        """The means since the last reading; starts anew."""
        values = {
            "epoch": epoch,
            "loss": self._loss / self._tiles,
            "accuracy": self._correct / self._tiles,
            "tiles_per_second": self._tiles / (time.perf_counter() - self._since),
        }
        self._clear()
        return values


def recipe_of(config: Config, tileset: TileSet) -> str:
    """A hash of all that decides the result of a run: options and tile set."""
    parts = {
        "label": asdict(config.label),
        "model": asdict(config.model),
        "train": {
            k: v
            for k, v in asdict(config.train).items()
            if k not in {"log_steps", "checkpoint_steps", "keep_checkpoints", "validate_epochs"}
        },
        "preprocessing": asdict(tileset.preprocessing),
        "shards": [asdict(s) for s in tileset.shards],
        "splits": [i.split for i in tileset.images],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _as_tiled(config: Config, tileset: TileSet) -> Config:
    """The configuration with what it says of the tiles put right, as it is recorded.

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
            scaling=made.scaling,
            floor=made.floor,
            ceiling=made.ceiling,
            thresholds=tileset.thresholds,
        ),
    )


def _prepare(config: Config, out: Path, recipe: str, restart: bool) -> checkpoint.State | None:
    """Check the run folder; the state to go on from, if there is one."""
    make_folder(out)
    if restart:
        board = (out / BOARD).glob("events.*")
        with naming(out, "remove the earlier run in"):
            for old in (out / modelfile.MODEL, out / METRICS, *checkpoint.newest(out), *board):
                old.unlink(missing_ok=True)
    state = checkpoint.latest(out, recipe)
    if (out / modelfile.MODEL).exists():
        raise InputError(
            f"{out}: holds a finished run; choose another --out, or add --restart to begin anew"
        )
    config.write(out / "config.json")
    return state


def _card(config: Config, tileset: TileSet, threshold: float) -> modelfile.Card:
    return modelfile.Card(
        preprocessing=tileset.preprocessing,
        f_th=config.label.f_th,
        n_pix=config.label.n_pix,
        threshold=threshold,
        pixel_scale=float(np.median([i.pixel_scale for i in tileset.images])),
        noise_rms=float(np.median([i.level.sigma for i in tileset.images])),
        trained_on=tuple(i.fingerprint for i in tileset.images),
        seed=config.train.seed,
    )
