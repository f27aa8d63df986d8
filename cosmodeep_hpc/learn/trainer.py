"""Training: an explicit loop, data-parallel over ranks, that reads from top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.learn import modelfile, network, runfolder, symmetries
from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.batch import Batch, CountsBatch, DrawnTiles, PaperBatch
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.checkpoint import State
from cosmodeep_hpc.learn.optimiser import learning_rate
from cosmodeep_hpc.learn.rules import OperatingPoints, RuleCalibrations
from cosmodeep_hpc.learn.runlog import Meter, RunLog
from cosmodeep_hpc.learn.sampler import keep_mask
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.learn.stopping import Standing
from cosmodeep_hpc.learn.store import Store, fill
from cosmodeep_hpc.learn.validation import operating_points, validate
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.signals import StopRequest, Timer
from cosmodeep_hpc.parallel.world import World, collective
from cosmodeep_hpc.tiles.tileset import TileSet, read_tileset

logger = logging.getLogger(__name__)

WAITED = 0.2
"""Share of the time that a run may wait for its tiles without a word."""


def run(
    config: Config,
    tiles: Path,
    out: Path,
    world: World,
    *,
    restart: bool = False,
    accept_changes: bool = False,
    progress: Progress = silent,
    store: Store | None = None,
    stop: StopRequest | None = None,
) -> Path | None:
    """Train on a tile set; a collective call.

    A run folder with checkpoints of the same recipe is continued. After USR1 or SIGTERM all ranks
    stop at the same step and write a checkpoint of it.

    Args:
        restart: begin anew in a used run folder.
        accept_changes: continue checkpoints of another recipe.
        progress: called after each step.
        store: the tiles, as `read_tiles` gives them for this configuration but for its batch.
        stop: listens for these signals, and counts steps; by default the run listens itself.

    Returns:
        the model file; None if a signal stopped the run.

    Raises:
        InputError: bad input; no TensorFlow; `out` holds a finished run, a run of another recipe,
            or a job at work; the loss is not finite.
    """
    runtime.require_tensorflow(world)
    tileset = world.on_root(lambda: read_tileset(tiles))
    config = world.on_root(lambda: runfolder.as_tiled(config, tileset))
    if config.train.batch < world.size:
        text = f"expected at least one tile for each of the {world.size} ranks"
        raise collective(InputError(f"train.batch = {config.train.batch}: {text}"))
    recipe = runfolder.recipe_of(config, tileset)
    with nullcontext(stop) if stop else StopRequest() as stop, runfolder.held(out, world):
        if world.on_root(lambda: runfolder.is_finished(out, recipe)):
            return out / modelfile.MODEL
        state = world.on_root(
            lambda: runfolder.prepare(
                config, out, recipe, restart=restart, accept_changes=accept_changes
            )
        )
        if store is None:
            store = read_tiles(config, tileset, world)
        store = store.in_batches(config.train.batch)
        _check_validation(config, store)
        tf = runtime.start_tensorflow(world, deterministic=config.train.deterministic)
        net = network.asked(config)
        step = Step(
            tf,
            net,
            config.train.learning_rate,
            Allreduce(world, config.train.sums),
            precision=config.train.precision,
            xla=config.train.xla,
        )
        if state is not None:
            _check_fits(state, net)
            step.restore(state)
        step.broadcast()
        done = state.total_steps if state else 0
        log = RunLog(out, tf, after_step=done) if world.is_root else None
        job = Job(
            config=config,
            out=out,
            recipe=recipe,
            world=world,
            store=store,
            net=net,
            step=step,
            log=log,
            stop=stop,
            progress=progress,
        )
        try:
            standing = train(job, state)
        finally:
            if log is not None:
                log.close()
        if standing is None:
            return None
        if config.train.keep == "best":
            for variable, value in zip(net.variables, standing.best_weights, strict=True):
                variable.assign(value)
        points, readings = operating_points(store, step, world, config.classify.batch)
        card = _card(config, tileset, points, readings)
        world.on_root(lambda: modelfile.save(out / modelfile.MODEL, net, card))
        return out / modelfile.MODEL


def read_tiles(config: Config, tileset: TileSet, world: World) -> Store:
    """Read what a run needs of a tile set; a collective call.

    Raises:
        InputError: as `fill` does; the tile set was not made with the label's threshold.
    """
    config = runfolder.as_tiled(config, tileset)
    counted = config.model.network == "counts"
    return fill(tileset, config.label, config.train, world, counted=counted)


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that the training loop works with."""

    config: Config
    out: Path
    recipe: str
    world: World
    store: Store
    net: Any
    step: Step
    log: RunLog | None
    stop: StopRequest
    progress: Progress

    def save(self, epoch: int, step: int, total: int, standing: Standing) -> None:
        """Write a checkpoint; a collective call."""

        def write() -> None:
            if self.log is not None:
                self.log.sync()
            runfolder.save(self.out, state, self.config.train.keep_checkpoints)
            logger.debug("%s: checkpoint after step %d", self.out, total)

        state = replace(
            self.step.state(epoch=epoch, step=step, total_steps=total, recipe=self.recipe),
            seed=self.config.train.seed,
            ranks=self.world.size,
            standing=standing,
        )
        self.world.on_root(write)


def train(job: Job, state: State | None) -> Standing | None:
    """Train from `state` on, as `_train` does, and say if much of the time went into waiting."""
    first = (state.epoch, state.step) if state is not None else (0, 0)
    world, epochs = job.world, job.config.train.epochs
    positions = job.store.sampler.local_positions(
        world.rank, world.size, first=first, epochs=epochs
    )
    meter = Meter()
    with closing(job.store.tiles.stream(positions)) as drawn:
        standing = _train(job, state, drawn, meter)
    waited = meter.share("data")
    if waited > WAITED and world.is_root:
        logger.warning(
            "%s: waited for tiles in %.0f %% of the time (data_seconds of metrics.jsonl); copy "
            "them to a faster disk, raise train.read_ahead, or give the job more memory",
            job.out,
            100 * waited,
        )
    return standing


def _train(
    job: Job, state: State | None, drawn: Iterator[DrawnTiles], meter: Meter
) -> Standing | None:
    """Train from `state` on, until the last epoch or until validations get no better.

    A validation is saved by the checkpoint that follows it, so none is done or recorded twice.

    Returns:
        how the validations went; None if the job was told to end, and its state is saved.
    """
    options, sampler = job.config.train, job.store.sampler
    first_epoch, first_step, total = 0, 0, 0
    standing = Standing()
    if state is not None:
        first_epoch, first_step, total = state.epoch, state.step, state.total_steps
        standing = state.standing
    in_all = total + max(options.epochs - first_epoch, 0) * sampler.steps - first_step
    timer = Timer(options.checkpoint_minutes)
    for epoch in range(first_epoch, options.epochs):
        if standing.is_over(options.patience):
            break
        stopping = due = False
        for k in range(first_step if epoch == first_epoch else 0, sampler.steps):
            part = _local_batch(job, drawn, epoch, k, meter)
            batch = len(sampler.batch_rows(k))
            job.step.learning_rate = learning_rate(
                options, epoch * sampler.steps + k, sampler.steps
            )
            with meter.timing("step"):
                flags = job.stop.flags(timer)
                loss, correct, said = job.step.train(part, batch, flags)
            if not np.isfinite(loss):
                raise _not_finite(loss, epoch, k)
            total += 1
            meter.add(loss, correct, batch)
            if job.log is not None and (total % options.log_steps == 0 or total == in_all):
                job.log.write("train", total, meter.read(epoch, job.step.read_times()))
            job.progress(
                total, in_all, f"epoch {epoch + 1}/{options.epochs}, loss {meter.last_loss:.4f}"
            )
            stopping, due = said
            if not stopping:  # a run that is told to end at its start does one step each time
                job.stop.did()
            due = due or total % options.checkpoint_steps == 0
            if k + 1 < sampler.steps and (stopping or due):
                job.save(epoch, k + 1, total, standing)
                timer.set()
                if stopping:
                    return None
        last = epoch + 1 == options.epochs
        if last or (epoch + 1) % options.validate_epochs == 0:
            standing = _validated(job, epoch, total, standing)
        over = last or standing.is_over(options.patience)
        if stopping or due or over:
            job.save(epoch + 1, 0, total, standing)
            timer.set()
        if stopping and not over:
            return None
    if standing.epoch < 0:  # a continued run whose new configuration leaves no epoch to train
        standing = _validated(job, options.epochs - 1, total, standing)
    return standing


def _local_batch(job: Job, drawn: Iterator[DrawnTiles], epoch: int, k: int, meter: Meter) -> Batch:
    """Return this rank's part of global batch `k`, whose tiles are drawn next."""
    store, options = job.store, job.config
    rows = store.sampler.local_rows(k, job.world.rank, job.world.size)
    seed = options.train.seed
    with meter.timing("data"):
        own = next(drawn)
        if options.train.symmetries:
            turned = symmetries.drawn(seed, epoch, rows)
            symmetries.apply(turned, own.pixels)
            if own.exceeded is not None:
                symmetries.apply(turned, own.exceeded)
        if store.counted is not None and own.exceeded is not None:
            counts = store.counted.bright[own.positions]
            return CountsBatch(tiles=own.pixels, counts=counts, exceeded=own.exceeded)
        signal = store.signal[own.positions]
    with meter.timing("step"):  # the mask is computed: no input is waited for
        dropout = options.model.dropout
        keep = keep_mask(network.HIDDEN_UNITS, dropout, seed=seed, epoch=epoch, rows=rows)
    return PaperBatch(tiles=own.pixels, signal=signal, keep=keep)


def _validated(job: Job, epoch: int, total: int, standing: Standing) -> Standing:
    """Classify the validation tiles, record the accuracy and return the new standing."""
    found = validate(job.store, job.step, job.world, job.config.classify.batch)
    if found is None:
        return replace(standing, epoch=epoch)
    if job.log is not None:
        job.log.write("validation", total, {"epoch": epoch, **found.as_dict()})
    score = found.accuracy.As
    weights: Sequence[NDArray[np.float32]] = ()
    if job.config.train.keep == "best" and standing.is_better(score):
        weights = [variable.value.numpy().copy() for variable in job.net.variables]
    return standing.after(epoch, score, weights)


def _not_finite(loss: float, epoch: int, k: int) -> Exception:
    """Return the error of a loss that is not finite.

    The loss is the sum over ranks, so all ranks raise it.
    """
    text = (
        f"training: the loss is {loss} at epoch {epoch}, step {k}; stopped before the update, so "
        "the last checkpoint is good: lower train.learning_rate, or look for odd pixel values in "
        "the images"
    )
    return collective(InputError(text))


def _check_validation(config: Config, store: Store) -> None:
    """Raise if the validation tiles hold no signal and the run is to choose by them."""
    options = config.train
    chosen = f"train.patience = {options.patience}" if options.patience else 'train.keep = "best"'
    if (options.patience or options.keep == "best") and not store.signal[store.validation].any():
        text = (
            f"{chosen}: no signal tile among {len(store.validation)} validation tiles to measure "
            "As by; raise tiles.validation and make the tiles anew, or leave the option out"
        )
        raise collective(InputError(text))


def _check_fits(state: State, net: Any) -> None:
    """Raise if a checkpoint, accepted with changes, holds a network of other shapes."""
    found = [np.shape(value) for value in state.weights]
    expected = [tuple(variable.shape) for variable in net.variables]
    if found != expected:
        text = (
            "the checkpoint is of a network of other shapes than [model] and the tile size need; "
            "choose another --out, or add --restart to begin anew"
        )
        raise collective(InputError(text))


def _card(
    config: Config, tileset: TileSet, points: OperatingPoints, readings: RuleCalibrations | None
) -> Card:
    return Card(
        preprocessing=tileset.preprocessing,
        f_th=config.label.f_th,
        n_pix=config.label.n_pix,
        **vars(points),
        pixel_scale=float(np.median([i.pixel_scale for i in tileset.images])),
        noise_rms=float(np.median([i.level.sigma for i in tileset.images])),
        trained_on=tuple(i.fingerprint for i in tileset.images),
        seed=config.train.seed,
        readings=readings,
        beams=_beams(tileset),
        local_noise=_local_noise(tileset),
    )


def _local_noise(tileset: TileSet) -> float | None:
    known = [image.local_noise for image in tileset.images if image.local_noise is not None]
    return float(np.median(known)) if known else None


AROUND = 1.5
"""Times the smallest and the largest beam of the training images that a model is taken to know."""


def _beams(tileset: TileSet) -> tuple[float, float] | None:
    """Return the beams that a model knows [pixel]: those of its images, and a little around."""
    known = [image.beam for image in tileset.images if image.beam is not None]
    return (min(known) / AROUND, max(known) * AROUND) if known else None
