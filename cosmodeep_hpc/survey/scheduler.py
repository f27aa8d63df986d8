"""The scheduler of a sweep: it hands out the next stripe, and ends a mosaic when all are done."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine import backend
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.parallel.workpool import Idle
from cosmodeep_hpc.survey.destination import Destination
from cosmodeep_hpc.survey.journal import Entry, Journal, is_of
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.survey.plan import Source, SweepPlan, path_of, stamp
from cosmodeep_hpc.survey.plane import MosaicInfo
from cosmodeep_hpc.survey.planestate import PlaneState
from cosmodeep_hpc.survey.stripe import StripeResult, arrays_of, meshes_of
from cosmodeep_hpc.survey.task import (
    ClassifyStripe,
    HandOver,
    MeasurePlane,
    MeasureStripe,
    MosaicOutcome,
    OpenMosaic,
    ReadChecksum,
    Task,
)

AHEAD = 2  # mosaics begun beside those that the ranks work on

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How a sweep ends, and who hears of it.

    Attributes:
        strict: whether an image that cannot be swept ends the sweep; else it is logged.
        is_stopped: whether the job is about to end: no task is given out any more.
        did: called after each part of the work.
        progress: called with what is done, what there is to do, and a note.
    """

    strict: bool = False
    is_stopped: Callable[[], bool] = lambda: False
    did: Callable[[], None] = lambda: None
    progress: Progress = silent


class MosaicState:
    """One mosaic on its way: its tasks that are ready, and those that are drawn."""

    def __init__(self, number: int, image: Source) -> None:
        """Begin with no task done or ready."""
        self.number, self.image, self.path = number, image, path_of(image)
        self.ready: deque[Task] = deque()
        self.drawn = 0
        self.sha256 = ""
        self.key = ""
        self.planes: list[PlaneState] = []
        self.journal: Journal | None = None
        self.outcome: MosaicOutcome | None = None
        self.open_until_done = ExitStack()
        self.begun = time.monotonic()

    def progress(self) -> tuple[int, int]:
        """Return how many stripes are done, and how many there are."""
        done = sum(len(plane.classified) for plane in self.planes)
        return done, sum(len(plane.stripes) for plane in self.planes)

    def note(self, entry: Entry, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Add what was done to the journal, where there is one."""
        if self.journal is not None:
            self.journal.add(entry, arrays)

    def refuse_if_nothing(self) -> None:
        """Raise the first plane's error, as an InputError, if no plane can be swept."""
        if all(plane.failure for plane in self.planes):
            raise InputError(self.planes[0].failure)


class Scheduler:
    """Knows every mosaic of the plan; rank 0 has it."""

    def __init__(
        self, plan: SweepPlan, destination: Destination, options: SweepOptions, at_once: int
    ) -> None:
        """Begin with nothing done.

        Args:
            at_once: tasks that all ranks prepare at a time; a few mosaics more are on their way.
        """
        self.outcomes: dict[int, MosaicOutcome] = {}
        self.stopped = False
        self._plan, self._destination, self._options = plan, destination, options
        self._waiting = deque(MosaicState(n, image) for n, image in enumerate(plan.images))
        self._active: list[MosaicState] = []
        self._at_once = at_once + AHEAD

    # --- what the pool asks ---

    def draw(self) -> Task | Idle:
        """Return the next task; tasks of the first mosaics come first."""
        self.stopped = self.stopped or self._options.is_stopped()
        while not self.stopped:
            for mosaic in self._active:
                if mosaic.ready:
                    mosaic.drawn += 1
                    return mosaic.ready.popleft()
            if not self._waiting or len(self._active) >= self._at_once:
                break
            self._begin(self._waiting.popleft())
        if any(mosaic.drawn for mosaic in self._active):
            return Idle.WAIT
        for mosaic in self._active:  # stopped: what is done stays in the journals
            if mosaic.journal is not None:
                mosaic.journal.close()
        self.give_back()
        self._active.clear()
        return Idle.END

    def take(self, task: Task, result: Any) -> None:
        """Take a result, and find out what it makes ready.

        Raises:
            InputError: the mosaic cannot be swept, and the sweep is strict.
        """
        mosaic = next(m for m in self._active if m.number == task.mosaic)
        mosaic.drawn -= 1
        if not isinstance(task, ReadChecksum | OpenMosaic):
            self._options.did()
        if mosaic.outcome is None:
            try:
                if isinstance(result, InputError):
                    raise result
                self._taken(mosaic, task, result)
            except InputError as error:
                self._fail(mosaic, error)
        if mosaic.outcome is not None and mosaic.drawn == 0:
            self._end(mosaic, mosaic.outcome)
        self._tell(mosaic)

    def give_back(self) -> None:
        """Let others sweep what was begun."""
        for mosaic in self._active:
            mosaic.open_until_done.close()

    # --- from one task to the next ---

    def _begin(self, mosaic: MosaicState) -> None:
        """Lock a mosaic, and see whether it may be done already."""
        self._active.append(mosaic)
        mosaic.begun = time.monotonic()
        try:
            mosaic.open_until_done.enter_context(self._destination.locked(mosaic.path))
        except InputError as error:
            self._end(mosaic, self._fail(mosaic, error))
            return
        mosaic.ready.append(ReadChecksum(mosaic=mosaic.number))
        if not self._destination.may_be_kept(mosaic.path):
            mosaic.ready.append(OpenMosaic(mosaic=mosaic.number))

    def _journal_key(self, mosaic: MosaicState) -> dict[str, Any]:
        image, engine = stamp(mosaic.image), backend.described()
        return {**self._plan.depends_on, "image": image, "engine": engine}

    def _taken(self, mosaic: MosaicState, task: Task, result: Any) -> None:
        match task:
            case ReadChecksum():
                self._check(mosaic, result)
            case OpenMosaic():
                self._open(mosaic, result)
            case MeasureStripe():
                mosaic.planes[task.plane].measured[task.number] = result
                mosaic.note(("measure", task.plane, task.number), arrays_of(result))
                self._make_ready(mosaic, task.plane)
            case MeasurePlane():
                plane = mosaic.planes[task.plane]
                plane.measured[0] = result.meshes
                mosaic.note(("measure", task.plane, 0), arrays_of(result.meshes))
                if result.scaling is not None:
                    plane.take(result.scaling)
                self._make_ready(mosaic, task.plane)
            case ClassifyStripe():
                mosaic.planes[task.plane].classified[task.number] = result
                mosaic.note(("classify", task.plane, task.number), result.as_arrays())
            case HandOver():
                mosaic.outcome = result
                return
        if mosaic.planes and all(plane.is_done for plane in mosaic.planes) and mosaic.sha256:
            self._hand_over(mosaic)

    def _check(self, mosaic: MosaicState, sha256: str) -> None:
        """Check whether an earlier sweep was of the same file, model and options."""
        mosaic.sha256, mosaic.key = sha256, self._plan.key(sha256)
        if not self._destination.may_be_kept(mosaic.path):
            return
        mosaic.outcome = self._destination.kept(mosaic.path, mosaic.key)
        if mosaic.outcome is None:
            mosaic.ready.append(OpenMosaic(mosaic=mosaic.number))
            return
        journal = self._destination.journal(mosaic.path)
        if journal is not None and is_of(journal, self._journal_key(mosaic)):
            journal.unlink()  # its process was killed just after the record

    def _open(self, mosaic: MosaicState, opened: MosaicInfo) -> None:
        """Plan a mosaic's stripes."""
        mapped = self._plan.request.has_map
        place = self._destination.map_file(mosaic.path)
        for number, info in enumerate(opened.planes):
            map_file = None
            if place is not None and info.layout.finest:
                map_file = MapRows(info.layout.map_shape, place, number)
            state = PlaneState(
                info, self._plan.config, self._plan.card, mapped=mapped, map_file=map_file
            )
            mosaic.planes.append(state)
        mosaic.refuse_if_nothing()
        self._go_on(mosaic)
        for number, plane in enumerate(mosaic.planes):
            if plane.is_measured and len(plane.stripes) == 1 and not plane.measured:
                (stripe,) = plane.stripes
                mosaic.ready.append(
                    MeasurePlane(mosaic=mosaic.number, plane=number, stripe=stripe, info=plane.info)
                )
            elif plane.is_measured:
                mosaic.ready.extend(
                    MeasureStripe(mosaic=mosaic.number, plane=number, number=place, stripe=stripe)
                    for place, stripe in enumerate(plane.stripes)
                    if place not in plane.measured
                )
            self._make_ready(mosaic, number)

    def _go_on(self, mosaic: MosaicState) -> None:
        """Take from the journal what is done already."""
        path = self._destination.journal(mosaic.path)
        if path is None:
            return
        mosaic.journal = Journal(path, self._journal_key(mosaic))
        if mosaic.journal.entries:  # its process may have been killed while it wrote products
            self._destination.clear(mosaic.path)
        for (kind, number, place), arrays in mosaic.journal.entries.items():
            plane = mosaic.planes[number]
            if plane.failure:
                continue
            layout = plane.info.layout
            if kind == "measure":
                plane.measured[place] = meshes_of(arrays, layout)
                continue
            result = StripeResult.from_arrays(arrays, layout)
            if plane.has_map_of(place, result):
                plane.classified[place] = result

    def _make_ready(self, mosaic: MosaicState, number: int) -> None:
        """Make a plane's stripes ready once its scaling is known."""
        plane = mosaic.planes[number]
        try:
            if not plane.decide():
                return
        except InputError as error:  # a plane of many may be without data
            plane.give_up(str(error))
            mosaic.refuse_if_nothing()
            return
        mosaic.ready.extend(
            ClassifyStripe(
                mosaic=mosaic.number,
                plane=number,
                number=place,
                stripe=stripe,
                scalings=plane.scalings_of(stripe),
                measured=plane.is_measured,
                map_file=plane.map_file,
            )
            for place, stripe in enumerate(plane.stripes)
            if place not in plane.classified
        )

    def _hand_over(self, mosaic: MosaicState) -> None:
        mosaic.ready.append(
            HandOver(
                mosaic=mosaic.number,
                planes=tuple(plane.grids() for plane in mosaic.planes),
                sha256=mosaic.sha256,
                key=mosaic.key,
            )
        )

    def _end(self, mosaic: MosaicState, outcome: MosaicOutcome) -> None:
        """Leave a mosaic; the journal of one that is done goes."""
        self._active.remove(mosaic)
        self.outcomes[mosaic.number] = outcome
        logger.debug("%s", outcome.line(time.monotonic() - mosaic.begun))
        if mosaic.journal is not None:
            if outcome.state == "failed" and any(p.classified for p in mosaic.planes):
                mosaic.journal.close()
            else:
                mosaic.journal.remove()
        self._destination.leave(mosaic.path)
        mosaic.open_until_done.close()

    def _fail(self, mosaic: MosaicState, error: InputError) -> MosaicOutcome:
        """Give up a mosaic, or raise the error where the sweep is strict; return its outcome."""
        if self._options.strict:
            raise error
        logger.error("%s", error)
        mosaic.ready.clear()
        mosaic.outcome = MosaicOutcome(path=mosaic.path, state="failed", notes=(str(error),))
        return mosaic.outcome

    def _tell(self, mosaic: MosaicState) -> None:
        done, of = mosaic.progress()
        if len(self._plan.images) == 1:
            self._options.progress(done, max(of, 1), mosaic.path.name)
        else:
            note = f"{mosaic.path.name} {done}/{of} stripes"
            self._options.progress(len(self.outcomes), len(self._plan.images), note)
