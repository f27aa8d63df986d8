"""Maps of stripes on a device: canvases go there, and maps come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import jax
import numpy as np

from cosmodeep_hpc.engine.backend import ENGINE
from cosmodeep_hpc.engine.byjax import BlocksByJax
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.survey import stripeprogram
from cosmodeep_hpc.survey.canvas import Canvas
from cosmodeep_hpc.survey.deviceview import ScaleNumbers
from cosmodeep_hpc.survey.stripeprogram import FusionNumbers, ProgramInput, StripeProgram

BLOCK = 1280
"""Side of a block that the network computes at a time, at most [pixel]: `robust` then takes 0.2 GB
beside the pixels of an image of 2000 x 2000, by XLA's count on a CPU."""


class DeviceMap(NamedTuple):
    """What a device says of a canvas; it may still be computing it.

    Attributes:
        pixels: probability of each cell, int16 as `pixelmap.packed` gives it, (rows, columns).
        tiles: outputs of tiles, float32 (rows, columns, T, L).
    """

    pixels: Any
    tiles: Any


class DeviceMaps:
    """Makes maps of canvases on the device; threads may call it at once."""

    def __init__(self, blocks: BlocksByJax, card: Card, block: int = BLOCK) -> None:
        """Take a network and the card of its model; the first canvas of a shape compiles.

        Args:
            block: side of a block of a scale, at most [pixel].
        """
        self._program = StripeProgram(blocks.program, card.preprocessing.scaling, block)
        self._weights = blocks.weights
        column = card.pixel_map.thresholds.index(card.f_th)
        self._fusions = [
            jax.device_put(FusionNumbers.of(each, column)) for each in card.pixel_map.fusions
        ]
        self._one_at_a_time = Lock()  # else threads would compile one shape several times

    def __call__(self, canvas: Canvas, scales: Sequence[ScaleNumbers]) -> DeviceMap:
        """Send a canvas to the device, and return what will come of it without waiting.

        Args:
            scales: the numbers of those that are used, finest first.
        """
        found = self.started(self.sent(canvas, scales), canvas.halo)
        for part in found:
            part.copy_to_host_async()
        return found

    def sent(self, canvas: Canvas, scales: Sequence[ScaleNumbers]) -> ProgramInput:
        """Send what the program is given of a canvas."""
        place = np.array((canvas.first, *canvas.shape), dtype=np.int32)
        pixels, place, numbers = jax.device_put((canvas.pixels, place, tuple(scales)))
        return ProgramInput(pixels, place, numbers, self._fusions[len(scales) - 1], self._weights)

    def started(self, given: ProgramInput, halo: int) -> DeviceMap:
        """Start the program, which is compiled if it is the first of its shape.

        Args:
            halo: of the canvas.
        """
        with room_for(given.pixels.shape), self._one_at_a_time:
            return DeviceMap(*stripeprogram.run(self._program, given, halo=halo))


@contextmanager
def room_for(shape: tuple[int, ...]) -> Iterator[None]:
    """Turn a device's error about its memory into an InputError of one line.

    Args:
        shape: rows and columns of the canvas that is computed.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).split("\n", 1)[0]
        if not reason.startswith("RESOURCE_EXHAUSTED"):
            raise
        rows, cols = shape
        raise InputError(
            f"no room on {jax.devices()[0].device_kind} for {rows} x {cols} pixels and what a "
            f"network makes of them ({reason}); expected some GB that are free: start fewer ranks "
            f"for each GPU, or unset {ENGINE}"
        ) from error
