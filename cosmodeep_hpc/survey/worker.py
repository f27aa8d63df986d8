"""What a rank does of a sweep: it opens, reads, classifies and writes what the foreman asks for."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.files import read_json, sha256
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.products import writing
from cosmodeep_hpc.sky.beam import Beam
from cosmodeep_hpc.survey import stripe, view
from cosmodeep_hpc.survey.layout import Layout
from cosmodeep_hpc.survey.scaling import RmsMap
from cosmodeep_hpc.survey.swept import Swept, SweptPlane
from cosmodeep_hpc.survey.task import Grids, Opened, Outcome, PlaneFacts, Request, Task
from cosmodeep_hpc.survey.view import View
from cosmodeep_hpc.tiles.fits.image import Image
from cosmodeep_hpc.tiles.fits.mosaic import Mosaic, open_mosaic
from cosmodeep_hpc.tiles.fits.unpack import is_packed, unpack
from cosmodeep_hpc.tiles.preprocessing import robust_noise

KEPT_OPEN = 2  # mosaics a rank keeps open: one's last stripes are drawn beside the next one's first


@dataclass(frozen=True)
class Plane:
    """A plane that is open on this rank."""

    view: View
    layout: Layout
    rms_map: RmsMap | None


class Worker:
    """The part of one rank: `prepare` in a thread of its own, `finish` in the main one."""

    def __init__(
        self,
        config: Config,
        request: Request,
        images: Sequence[Path],
        out: Path,
        model: TrainedModel,
        model_sha256: str,
        write: Callable[[Swept], Outcome] | None = None,
    ) -> None:
        """Take what the sweep is about; no file is touched.

        Args:
            write: what is done with a swept mosaic in place of writing its products.
        """
        self._config = config
        self._request = request
        self._images = images
        self._out = out
        self._model = model
        self._model_sha256 = model_sha256
        self._leave = write or self._write_products
        self._open: OrderedDict[int, tuple[Mosaic, list[Plane]]] = OrderedDict()
        self._kinds: dict[str, Callable[[Task], Any]] = {
            "checksum": self._checksum,
            "open": self._facts,
            "measure": self._measure,
            "classify": self._read,
            "write": self._write,
        }

    def prepare(self, task: Task) -> Any:
        """Do a task, as far as the network is not needed.

        Raises:
            InputError: the mosaic cannot be swept.
        """
        return self._kinds[task.kind](task)

    def finish(self, task: Task, prepared: Any) -> Any:
        """Let the network see what was prepared; the result of the task."""
        if task.kind != "classify":
            return prepared
        layout, ready = prepared
        return stripe.StripeResult(
            probability=stripe.classify(self._model, layout, ready, self._config.classify),
            coverage=ready.coverage,
            thumbnail=ready.thumbnail,
            rms=ready.rms,
            mesh=ready.mesh,
        )

    # --- the kinds of tasks ---

    def _checksum(self, task: Task) -> str:
        path = self._images[task.mosaic]
        with naming(path):
            is_packed(path)  # refuses what has no end
        return sha256(path)

    def _facts(self, task: Task) -> Opened:
        mosaic, planes = self._opened(task.mosaic)
        return Opened(
            axes=mosaic.axes,
            rebin=planes[0].view.rebin,
            planes=tuple(
                self._plane_facts(image, plane)
                for image, plane in zip(mosaic.planes, planes, strict=True)
            ),
        )

    def _plane_facts(self, image: Image, plane: Plane) -> PlaneFacts:
        rms, sigma, failure = self._request.rms, None, ""
        try:
            if self._model.card.preprocessing.scaling == "asinh":
                sigma = robust_noise(image)
        except InputError as error:
            failure = _name(image) + str(error).removeprefix(str(image.path))
        return PlaneFacts(
            name=_name(image),
            layout=plane.layout,
            sigma=sigma,
            given_rms=None if not isinstance(rms, float) else rms * _unit(image),
            gain=plane.view.gain,
            notes=(*image.notes, *self._rebinning(image)[1]),
            failure=failure,
        )

    def _measure(self, task: Task) -> NDArray[np.float32]:
        assert task.stripe is not None
        plane = self._opened(task.mosaic)[1][task.plane]
        return stripe.measure(plane.view, plane.layout, task.stripe, plane.rms_map).grids

    def _read(self, task: Task) -> tuple[Layout, stripe.Ready]:
        assert task.stripe is not None and task.scaling is not None
        plane = self._opened(task.mosaic)[1][task.plane]
        return plane.layout, stripe.prepare(
            plane.view,
            plane.layout,
            task.stripe,
            task.scaling,
            plane.rms_map,
            self._model.card.preprocessing,
            self._config.classify.min_coverage,
            measured=task.measured,
        )

    def _write(self, task: Task) -> Outcome:
        assert task.opened is not None
        mosaic, planes = self._opened(task.mosaic)
        threshold = self._request.threshold
        swept = Swept(
            path=mosaic.path,
            sha256=task.sha256,
            key=task.key,
            axes=mosaic.axes,
            planes=tuple(
                _swept_plane(image, plane.view.rebin * plane.layout.block, facts, grids)
                for image, plane, facts, grids in zip(
                    mosaic.planes, planes, task.opened.planes, task.grids, strict=True
                )
            ),
            cell=planes[0].layout.stride * task.opened.rebin,
            tile=planes[0].layout.size * task.opened.rebin,
            rebin=task.opened.rebin,
            threshold=self._model.card.threshold if threshold is None else threshold,
            model=self._model,
            model_sha256=self._model_sha256,
        )
        return self._leave(swept)

    def _write_products(self, swept: Swept) -> Outcome:
        writing.write(swept, self._config, self._out, refine=self._request.refine)
        record = read_json(writing.record_of(swept.path, self._out))
        return outcome(swept.path, record, self._out, "done")

    # --- files ---

    def _opened(self, number: int) -> tuple[Mosaic, list[Plane]]:
        """A mosaic and its planes, opened where it is not yet."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        path, request = self._images[number], self._request
        unpacked = None
        with naming(path):
            packed = is_packed(path)
        if packed:
            unpacked = unpacked_name(path, self._out)
            if not unpacked.exists():  # it is made by the task `open`, before all others
                unpack(path, unpacked)
        mosaic = open_mosaic(
            path,
            hdu=request.hdu,
            planes=request.planes,
            beam=request.beam,
            unpacked=unpacked,
        )
        maps: dict[Beam | None, Mosaic] = {}
        planes = [self._plane(image, maps) for image in mosaic.planes]
        self._open[number] = mosaic, planes
        if len(self._open) > KEPT_OPEN:
            self._open.popitem(last=False)
        return mosaic, planes

    def _plane(self, image: Image, maps: dict[Beam | None, Mosaic]) -> Plane:
        """A plane with its layout, and the map of its noise where the user gives one.

        Args:
            maps: those opened already, by the beam that they are read with.
        """
        card = self._model.card
        seen = View(image, self._rebinning(image)[0])
        size, margin = card.preprocessing.tile_size, card.preprocessing.margin
        layout = Layout(seen.shape, size, self._config.classify.stride or size, margin)
        if not isinstance(self._request.rms, Path):
            return Plane(seen, layout, None)
        if image.beam not in maps:
            maps[image.beam] = open_mosaic(self._request.rms, beam=image.beam)
        given = maps[image.beam]
        chosen = next((p for p in given.planes if p.plane == image.plane), given.planes[0])
        if chosen.shape != image.shape:
            raise InputError(
                f"{self._request.rms}: a map of {chosen.shape[1]} x {chosen.shape[0]} pixels; "
                f"expected those of {image.path.name}, {image.shape[1]} x {image.shape[0]}"
            )
        return Plane(seen, layout, RmsMap(View(chosen, seen.rebin), card.noise_rms))

    def _rebinning(self, image: Image) -> tuple[int, tuple[str, ...]]:
        scale, any_scale = self._model.card.pixel_scale, self._config.classify.any_scale
        return view.rebinning(image, scale, any_scale=any_scale)


def stamp(path: Path) -> list[Any]:
    """Name, size and time of a file: what tells quickly that it is another."""
    try:
        about = path.stat()
    except OSError:
        return [str(path)]
    return [path.name, about.st_size, about.st_mtime_ns]


def unpacked_name(path: Path, out: Path) -> Path:
    """Where the data of a packed file lie while it is swept; those of another file do not."""
    digest = hashlib.sha256(repr(stamp(path)).encode()).hexdigest()
    return out / f".{path.name}.{digest[:16]}.unpacked"


def unpacked_files(path: Path, out: Path) -> list[Path]:
    """What was unpacked of a file of this name, by sweeps that were killed too."""
    return [p for p in out.glob(".*.unpacked") if p.name.startswith(f".{path.name}.")]


def _name(image: Image) -> str:
    plane = f", plane {'/'.join(map(str, image.plane))}" if any(image.plane) else ""
    return f"{image.path}{plane}"


def _unit(image: Image) -> float:
    return image.to_surface_brightness


def _swept_plane(image: Image, block: int, facts: PlaneFacts, grids: Grids) -> SweptPlane:
    return SweptPlane(
        image=image,
        probability=grids.probability,
        coverage=grids.coverage,
        noise=grids.noise,
        thumbnail=grids.thumbnail,
        block=block,
        level=grids.level,
        notes=(*facts.notes, *grids.notes),
    )


def outcome(
    path: Path, record: dict[str, Any], out: Path, state: Literal["done", "kept"]
) -> Outcome:
    """What is told of a mosaic, from the record of its products in `out`."""
    tiles = record["tiles"]
    return Outcome(
        path=path,
        state=state,
        cells=tiles["signal"] + tiles["noise"] + tiles["no_data"],
        signal=tiles["signal"],
        no_data=tiles["no_data"],
        islands=record["islands"],
        mask=out / record["products"]["mask"],
        notes=tuple(record["notes"]),
    )
