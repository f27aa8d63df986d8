"""What a network says of a whole field at each scale, and what the noise-free sky says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.viewfusion import logits_of
from cosmodeep_hpc.survey.destination import Nowhere
from cosmodeep_hpc.survey.mapstripe import MapStripe
from cosmodeep_hpc.survey.plan import SweepPlan, path_of
from cosmodeep_hpc.survey.planestate import PlaneState
from cosmodeep_hpc.survey.task import ClassifyStripe, MeasureStripe, OpenMosaic
from cosmodeep_hpc.survey.worker import Worker
from cosmodeep_hpc.tiles.labels import count_bright
from cosmodeep_hpc.tiles.pairs import Pair

HALF = 0.5
"""Share of a cell's pixels brighter than F_th from which on the cell counts as bright."""


@dataclass(frozen=True, kw_only=True)
class FieldOutputs:
    """What a network says of a field, and what the sky says.

    Attributes:
        logits: log-odds of the cells with data at all scales: float32 (n, S T).
        bright: whether these cells are brighter than each threshold: bool (n, T).
        tiles: outputs of the whole tiles: float32 (m, T, L).
        counts: their bright pixels by the sky: uint16 (m, T).
    """

    logits: NDArray[np.float32]
    bright: NDArray[np.bool_]
    tiles: NDArray[np.float32]
    counts: NDArray[np.uint16]


def outputs_of(plan: SweepPlan, pair: Pair, thresholds: tuple[float, ...]) -> FieldOutputs:
    """Let the network of a plan see its only image, the Noise image of a pair, as a sweep does.

    Raises:
        InputError: as `stripes`.
    """
    sky, _ = pair.open()
    found = [
        _outputs(plan, ready, sky.rows(ready.owned.start, ready.owned.stop), thresholds)
        for ready in stripes(plan)
    ]
    joined = {
        name: np.concatenate([getattr(part, name) for part in found])
        for name in FieldOutputs.__dataclass_fields__
    }
    return FieldOutputs(**joined)


def stripes(plan: SweepPlan) -> Iterator[MapStripe]:
    """Yield the stripes of a plan's only image, ready for a network that knows pixels.

    Raises:
        InputError: the image cannot be swept, it is averaged before the network sees it, or it is
            too small for all scales.
    """
    (image,) = plan.images
    worker = Worker(plan, Nowhere())
    (info,) = worker.prepare(OpenMosaic(mosaic=0)).planes
    if info.rebin != 1:
        raise averaged_before(path_of(image))
    state = PlaneState(info, plan.config, plan.card, mapped=False)
    for number, stripe in enumerate(state.stripes):
        task = MeasureStripe(mosaic=0, plane=0, number=number, stripe=stripe)
        state.measured[number] = worker.prepare(task)
    state.decide()
    if len(state.scalings) < len(info.layout.scales):
        raise InputError(
            f"{path_of(image)}: too small for its noise to be measured at all scales; expected "
            "larger images"
        )
    for number, stripe in enumerate(state.stripes):
        yield worker.prepare(
            ClassifyStripe(
                mosaic=0,
                plane=0,
                number=number,
                stripe=stripe,
                scalings=state.scalings_of(stripe),
                measured=True,
            )
        )


def averaged_before(path: Path) -> InputError:
    """Return what is said of an image whose pixels the network does not see one by one."""
    return InputError(
        f"{path}: pixels of another size than those of the training; expected images that the "
        "network sees pixel by pixel"
    )


def _outputs(
    plan: SweepPlan, ready: MapStripe, sky: NDArray[np.float32], thresholds: tuple[float, ...]
) -> FieldOutputs:
    assert plan.model.blocks is not None
    parts = list(ready.parts(plan.model.blocks))
    logits = np.concatenate([logits_of(part.scales) for part in parts], axis=1)
    tiles = np.concatenate([part.tiles for part in parts], axis=1)
    size = ready.layout.size
    bright = np.stack([bright_cells(sky, f_th, ready.layout.finest) for f_th in thresholds], -1)
    rows, cols = sky.shape[0] // size, sky.shape[1] // size  # whole ones
    whole = ready.with_data[:rows, :cols]
    cut = sky[: rows * size, : cols * size].reshape(rows, size, cols, size).swapaxes(1, 2)
    return FieldOutputs(
        logits=logits[ready.has_data],
        bright=bright[ready.has_data],
        tiles=tiles[:rows, :cols][whole],
        counts=count_bright(cut[whole], thresholds),
    )


def bright_cells(sky: NDArray[np.float32], f_th: float, side: int) -> NDArray[np.bool_]:
    """Return whether half of the pixels of each cell are brighter than F_th: bool (rows, cols).

    The last cells may be cut; NaN is never brighter.
    """
    above = (sky > np.float32(f_th)).astype(np.int64)
    down, across = (np.arange(0, length, side) for length in sky.shape)
    count = np.add.reduceat(np.add.reduceat(above, down, axis=0), across, axis=1)
    inside = np.outer(
        *(
            np.minimum(length - at, side)
            for at, length in zip((down, across), sky.shape, strict=True)
        )
    )
    return np.asarray(count >= HALF * inside)
