"""The foreman of a sweep: which stripe of which mosaic is next, and what is done when all are."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc import __version__
from cosmodeep_hpc.claim import claimed, holder_of
from cosmodeep_hpc.config import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.files import left_beside, read_json
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.products.writing import product_names, record_of, stem
from cosmodeep_hpc.survey.journal import Journal, is_of
from cosmodeep_hpc.survey.layout import Stripe
from cosmodeep_hpc.survey.noise import mesh_of
from cosmodeep_hpc.survey.planesweep import PlaneSweep
from cosmodeep_hpc.survey.scaling import Scaling
from cosmodeep_hpc.survey.stripe import StripeResult
from cosmodeep_hpc.survey.task import Opened, Outcome, Request, Task
from cosmodeep_hpc.survey.worker import outcome, stamp, unpacked_files
from cosmodeep_hpc.workpool import Idle

AHEAD = 2  # mosaics begun beside those that the ranks work on


class MosaicSweep:
    """One mosaic on its way: its tasks that are ready, and those that are drawn."""

    def __init__(self, number: int, path: Path) -> None:
        """Begin it."""
        self.number, self.path = number, path
        self.ready: deque[Task] = deque()
        self.drawn = 0
        self.sha256 = ""
        self.key = ""
        self.opened: Opened | None = None
        self.planes: list[PlaneSweep] = []
        self.journal: Journal | None = None
        self.outcome: Outcome | None = None
        self.open_until_done = ExitStack()

    def progress(self) -> tuple[int, int]:
        """Stripes done, and in all."""
        done = sum(len(plane.classified) for plane in self.planes)
        return done, sum(len(plane.stripes) for plane in self.planes)

    def refuse_if_nothing(self) -> None:
        """Raise an InputError where no plane can be swept: that of the first."""
        if all(plane.failure for plane in self.planes):
            raise InputError(self.planes[0].failure)


class Sweep:
    """The foreman: knows every mosaic of the command."""

    def __init__(
        self,
        config: Config,
        request: Request,
        images: Sequence[Path],
        out: Path,
        card: Card,
        model_sha256: str,
        *,
        at_once: int,
        strict: bool,
        restart: bool,
        is_stopped: Callable[[], bool],
        progress: Callable[..., None],
        note: Callable[[str], None],
    ) -> None:
        """Begin with nothing done.

        Args:
            at_once: ranks; a few mosaics more than these are on their way at a time.
            strict: whether an image that cannot be swept ends the sweep.
            restart: whether what an earlier sweep has left is done anew.
            is_stopped: whether the job is about to end: no task is given out any more.
            note: told at once of an image that cannot be swept.
        """
        self.outcomes: dict[int, Outcome] = {}
        self.stopped = False
        self._config, self._request, self._out, self._card = config, request, out, card
        self._waiting = deque(MosaicSweep(n, path) for n, path in enumerate(images))
        self._count = len(images)
        self._active: list[MosaicSweep] = []
        self._at_once = at_once + AHEAD
        self._strict, self._restart = strict, restart
        self._is_stopped, self._progress, self._note = is_stopped, progress, note
        self._depends_on = {
            "model": model_sha256,
            **({} if card.readings is None else {"rule": [card.f_th, card.n_pix]}),
            "classify": config.as_dict()["classify"],
            "hdu": request.hdu,
            "planes": request.planes,
            "beam": None if request.beam is None else repr(request.beam),
            "rms": stamp(request.rms) if isinstance(request.rms, Path) else request.rms,
        }

    # --- what the pool asks ---

    def draw(self) -> Task | Idle:
        """The next task: of the first mosaics first."""
        self.stopped = self.stopped or self._is_stopped()
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

    def _begin(self, mosaic: MosaicSweep) -> None:
        """Claim a mosaic's products, and see whether they are there."""
        self._active.append(mosaic)
        record = record_of(mosaic.path, self._out)
        try:
            if not mosaic.open_until_done.enter_context(claimed(record, alone=False)):
                raise InputError(f"{record}: made by {holder_of(record)} now; wait for its end")
            self._spare_others(mosaic, record)
        except InputError as error:
            self._end(mosaic, self._fail(mosaic, error))
            return
        mosaic.ready.append(Task(kind="checksum", mosaic=mosaic.number))
        if self._restart or not record.exists():
            mosaic.ready.append(Task(kind="open", mosaic=mosaic.number))

    def _spare_others(self, mosaic: MosaicSweep, record: Path) -> None:
        """Refuse to write over files of a product's name that no sweep has left.

        A sweep has a record or, until that is written, a journal. Another JSON file of the
        record's name is none.
        """
        if self._restart or _finished(record) or self._journal_of(mosaic).exists():
            return
        for name in product_names(mosaic.path):
            if (self._out / name).exists():
                raise InputError(
                    f"{self._out / name}: there already, and not of a sweep that is known here; "
                    "give another --out folder, or --restart to write over it"
                )

    def _journal_of(self, mosaic: MosaicSweep) -> Path:
        return self._out / f".{stem(mosaic.path)}.journal"

    def _journal_key(self, mosaic: MosaicSweep) -> dict[str, Any]:
        made_by = [__version__, os.environ.get("KERAS_BACKEND", "")]
        return {**self._depends_on, "image": stamp(mosaic.path), "made_by": made_by}

    def _taken(self, mosaic: MosaicSweep, task: Task, result: Any) -> None:
        if task.kind == "checksum":
            self._check(mosaic, cast(str, result))
        elif task.kind == "open":
            self._plan(mosaic, cast(Opened, result))
        elif task.kind == "measure":
            mosaic.planes[task.plane].measured[task.number] = result
            self._record(mosaic, task, [result])
            self._make_ready(mosaic, task.plane)
        elif task.kind == "classify":
            mosaic.planes[task.plane].classified[task.number] = result
            self._record(mosaic, task, _arrays(result))
        else:
            mosaic.outcome = cast(Outcome, result)
        complete = mosaic.planes and all(plane.is_done for plane in mosaic.planes)
        if complete and mosaic.sha256 and task.kind != "write":
            self._write(mosaic)

    def _check(self, mosaic: MosaicSweep, sha256: str) -> None:
        """Whether the products that are there are of this file, this model and these options."""
        mosaic.sha256 = sha256
        threshold = self._request.threshold
        depends_on = {
            **self._depends_on,
            "image": sha256,
            "threshold": self._card.threshold if threshold is None else threshold,
            "refine": self._request.refine,
        }
        text = json.dumps(depends_on, sort_keys=True)
        mosaic.key = hashlib.sha256(text.encode()).hexdigest()
        record = record_of(mosaic.path, self._out)
        if self._restart or not record.exists():
            return
        content = _finished(record)
        names = content.get("products", {}).values()
        if content.get("key") == mosaic.key and all((self._out / name).exists() for name in names):
            mosaic.outcome = outcome(mosaic.path, content, self._out, "kept")
            if is_of(self._journal_of(mosaic), self._journal_key(mosaic)):
                self._journal_of(mosaic).unlink()  # its process was killed just after the record
        else:
            mosaic.ready.append(Task(kind="open", mosaic=mosaic.number))

    def _plan(self, mosaic: MosaicSweep, opened: Opened) -> None:
        """Take from the journal what is done already, and make the rest ready."""
        mosaic.opened = opened
        mapped = isinstance(self._request.rms, Path)
        for facts in opened.planes:
            mosaic.planes.append(PlaneSweep(facts, self._config, self._card, mapped=mapped))
        mosaic.refuse_if_nothing()
        name = self._journal_of(mosaic)
        if self._restart:
            name.unlink(missing_ok=True)
        mosaic.journal = Journal(name, self._journal_key(mosaic))
        if mosaic.journal.entries:  # its process may have been killed while it wrote products
            for left in left_beside(self._out / name for name in product_names(mosaic.path)):
                left.unlink(missing_ok=True)
        for (kind, number, place), arrays in mosaic.journal.entries.items():
            plane = mosaic.planes[number]
            if plane.failure:
                continue
            if kind == "measure":
                plane.measured[place] = arrays[0]
            else:
                plane.classified[place] = _classified(arrays, plane.facts.layout.mesh_side)
        for number, plane in enumerate(mosaic.planes):
            if plane.is_measured:
                mosaic.ready.extend(
                    _task("measure", mosaic, number, place, one)
                    for place, one in enumerate(plane.stripes)
                    if place not in plane.measured
                )
            self._make_ready(mosaic, number)

    def _make_ready(self, mosaic: MosaicSweep, number: int) -> None:
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
            _task("classify", mosaic, number, place, one, plane.scaling, plane.is_measured)
            for place, one in enumerate(plane.stripes)
            if place not in plane.classified
        )

    def _write(self, mosaic: MosaicSweep) -> None:
        assert mosaic.opened is not None
        grids = tuple(plane.grids() for plane in mosaic.planes)
        mosaic.ready.append(
            Task(
                kind="write",
                mosaic=mosaic.number,
                grids=grids,
                opened=mosaic.opened,
                sha256=mosaic.sha256,
                key=mosaic.key,
            )
        )

    def _record(self, mosaic: MosaicSweep, task: Task, arrays: list[NDArray[np.float32]]) -> None:
        assert mosaic.journal is not None
        mosaic.journal.add((task.kind, task.plane, task.number), arrays)

    def _end(self, mosaic: MosaicSweep, outcome: Outcome) -> None:
        """Leave a mosaic; what was unpacked goes, and the journal of one that is done."""
        self._active.remove(mosaic)
        self.outcomes[mosaic.number] = outcome
        if mosaic.journal is not None:
            if outcome.state == "failed" and any(p.classified for p in mosaic.planes):
                mosaic.journal.close()
            else:
                mosaic.journal.remove()
        for left in unpacked_files(mosaic.path, self._out):
            left.unlink(missing_ok=True)
        mosaic.open_until_done.close()

    def _fail(self, mosaic: MosaicSweep, error: InputError) -> Outcome:
        """Give a mosaic up, or all where the sweep is strict."""
        if self._strict:
            raise error
        self._note(str(error))
        mosaic.ready.clear()
        mosaic.outcome = Outcome(path=mosaic.path, state="failed", notes=(str(error),))
        return mosaic.outcome

    def _tell(self, mosaic: MosaicSweep) -> None:
        done, of = mosaic.progress()
        if self._count == 1:
            self._progress(done, max(of, 1), mosaic.path.name)
        else:
            note = f"{mosaic.path.name} {done}/{of} stripes"
            self._progress(len(self.outcomes), self._count, note)


def _task(
    kind: Any,
    mosaic: MosaicSweep,
    plane: int,
    number: int,
    stripe: Stripe,
    scaling: Scaling | None = None,
    measured: bool = False,
) -> Task:
    return Task(
        kind=kind,
        mosaic=mosaic.number,
        plane=plane,
        number=number,
        stripe=stripe,
        scaling=scaling,
        measured=measured,
    )


def _finished(record: Path) -> dict[str, Any]:
    """The record of an earlier sweep; empty where there is none, or it is damaged."""
    try:
        content = read_json(record)
    except InputError:
        return {}
    is_ours = isinstance(content, dict) and {"cosmodeep_hpc", "key", "products"} <= set(content)
    return content if is_ours and isinstance(content["products"], dict) else {}


def _arrays(part: StripeResult) -> list[NDArray[np.float32]]:
    """A classified stripe as the journal takes it."""
    arrays = [part.probability, part.coverage, part.thumbnail, part.rms]
    if part.mesh is not None:
        arrays.append(part.mesh.grids)
    return arrays


def _classified(arrays: list[NDArray[np.float32]], side: int) -> StripeResult:
    """The inverse of `_arrays`."""
    mesh = mesh_of(arrays[4], side) if len(arrays) == 5 else None
    probability, coverage, thumbnail, rms = arrays[:4]
    return StripeResult(probability, coverage, thumbnail, rms, mesh)
