"""A stripe on a device: read by a thread, sent there, and on its way when it is handed over."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.survey.canvas import Canvas
from cosmodeep_hpc.survey.devicemaps import DeviceMap, DeviceMaps, room_for
from cosmodeep_hpc.survey.deviceview import ScaleNumbers
from cosmodeep_hpc.survey.grid import CellGrid
from cosmodeep_hpc.survey.mapstripe import ReadRows, of_tiles, rows_read
from cosmodeep_hpc.survey.plane import OpenPlane
from cosmodeep_hpc.survey.stripe import StripeResult
from cosmodeep_hpc.survey.task import ClassifyStripe
from cosmodeep_hpc.tiles.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True)
class DeviceStripe:
    """A stripe that the device is computing.

    Attributes:
        layout: of its plane.
        found: what comes of it.
        canvas: rows and columns of pixels that were sent.
        cells: rows and columns of its map.
        with_data: bool (rows, cols), tiles that have enough data.
        result: what is known of it, without probabilities.
    """

    layout: CellGrid
    found: DeviceMap
    canvas: tuple[int, ...]
    cells: tuple[int, int]
    with_data: NDArray[np.bool_]
    result: StripeResult

    def classify(self, model: TrainedModel) -> StripeResult:
        """Wait for the device, and fill in the probabilities of tiles and pixels."""
        with room_for(self.canvas):
            packed, outputs = map(np.asarray, self.found)
        rows, cols = self.cells
        pixels = packed[:rows, :cols].copy()  # a part of an array would keep all of it
        rows, cols = self.with_data.shape
        tiles = outputs[:rows, :cols]
        probability = of_tiles(tiles, self.with_data, model)
        return replace(self.result, probability=probability, pixels=pixels)


def prepare(
    maps: DeviceMaps,
    plane: OpenPlane,
    task: ClassifyStripe,
    preprocessing: Preprocessing,
    min_coverage: float,
    read: ReadRows,
) -> DeviceStripe:
    """Read the rows that a stripe needs, and send them to the device.

    Raises:
        InputError: the file cannot be read.
    """
    layout = plane.layout
    *_, owned = layout.pixel_rows(task.stripe)
    canvas = Canvas.of(layout, owned)
    own = rows_read(plane, canvas.rows, owned, read, canvas.place)
    numbers = [
        ScaleNumbers.of(scaling, scale, preprocessing, canvas)
        for scaling, scale in zip(task.scalings, layout.scales, strict=False)
    ]
    return DeviceStripe(
        layout=layout,
        found=maps(canvas, numbers),
        canvas=canvas.pixels.shape,
        cells=(len(layout.map_rows(task.stripe)), layout.map_shape[1]),
        with_data=own.counts >= min_coverage * own.inside,
        result=own.result((len(task.stripe.tiles), layout.tiles[1])),
    )
