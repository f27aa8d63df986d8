"""The sweep: every tile of many mosaics classified by all ranks."""

from __future__ import annotations

from cosmodeep_hpc.parallel import workpool
from cosmodeep_hpc.parallel.locks import on_sigterm
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.survey.destination import Destination
from cosmodeep_hpc.survey.plan import SweepPlan
from cosmodeep_hpc.survey.scheduler import Scheduler, SweepOptions
from cosmodeep_hpc.survey.task import MosaicOutcome
from cosmodeep_hpc.survey.worker import Worker


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
    worker = Worker(plan, destination)
    if not world.is_root:
        workpool.work(world, None, worker.prepare, worker.finish)
        return []
    scheduler = Scheduler(plan, destination, options or SweepOptions(), world.size)
    try:
        if listens:
            with on_sigterm(scheduler.give_back):
                workpool.work(world, scheduler, worker.prepare, worker.finish)
        else:
            workpool.work(world, scheduler, worker.prepare, worker.finish)
    finally:
        scheduler.give_back()
    if len(scheduler.outcomes) < len(plan.images):
        return None
    return [scheduler.outcomes[number] for number in range(len(plan.images))]
