"""What a rank does of a sweep: it opens, reads, classifies and hands over what it is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median_low
from threading import Lock
from typing import TYPE_CHECKING, Any

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.mosaic import Mosaic, open_mosaic
from cosmodeep_hpc.images.noisemap import NoiseMap
from cosmodeep_hpc.images.unpack import is_packed, unpack
from cosmodeep_hpc.io.files import sha256
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.noise.correlation import beam_notes
from cosmodeep_hpc.parallel.once import Once
from cosmodeep_hpc.survey import mapstripe, stripe, tilestripe, view
from cosmodeep_hpc.survey.destination import Destination
from cosmodeep_hpc.survey.grid import CellGrid
from cosmodeep_hpc.survey.keptstrips import MOST as KEPT
from cosmodeep_hpc.survey.keptstrips import KeptStrips
from cosmodeep_hpc.survey.mapstripe import MapStripe
from cosmodeep_hpc.survey.matching import RmsMap
from cosmodeep_hpc.survey.plan import SweepPlan
from cosmodeep_hpc.survey.plane import MosaicInfo, OpenPlane, PlaneInfo
from cosmodeep_hpc.survey.planescaling import MeasuredAlone, PlaneScaling
from cosmodeep_hpc.survey.result import MosaicResult, PlaneResult
from cosmodeep_hpc.survey.stripe import Meshes, StripeResult
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
from cosmodeep_hpc.survey.tilestripe import TileStripe
from cosmodeep_hpc.survey.view import View
from cosmodeep_hpc.tiles.preprocessing import robust_noise

if TYPE_CHECKING:
    from cosmodeep_hpc.survey.devicestripe import DeviceStripe  # imports JAX

Opened = tuple[Mosaic, list[OpenPlane]]


class Worker:
    """The part of one rank: `prepare` in threads of their own, `finish` in the main one."""

    def __init__(
        self,
        plan: SweepPlan,
        destination: Destination,
        on_device: Callable[..., DeviceStripe] | None = None,
        threads: int = 1,
    ) -> None:
        """Take what the sweep is about; no file is touched.

        Args:
            on_device: sends a stripe with a map to a device, as `devicestripe.prepare` does once it
                knows the device's maps; None: the model's network sees it here.
            threads: those that call `prepare` at once.
        """
        self._plan, self._destination, self._on_device = plan, destination, on_device
        # a mosaic's last stripes are drawn beside the next one's first
        self._most_open = threads + 1
        self._open: OrderedDict[int, Once[Opened]] = OrderedDict()
        self._lock, self._handing_over = Lock(), Lock()
        self._kept = KeptStrips(threads * KEPT)

    def prepare(self, task: Task) -> Any:
        """Do a task, as far as the network is not needed.

        Raises:
            InputError: the mosaic cannot be swept.
        """
        match task:
            case ReadChecksum():
                return self._checksum(task)
            case OpenMosaic():
                return self._info(task)
            case MeasureStripe():
                return self._measure(task)
            case MeasurePlane():
                return self._measure_alone(task)
            case ClassifyStripe():
                return self._read(task)
            case HandOver():
                return self._hand_over(task)

    def finish(self, task: Task, prepared: Any) -> Any:
        """Let the network see what was prepared; return the result of the task."""
        if not isinstance(task, ClassifyStripe):
            return prepared
        found: StripeResult = prepared.classify(self._plan.model)
        if task.map_file is None:
            return found
        return found.kept(task.map_file, prepared.layout.map_rows(task.stripe).start)

    # --- the kinds of tasks ---

    def _checksum(self, task: ReadChecksum) -> str:
        image = self._plan.images[task.mosaic]
        if isinstance(image, ImageArray):
            return image.sha256
        with naming(image):
            is_packed(image)  # refuses what has no end
        return sha256(image)

    def _info(self, task: OpenMosaic) -> MosaicInfo:
        mosaic, planes = self._opened(task.mosaic)
        return MosaicInfo(
            axes=mosaic.axes,
            planes=tuple(
                self._plane_info(image, plane)
                for image, plane in zip(mosaic.planes, planes, strict=True)
            ),
        )

    def _plane_info(self, image: Image, plane: OpenPlane) -> PlaneInfo:
        rms, sigma, failure = self._plan.request.rms, None, ""
        notes: tuple[str, ...] = ()
        try:
            if image.failure:
                raise InputError(f"{image.path}: {image.failure}")
            notes = beam_notes(image)
            if self._plan.card.preprocessing.scaling == "asinh":
                sigma = robust_noise(image, gaps=True) * plane.view.gain
        except InputError as error:
            failure = _name(image) + str(error).removeprefix(str(image.path))
        return PlaneInfo(
            name=_name(image),
            layout=plane.layout,
            rebin=plane.view.rebin,
            sigma=sigma,
            given_rms=rms * image.to_surface_brightness if isinstance(rms, float) else None,
            gain=plane.view.gain,
            beam_area=None if plane.view.beam is None else plane.view.beam.area,
            notes=image.notes if image.failure else (*image.notes, *plane.notes, *notes),
            failure=failure,
        )

    def _measure(self, task: MeasureStripe) -> Meshes:
        plane = self._opened(task.mosaic)[1][task.plane]
        found, strip = stripe.measure(plane, task.stripe)
        is_whole = len(strip.pixels) == plane.layout.shape[0]
        if plane.layout.finest and is_whole and plane.rms_map is None:
            self._kept.keep((task.mosaic, task.plane), strip)
        return found

    def _measure_alone(self, task: MeasurePlane) -> MeasuredAlone:
        words = {"mosaic": task.mosaic, "plane": task.plane, "number": 0}
        meshes, plan = self._measure(MeasureStripe(**words, stripe=task.stripe)), self._plan
        scaling, mapped = None, plan.request.has_map
        # the scheduler meets the error again, and knows whether it is of a plane among others
        with suppress(InputError):
            scaling = PlaneScaling.of(
                task.info, meshes, plan.card, plan.config.classify, mapped=mapped
            )
        return MeasuredAlone(meshes, scaling)

    def _read(self, task: ClassifyStripe) -> TileStripe | MapStripe | DeviceStripe:
        plane = self._opened(task.mosaic)[1][task.plane]
        preprocessing, options = self._plan.card.preprocessing, self._plan.config.classify
        if not plane.layout.finest:
            return tilestripe.prepare(plane, task, preprocessing, options)
        kept = self._kept.take((task.mosaic, task.plane))
        read = plane.view.strip if kept is None else kept.rows
        make = self._on_device or mapstripe.prepare
        return make(plane, task, preprocessing, options.min_coverage, read)

    def _hand_over(self, task: HandOver) -> MosaicOutcome:
        mosaic, planes = self._opened(task.mosaic)
        rebin, layout = planes[0].view.rebin, planes[0].layout
        swept = MosaicResult(
            path=mosaic.path,
            sha256=task.sha256,
            key=task.key,
            axes=mosaic.axes,
            planes=tuple(map(PlaneResult.of, mosaic.planes, task.planes)),
            cell=(layout.finest or layout.stride) * rebin,
            tile_cell=layout.stride * rebin,
            tile=layout.size * rebin,
            rebin=rebin,
            threshold=self._plan.threshold,
            tile_threshold=self._plan.tile_threshold,
            model=self._plan.model,
            model_sha256=self._plan.model_sha256,
        )
        with self._handing_over:  # Matplotlib, for one, does not work in several threads
            return self._destination.take(swept)

    # --- files ---

    def _opened(self, number: int) -> Opened:
        """Return a mosaic and its planes; open it if it is not open."""
        with self._lock:
            opened = self._open.setdefault(number, Once(partial(self._open_mosaic, number)))
            self._open.move_to_end(number)
            if len(self._open) > self._most_open:
                self._open.popitem(last=False)
        return opened()

    def _open_mosaic(self, number: int) -> Opened:
        image, request, unpacked = self._plan.images[number], self._plan.request, None
        if not isinstance(image, ImageArray):
            with naming(image):
                packed = is_packed(image)
            if packed:
                unpacked = self._destination.unpacked(image)
                if not unpacked.exists():  # made by the task OpenMosaic, before all others
                    unpack(image, unpacked)
        mosaic = open_mosaic(
            image,
            hdu=request.hdu,
            planes=request.planes,
            beam=request.beam,
            unpacked=unpacked,
        )
        rms = request.rms
        given = NoiseMap.of(rms, mosaic) if isinstance(rms, Path | ImageArray) else None
        maps = given.planes if given else [None] * len(mosaic.planes)
        widths = [image.beam.width for image in mosaic.planes if image.beam is not None]
        width = median_low(widths) if widths else None  # beams of channels differ somewhat
        planes = [
            self._plane(image, width, rms_map, given.notes if given else ())
            for image, rms_map in zip(mosaic.planes, maps, strict=True)
        ]
        return mosaic, planes

    def _plane(
        self, image: Image, width: float | None, rms_map: Image | None, map_notes: tuple[str, ...]
    ) -> OpenPlane:
        """Open a plane with its layout, and with the map of its noise if the user gives one.

        Args:
            width: of the beam of all planes [arcsec].
        """
        card, options = self._plan.card, self._plan.config.classify
        rebin, notes = view.rebinning(image, card, options, width)
        seen = View(image, rebin)
        size, margin = card.preprocessing.tile_size, card.preprocessing.margin
        blocks = self._plan.model.blocks
        layout = CellGrid(
            shape=seen.shape,
            size=size,
            stride=options.stride or size,
            margin=margin,
            beam=seen.beam,
            finest=0 if blocks is None else blocks.finest,
            n_scales=1 if blocks is None else len(card.pixel_map.fusions),
        )
        return OpenPlane(
            view=seen,
            layout=layout,
            rms_map=None
            if rms_map is None
            else RmsMap(View(rms_map, rebin, has_gaps=False), card.quiet),
            notes=(*notes, *map_notes, *_map_notes(self._plan.model)),
        )


def _map_notes(model: TrainedModel) -> tuple[str, ...]:
    """Return what a user should know of a model's map of pixels."""
    if model.blocks is None or model.card.pixels is not None:
        return ()
    return (
        "its map of pixels is not calibrated: a threshold of 0.5 means little; cosmodeep calibrate "
        "does that",
    )


def _name(image: Image) -> str:
    plane = f", plane {'/'.join(map(str, image.plane))}" if any(image.plane) else ""
    return f"{image.path}{plane}"
