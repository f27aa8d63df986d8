"""The sweep: every tile of many mosaics classified by all ranks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cosmodeep_hpc.engine.backend import chosen_engine
from cosmodeep_hpc.parallel import runtime, workpool
from cosmodeep_hpc.parallel.locks import on_sigterm
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.survey.destination import Destination
from cosmodeep_hpc.survey.plan import SweepPlan
from cosmodeep_hpc.survey.scheduler import Scheduler, SweepOptions
from cosmodeep_hpc.survey.task import MosaicOutcome
from cosmodeep_hpc.survey.worker import Worker

MOST_THREADS = 16
"""Threads of a rank that read, measure and send to a device: each holds a stripe in memory."""


def sweep(
    plan: SweepPlan,
    destination: Destination,
    world: World,
    options: SweepOptions | None = None,
    *,
    listens: bool = False,
) -> list[MosaicOutcome] | None:
    """Classify mosaics, and hand each over to where it goes; a collective call.

    The same bits for any number of ranks, and for a sweep that was ended at any moment and goes
    on. A tile with data in less than `classify.min_coverage` of its pixels inside the image is no
    data. What partial tiles at the upper and right edges lack, and pixels without data, are filled
    up with what an empty sky becomes.

    Args:
        destination: takes each mosaic, on the rank that finishes it, and keeps the journals.
        listens: whether SIGTERM gives back what was begun, before it ends the process.

    Returns:
        on rank 0 what became of each image, or None where the job was stopped before all were
        done; an empty list on the others.

    Raises:
        InputError: with `options.strict`, an image that cannot be swept.
    """
    on_device = _on_device(plan)
    threads = 1 if on_device is None else min(runtime.cores_of_rank(world), MOST_THREADS)
    worker = Worker(plan, destination, on_device, threads)
    work = partial(workpool.work, world, threads=threads)
    if not world.is_root:
        work(None, worker.prepare, worker.finish)
        return []
    at_once = world.size * threads
    scheduler = Scheduler(plan, destination, options or SweepOptions(), at_once)
    try:
        if listens:
            with on_sigterm(scheduler.give_back):
                work(scheduler, worker.prepare, worker.finish)
        else:
            work(scheduler, worker.prepare, worker.finish)
    finally:
        scheduler.give_back()
    if len(scheduler.outcomes) < len(plan.images):
        return None
    return [scheduler.outcomes[number] for number in range(len(plan.images))]


def _on_device(plan: SweepPlan) -> Callable[..., Any] | None:
    """Return what sends stripes to a device; None: the model's network sees them itself."""
    if plan.model.blocks is None or chosen_engine() != "jax":
        return None
    # imported here: they import JAX
    from cosmodeep_hpc.engine.byjax import BlocksByJax
    from cosmodeep_hpc.survey import devicestripe
    from cosmodeep_hpc.survey.devicemaps import DeviceMaps

    if not isinstance(plan.model.blocks, BlocksByJax):  # loaded for another engine
        return None
    return partial(devicestripe.prepare, DeviceMaps(plan.model.blocks, plan.card))
