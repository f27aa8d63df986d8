"""The map of a stripe: what a network that knows pixels is shown at each scale, and says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.engine.blocks import EDGE, Block, BlockNetwork, BlockOutput
from cosmodeep_hpc.engine.enlarged import Frame
from cosmodeep_hpc.learn.classifier import read
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.learn.pixelmap import packed
from cosmodeep_hpc.learn.viewfusion import ScaleLogits
from cosmodeep_hpc.survey.filling import ShownLevel, fill
from cosmodeep_hpc.survey.grid import CellGrid
from cosmodeep_hpc.survey.matching import NoiseMatching
from cosmodeep_hpc.survey.plane import OpenPlane
from cosmodeep_hpc.survey.scales import Scale, blocks
from cosmodeep_hpc.survey.stripe import StripePixels, StripeResult, counts_of
from cosmodeep_hpc.survey.task import ClassifyStripe
from cosmodeep_hpc.survey.tilestripe import enough_data
from cosmodeep_hpc.survey.view import averaged
from cosmodeep_hpc.tiles.preprocessing import Preprocessing


@dataclass(frozen=True)
class ScaledPixels:
    """What the network is shown of a stripe at one scale.

    Attributes:
        scale: which.
        pixels: preprocessed and filled, with what the network sees beyond the edges: float32.
        rows: which rows of the scale these are; columns begin `EDGE` before the first.
    """

    scale: Scale
    pixels: NDArray[np.float32]
    rows: range

    def block(self, rows: range, cols: range) -> Block:
        """Return what is shown for a block, its rows and columns in pixels of the finest scale."""
        shown = self.scale.seen(cols, axis=1)
        down, across = self.scale.block(rows, axis=0), self.scale.block(cols, axis=1)
        window = self.pixels[:, shown.start + EDGE : shown.stop + EDGE]
        place = down.start - self.rows.start, across.start - shown.start
        frame = Frame(window.shape, *place, len(down), len(across))
        return Block(window, frame, tiles=self.scale.factor == 1)

    def joined(
        self, parts: Sequence[BlockOutput], rows: range, cols: Sequence[range], side: int
    ) -> ScaleLogits:
        """Join the log-odds of neighbouring blocks, without what lies beyond the scale.

        Args:
            rows, cols: of the blocks [pixel of the finest scale].
            side: of a cell [pixel].
        """
        of_all = [-(-length // side) for length in self.scale.shape]
        down = self.scale.block(rows, axis=0)
        first, last = down.start // side, min(down.stop // side, of_all[0])
        values = np.empty((last - first, of_all[1], parts[0].logits.shape[2]), dtype=np.float32)
        for part, some in zip(parts, cols, strict=True):
            left = self.scale.block(some, axis=1).start // side
            into = values[:, left : left + part.logits.shape[1]]
            into[:] = part.logits[: len(into), : into.shape[1]]
        return ScaleLogits(self.scale.factor, values, first, of_all[0])


@dataclass(frozen=True, kw_only=True)
class MapStripe:
    """A stripe that is ready for the network at all scales.

    Attributes:
        layout: of its plane.
        owned: its rows.
        shown: what the network is shown at each scale, finest first.
        has_data: bool (rows, cols), cells of the map with data.
        with_data: bool (rows, cols), tiles that have enough data.
        result: what is known of it, without probabilities.
    """

    layout: CellGrid
    owned: range
    shown: tuple[ScaledPixels, ...]
    has_data: NDArray[np.bool_]
    with_data: NDArray[np.bool_]
    result: StripeResult

    def classify(self, model: TrainedModel, options: Classify) -> StripeResult:
        """Fill in the probabilities of tiles and pixels."""
        assert model.blocks is not None
        logits, tiles = self.outputs(model.blocks)
        probability = self.result.probability
        given = tiles.reshape(-1, *tiles.shape[2:])
        found = read(given, model.card, model.path).reshape(probability.shape)
        probability[self.with_data] = found[self.with_data]
        of_pixels = model.card.pixel_map.probability(logits, model.card.f_th)
        pixels = packed(of_pixels)
        pixels[~self.has_data] = packed(np.float32(np.nan))
        return replace(self.result, pixels=pixels)

    def outputs(self, network: BlockNetwork) -> tuple[list[ScaleLogits], NDArray[np.float32]]:
        """Return what the network says.

        Returns:
            log-odds of cells at each scale, and outputs of tiles, float32 (rows, cols, T, L).
        """
        across = blocks(self.layout.shape[1], self.layout.size)
        given = [scaled.block(self.owned, cols) for scaled in self.shown for cols in across]
        found = network(given)
        logits = []
        for n, scaled in enumerate(self.shown):
            parts = found[n * len(across) : (n + 1) * len(across)]
            logits.append(scaled.joined(parts, self.owned, across, network.finest))
        rows = len(self.with_data)
        tiles = [
            part.tiles.reshape(rows, -1, *part.tiles.shape[1:])
            for part in found[: len(across)]
            if part.tiles is not None
        ]
        return logits, np.concatenate(tiles, axis=1)


def prepare(
    plane: OpenPlane,
    task: ClassifyStripe,
    given: StripePixels,
    preprocessing: Preprocessing,
    min_coverage: float,
) -> MapStripe:
    """Make what was read what the network sees at each scale."""
    layout, finest = plane.layout, plane.layout.finest
    owned = given.part(given.owned)
    enough = enough_data(owned, given.result.probability.shape, layout, min_coverage)
    has_data = counts_of(owned, finest) > 0
    scales = layout.scales[: len(task.scalings)]
    coarser = [averaged(given.pixels, scale.factor) for scale in scales[1:]]
    shown = []
    for scale, scaling, pixels in zip(scales, task.scalings, [given.pixels, *coarser], strict=True):
        first = given.seen.start // scale.factor
        shown.append(_shown(scale, scaling, pixels, first, given.owned, preprocessing))
    return MapStripe(
        layout=layout,
        owned=given.owned,
        shown=tuple(shown),
        has_data=has_data,
        with_data=enough,
        result=given.result,
    )


def _shown(
    scale: Scale,
    scaling: NoiseMatching,
    pixels: NDArray[np.float32],
    first: int,
    owned: range,
    preprocessing: Preprocessing,
) -> ScaledPixels:
    """Return what the network is shown at one scale.

    Args:
        pixels: of the scale, from row `first` on; they are changed.
        owned: rows of the stripe [pixel of the finest scale].
    """
    rows = scale.seen(owned, axis=0)
    around = np.full((len(rows), scale.whole[1] + 2 * EDGE), np.nan, dtype=np.float32)
    inside = range(max(rows.start, 0), min(rows.stop, scale.shape[0]))
    needed = pixels[inside.start - first : inside.stop - first]
    scaling.match(needed, inside.start)
    into = around[inside.start - rows.start : inside.stop - rows.start]
    into[:, EDGE : EDGE + scale.shape[1]] = needed
    shown = None
    if scaling.shown is not None:
        shown = ShownLevel(scaling.shown, scaling.side, scaling.first)
    fill(around, (rows.start, -EDGE), scaling.level.sigma, scale.beam, shown)
    preprocessing.apply(around, scaling.level)
    return ScaledPixels(scale, around, rows)
