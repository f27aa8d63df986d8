"""A program that goes down a window band by band, so that its maps stay in a core's cache.

Each layer computes some rows in each band, as far as the rows before it reach: it lags behind the
window's first rows. Its room holds the rows of a band and, before them, those that later layers
still need. After a band the rows move up, or, where that is much to move, after several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.convolve import MAPS
from cosmodeep_hpc.engine.graph import Graph
from cosmodeep_hpc.engine.program import Program, program_of
from cosmodeep_hpc.engine.step import StepField, StepKind
from cosmodeep_hpc.engine.winograd import POINTS, STEP

ROWS = 32
"""Rows of the window in a band: a row of patches at an eighth of the resolution."""
ROUNDS = 16
"""Bands after which rows move up, where more of them are kept than a band has."""
CELLS = {StepKind.WHOLE_MEAN: StepKind.CELL_MEAN, StepKind.WHOLE_PEAK: StepKind.CELL_PEAK}
"""What becomes of steps that reduce whole maps to numbers."""
ENDS = (*CELLS, StepKind.OUT)
"""Steps that fill no room: they give numbers and maps out."""
Table = NDArray[np.int64]


@dataclass(frozen=True)
class Band:
    """What to do in a band.

    Attributes:
        cleared: int64 (n, 2), see `layers.clear`, before its steps.
        steps: int64 (steps, numbers of `StepField`).
        moves: int64 (n, 3), see `layers.shift`, after its steps.
    """

    cleared: Table
    steps: Table
    moves: Table


@dataclass(frozen=True, kw_only=True)
class BandProgram:
    """The bands of a window, and what they need.

    Attributes:
        bands: from the first rows to the last.
        arena: how many numbers of memory a thread needs for maps.
        whole: the same program without bands, with weights and the layout of what is given out.
    """

    bands: tuple[Band, ...]
    arena: int
    whole: Program


@dataclass(frozen=True)
class RowReading:
    """Which rows of its input a step reads for a row of its output.

    Attributes:
        kind: of the step.
        halved: how often rows of the input are doubled (`SUM`).
        y: the first row to read after doubling (`SUM`).
        reach: rows that a convolution reads before its own.
    """

    kind: StepKind
    halved: int
    y: int
    reach: int

    @classmethod
    def of(cls, step: Table, name: str) -> RowReading:
        """Return how a step reads its input `FROM` or `OTHER`."""
        fields = StepField[f"{name}_HALVED"], StepField[f"{name}_Y"], StepField.REACH
        return cls(StepKind(step[StepField.KIND]), *(int(step[each]) for each in fields))

    def lag(self, lag: int) -> int:
        """Return how far the output lags at least, where the input lags by `lag` rows."""
        if self.kind == StepKind.CONV3:
            return -(-(lag + POINTS - STEP - self.reach) // STEP) * STEP  # whole patches
        if self.kind == StepKind.FIRST:
            return -(-(lag + 1) // 2)
        return -(-lag // 2) if self.kind == StepKind.MEAN else self.y + (lag << self.halved)

    def each(self, rows: int) -> int:
        """Return the rows of the output that `rows` of the input make."""
        return rows // 2 if self.kind in (StepKind.FIRST, StepKind.MEAN) else rows << self.halved

    def first(self, row: int) -> int:
        """Return the first row of the input that a row of the output needs."""
        before = self.reach if self.kind == StepKind.CONV3 else int(self.kind == StepKind.FIRST)
        return self.begin(row)[0] - before

    def begin(self, row: int) -> tuple[int, int]:
        """Return the row of the input that a step starts from, and rows after doubling to skip."""
        if self.kind in (StepKind.FIRST, StepKind.MEAN):
            return 2 * row, 0
        row += self.y
        return row >> self.halved, row & ((1 << self.halved) - 1)


@dataclass
class RowRing:
    """The room of a layer's maps, and which rows it holds.

    Attributes:
        rows: of all its maps. line, maps: numbers of a row, and of a pixel.
        each: rows in a band. lag: rows that it is behind the window's first ones.
        kept: rows before those of a band that later steps need.
        place: where its first line begins.
    """

    rows: int
    line: int
    maps: int
    each: int
    lag: int
    kept: int = 0
    place: int = 0

    @property
    def rounds(self) -> int:
        """Bands after which its rows move up."""
        return max(ROUNDS, -(-self.kept // self.each)) if self.kept > self.each else 1

    @property
    def size(self) -> int:
        """Numbers that it takes."""
        lines = self.kept + self.rounds * self.each
        return -(-lines * self.line // MAPS) * MAPS

    def start(self, band: int) -> int:
        """Return the first row of a band; it may lie before or behind those that there are."""
        return band * self.each - self.lag

    def inside(self, band: int) -> range:
        """Return the rows that there are of a band."""
        first = self.start(band)
        return range(*(min(max(row, 0), self.rows) for row in (first, first + self.each)))

    def at(self, row: int, band: int) -> int:
        """Return where the first pixel of a row lies during a band."""
        first = self.start(band - band % self.rounds) - self.kept
        return self.place + self.maps + (row - first) * self.line

    def beyond(self, band: int) -> tuple[int, int]:
        """Return where the rows of a band behind the last one begin, and their numbers."""
        end = self.start(band) + self.each
        first = min(max(self.rows, self.start(band)), end)
        return self.at(first, band) - self.maps, (end - first) * self.line

    def move(self, band: int) -> tuple[int, int, int]:
        """Return the move of its rows after a band: from where, to where, how many numbers."""
        is_last = (band + 1) % self.rounds == 0
        away = self.rounds * self.each * self.line
        return self.place + away, self.place, self.kept * self.line * is_last


def in_bands(graph: Graph, ends: Sequence[str], cell: int) -> BandProgram:
    """Return the program that leads down a window to the maps, or numbers of cells, of `ends`.

    Args:
        graph: of the window; what it reduces whole maps to is taken of cells.
        cell: their side [pixel of the maps].

    Raises:
        UnknownLayer: a layer that the engine does not compute there.
    """
    cutter = _BandCutter(program_of(graph, ends), cell)
    for step in cutter.whole.steps:
        cutter.follow(step)
    return cutter.program()


@dataclass
class _BandCutter:
    """A program being cut into bands."""

    whole: Program
    cell: int
    rings: dict[int, RowRing] = field(default_factory=dict)
    last: list[RowRing] = field(default_factory=list)

    def follow(self, step: Table) -> None:
        """Find out how far a step lags, and which rows of its input must be kept for it."""
        kind, place = StepKind(step[StepField.KIND]), int(step[StepField.TO])
        height, line = int(step[StepField.HEIGHT]), int(step[StepField.TO_LINE])
        maps = int(step[StepField.TO_MAPS])
        if kind == StepKind.TILES:
            self.rings[place] = RowRing(height, line, maps, ROWS, 0)
            return
        inputs = list(self._inputs(step))
        if kind in ENDS:
            self.last.append(inputs[0][1])
        elif place not in self.rings:  # else it changes maps in place
            lag = max(reading.lag(ring.lag) for _, ring, reading in inputs)
            each = inputs[0][2].each(inputs[0][1].each)
            self.rings[place] = RowRing(height, line, maps, each, lag)
            for _, ring, reading in inputs:
                ring.kept = max(ring.kept, -ring.lag - reading.first(-lag))

    def program(self) -> BandProgram:
        """Lay out the rooms, and return the finished program."""
        arena = 0
        for ring in self.rings.values():
            ring.place = arena
            arena += ring.size
        count = max(-(-(ring.rows + ring.lag) // ring.each) for ring in self.last)
        bands = tuple(self._band(number) for number in range(count))
        return BandProgram(bands=bands, arena=arena, whole=self.whole)

    def _inputs(self, step: Table) -> Iterator[tuple[str, RowRing, RowReading]]:
        """Yield the inputs of a step: their name, their room, and how it reads them."""
        for name in ("FROM", "OTHER"):
            place = int(step[StepField[name]])
            if place >= 0:
                yield name, self.rings[place], RowReading.of(step, name)

    def _band(self, number: int) -> Band:
        steps = np.stack([self._in_band(step, number) for step in self.whole.steps])
        rings = self.rings.values()
        return Band(
            cleared=np.array([ring.beyond(number) for ring in rings], dtype=np.int64),
            steps=steps[steps[:, StepField.HEIGHT] > 0],
            moves=np.array([ring.move(number) for ring in rings], dtype=np.int64),
        )

    def _in_band(self, whole: Table, number: int) -> Table:
        """Return a step for the rows of a band."""
        step, kind = whole.copy(), StepKind(whole[StepField.KIND])
        ends = kind in ENDS
        ring = self.rings[int(whole[StepField.FROM if ends else StepField.TO])]
        rows = ring.inside(number)
        step[StepField.HEIGHT] = len(rows)
        if not ends:
            step[StepField.TO] = ring.at(rows.start, number)
        if kind == StepKind.TILES:
            step[StepField.FROM_Y] = rows.start
            return step
        for name, source, reading in self._inputs(whole):
            row, skipped = reading.begin(rows.start)
            step[StepField[name]] = source.at(row, number)
            step[StepField[f"{name}_Y"]] = skipped
        if kind == StepKind.OUT:
            step[StepField.COLUMN] += rows.start * step[StepField.WIDTH] * step[StepField.COUNT]
        elif ends:
            step[StepField.KIND], step[StepField.CELL] = CELLS[kind], self.cell
            step[StepField.FROM_Y] = rows.start
        return step
