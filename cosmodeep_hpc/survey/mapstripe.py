"""The map of a stripe: what a network that knows pixels is shown at each scale, and says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.blocks import EDGE, Block, BlockNetwork, BlockOutput
from cosmodeep_hpc.engine.enlarged import Frame
from cosmodeep_hpc.learn.classifier import read
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.learn.pixelmap import BLANK, packed
from cosmodeep_hpc.learn.viewfusion import ScaleLogits
from cosmodeep_hpc.survey.filling import ShownLevel, fill
from cosmodeep_hpc.survey.grid import CellGrid
from cosmodeep_hpc.survey.matching import NoiseMatching
from cosmodeep_hpc.survey.plane import OpenPlane
from cosmodeep_hpc.survey.scales import Scale
from cosmodeep_hpc.survey.stripe import OwnRows, StripeResult, counts_of, matched
from cosmodeep_hpc.survey.task import ClassifyStripe
from cosmodeep_hpc.survey.view import Strip, averaged
from cosmodeep_hpc.tiles.preprocessing import Preprocessing

CELLS_AT_ONCE = 4
"""Cells of the grid of tiles, along columns, that are read at a time: their pixels, and those of
all coarser scales, are a few MB where a plane is wide."""
TURNS = 2
"""Blocks that each core computes of those given to a network at a time: with one, cores would wait
for the slowest."""

ReadRows = Callable[[int, int], Strip]
"""Returns rows of a view, as `View.strip` does."""


@dataclass(frozen=True)
class ScaledPixels:
    """What the network is shown of a stripe at one scale.

    Attributes:
        scale: which.
        pixels: preprocessed and filled, with what the network sees beyond the edges: float32.
        rows: which rows of the scale these are; columns begin `EDGE` before the first.
        owned: the rows that are computed.
    """

    scale: Scale
    pixels: NDArray[np.float32]
    rows: range
    owned: range

    def block(self, cols: range) -> Block:
        """Return what is shown for a block of columns."""
        shown = self.scale.seen_columns(cols)
        window = self.pixels[:, shown.start + EDGE : shown.stop + EDGE]
        place = self.owned.start - self.rows.start, cols.start - shown.start
        frame = Frame(window.shape, *place, len(self.owned), len(cols))
        return Block(window, frame, tiles=self.scale.factor == 1)

    def joined(
        self, parts: Sequence[BlockOutput], blocks: Sequence[range], side: int
    ) -> ScaleLogits:
        """Join the log-odds of neighbouring blocks, without what lies beyond the scale.

        Args:
            side: of a cell [pixel].
        """
        rows, cols = (-(-length // side) for length in self.scale.shape)
        first, left = self.owned.start // side, blocks[0].start // side
        last, right = min(self.owned.stop // side, rows), min(blocks[-1].stop // side, cols)
        values = np.concatenate([part.logits[: last - first] for part in parts], axis=1)
        values = np.ascontiguousarray(values[:, : right - left])
        return ScaleLogits(self.scale.factor, values, (first, left), (rows, cols))


@dataclass(frozen=True)
class MapPart:
    """What a network says of neighbouring columns of a stripe.

    Attributes:
        scales: log-odds of their cells, finest first; coarser ones of all columns.
        tiles: outputs of their tiles, float32 (rows, columns, T, L).
    """

    scales: tuple[ScaleLogits, ...]
    tiles: NDArray[np.float32]

    @property
    def cells(self) -> slice:
        """Which columns of cells these are."""
        first = self.scales[0].first[1]
        return slice(first, first + self.scales[0].values.shape[1])


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

    def classify(self, model: TrainedModel) -> StripeResult:
        """Fill in the probabilities of tiles and pixels."""
        assert model.blocks is not None
        card, tile = model.card, 0
        pixels = np.empty(self.has_data.shape, dtype=np.int16)
        for part in self.parts(model.blocks):
            pixels[:, part.cells] = packed(card.pixel_map.probability(part.scales, card.f_th))
            beside = slice(tile, tile + part.tiles.shape[1])
            tile = beside.stop
            found = of_tiles(part.tiles, self.with_data[:, beside], model)
            self.result.probability[:, beside] = found
        pixels[~self.has_data] = BLANK
        return replace(self.result, pixels=pixels)

    def parts(self, network: BlockNetwork) -> Iterator[MapPart]:
        """Yield what the network says, some columns at a time, from left to right."""
        finest, *coarser = self.shown
        columns = [scaled.scale.blocks(network.at_once) for scaled in self.shown]
        at_once = 1 if network.at_once == 1 else TURNS * network.at_once
        of_coarser: list[ScaleLogits] = []
        for start in range(0, len(columns[0]), at_once):
            some = columns[0][start : start + at_once]
            given = [finest.block(cols) for cols in some]
            if start == 0:
                for scaled, every in zip(coarser, columns[1:], strict=True):
                    given += [scaled.block(cols) for cols in every]
            found = network(given)
            if start == 0:
                for scaled, every in zip(coarser, columns[1:], strict=True):
                    parts = [found.pop(len(some)) for _ in every]
                    of_coarser.append(scaled.joined(parts, every, network.finest))
            for cols, output in zip(some, found, strict=True):
                assert output.tiles is not None
                tiles = output.tiles.reshape(len(self.with_data), -1, *output.tiles.shape[1:])
                logits = finest.joined([output], [cols], network.finest)
                yield MapPart((logits, *of_coarser), tiles)


def prepare(
    plane: OpenPlane,
    task: ClassifyStripe,
    preprocessing: Preprocessing,
    min_coverage: float,
    read: ReadRows,
) -> MapStripe:
    """Read the rows that a stripe needs, and make them what the network sees at each scale.

    Raises:
        InputError: the file cannot be read.
    """
    layout = plane.layout
    seen, _, owned = layout.pixel_rows(task.stripe)
    scales = layout.scales[: len(task.scalings)]
    shown = tuple(_room(scale, owned) for scale in scales)
    has_data: list[NDArray[np.bool_]] = []

    def place(pixels: NDArray[np.float32], rows: range) -> None:
        if rows.start in owned:
            has_data.append(counts_of(pixels, layout.finest) > 0)
        for scaled in shown:
            _place(scaled, pixels, rows)

    own = rows_read(plane, seen, owned, read, place)
    for scaled, scaling in zip(shown, task.scalings, strict=True):
        _finish(scaled, scaling, preprocessing)
    return MapStripe(
        layout=layout,
        owned=owned,
        shown=shown,
        has_data=np.concatenate(has_data),
        with_data=own.counts >= min_coverage * own.inside,
        result=own.result((len(task.stripe.tiles), layout.tiles[1])),
    )


def rows_read(
    plane: OpenPlane,
    seen: range,
    owned: range,
    read: ReadRows,
    place: Callable[[NDArray[np.float32], range], None],
) -> OwnRows:
    """Read rows of a view, some at a time; return what is left of those that a stripe alone has.

    Args:
        seen, owned: the rows that are read, and the stripe's own.
        place: called with pixels and the rows that they are.

    Raises:
        InputError: the file cannot be read.
    """
    of_owned: list[OwnRows] = []
    height = CELLS_AT_ONCE * plane.layout.stride
    for start in range(seen.start // height * height, seen.stop, height):
        rows = range(max(start, seen.start), min(start + height, seen.stop))
        strip = read(rows.start, rows.stop)
        rms, gaps = matched(plane, strip, rows.start)
        if rows.start in owned:
            of_owned.append(OwnRows.of(plane.layout, strip.pixels, rms, gaps))
        place(strip.pixels, rows)
    return OwnRows.joined(of_owned)


def of_tiles(
    given: NDArray[np.float32], with_data: NDArray[np.bool_], model: TrainedModel
) -> NDArray[np.float32]:
    """Return the probability of signal of tiles: float32 (rows, columns); NaN without data.

    Args:
        given: what a network says of them (rows, columns, T, L).
    """
    found = read(given.reshape(-1, *given.shape[2:]), model.card, model.path)
    return np.where(with_data, found.reshape(with_data.shape), np.float32(np.nan))


def _room(scale: Scale, owned: range) -> ScaledPixels:
    """Return room for what the network is shown at a scale, without data yet."""
    rows = scale.seen_rows(owned)
    pixels = np.full((len(rows), scale.whole[1] + 2 * EDGE), np.nan, dtype=np.float32)
    return ScaledPixels(scale, pixels, rows, scale.rows(owned))


def _place(scaled: ScaledPixels, pixels: NDArray[np.float32], rows: range) -> None:
    """Put rows of the view into their room, as far as they belong there; averaged if need be."""
    scale = scaled.scale
    first = rows.start // scale.factor
    inside = range(
        max(scaled.rows.start, first), min(scaled.rows.stop, -(-rows.stop // scale.factor))
    )
    if not len(inside):
        return
    some = pixels[(inside.start - first) * scale.factor : (inside.stop - first) * scale.factor]
    into = scaled.pixels[inside.start - scaled.rows.start : inside.stop - scaled.rows.start]
    own = some if scale.factor == 1 else averaged(some, scale.factor)
    into[:, EDGE : EDGE + scale.shape[1]] = own


def _finish(scaled: ScaledPixels, scaling: NoiseMatching, preprocessing: Preprocessing) -> None:
    """Match, fill and preprocess what the network is shown, in place."""
    scale, rows = scaled.scale, scaled.rows
    inside = range(max(rows.start, 0), min(rows.stop, scale.shape[0]))
    data = scaled.pixels[inside.start - rows.start : inside.stop - rows.start]
    scaling.match(data[:, EDGE : EDGE + scale.shape[1]], inside.start)
    shown = None
    if scaling.shown is not None:
        shown = ShownLevel(scaling.shown, scaling.side, scaling.first)
    fill(scaled.pixels, (rows.start, -EDGE), scaling.level.sigma, scale.beam, shown)
    preprocessing.apply(scaled.pixels, scaling.level)
