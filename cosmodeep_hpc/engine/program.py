"""The layers of a network that work on maps, as the steps that `layers.run` goes through.

A program is a table of integers: each step says where it finds its maps in one array, and its
weights in another. Zeros lie around all maps, as far as convolutions read or write there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.convolve import MAPS, ROW, ROWS, SPARE, SQUARE
from cosmodeep_hpc.engine.graph import Array, Graph, Layer, UnknownLayer
from cosmodeep_hpc.engine.simd import zeros
from cosmodeep_hpc.engine.step import StepField, StepKind
from cosmodeep_hpc.engine.winograd import STEP, patches, transformed

TOGETHER = 2
"""Tiles that take each step together."""


@dataclass(frozen=True)
class PlacedMaps:
    """Maps of a tile in the arena, and how a step reads them.

    Attributes:
        place: where the first pixel of the first tile begins.
        tile, line: numbers from one tile, and from one line of pixels, to the next.
        count: maps, a multiple of `MAPS`; or 1 for the tiles themselves.
        halved: how often both sides must be doubled before they are read.
        y, x: the first pixel to read, after doubling.
        is_cut: whether pixels that are not zero may lie around those to read.
    """

    place: int
    tile: int
    line: int
    count: int
    halved: int = 0
    y: int = 0
    x: int = 0
    is_cut: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether they are read as they are stored, with zeros around them."""
        return self.halved == 0 and not self.is_cut


@dataclass(frozen=True)
class ProgramOutput:
    """The numbers of a tile that a program returns for one layer.

    Attributes:
        shape: of a tile's numbers. start: index of the first one among all of their kind.
    """

    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """How many numbers they are."""
        return math.prod(self.shape)


@dataclass
class Program:
    """The steps for a network's maps, and the memory they need.

    Attributes:
        steps: int64 (steps, numbers of `StepField`).
        weights: float32, of all steps.
        arena, values, products: how many numbers of memory a thread needs.
        sums: means and maxima of whole maps, by layer; `n_sums`: numbers of a tile.
        maps: maps that are asked for, by layer; `n_maps`: numbers of a tile.
    """

    steps: NDArray[np.int64]
    weights: Array
    arena: int
    values: int
    products: int
    sums: dict[str, ProgramOutput]
    n_sums: int
    maps: dict[str, ProgramOutput]
    n_maps: int


def program_of(graph: Graph, ends: Sequence[str]) -> Program:
    """Return the program that leads from tiles to the maps, or numbers of whole maps, of `ends`.

    Raises:
        UnknownLayer: a layer that the engine does not compute there.
    """
    build = _Build(graph, frozenset(ends))
    for layer in graph.needed(ends):
        build.add(layer)
    for end in ends:
        if len(graph.layers[end].shape) == 3:
            build.give_out(graph.layers[end])
    return build.program()


def padded(maps: int) -> int:
    """Return a number of maps rounded up to a multiple of `MAPS`."""
    return -(-maps // MAPS) * MAPS


@dataclass
class _Build:
    """A program being built."""

    graph: Graph
    ends: frozenset[str]
    found: dict[str, PlacedMaps] = field(default_factory=dict)
    steps: list[dict[StepField, int]] = field(default_factory=list)
    weights: list[Array] = field(default_factory=list)
    n_weights: int = 0
    arena: int = 0
    deepest: int = MAPS
    sums: dict[str, ProgramOutput] = field(default_factory=dict)
    n_sums: int = 0
    maps: dict[str, ProgramOutput] = field(default_factory=dict)
    n_maps: int = 0

    def add(self, layer: Layer) -> None:
        """Write the steps of a layer; its inputs have theirs already."""
        if layer.name in self.found:  # computed together with another layer
            return
        if layer.kind == "InputLayer":
            self._tiles(layer)
        elif layer.kind == "Conv2D":
            self._convolution(layer)
        elif layer.kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
            self._whole(layer)
        elif layer.kind == "AveragePooling2D":
            given = self._plain(layer.inputs[0])
            self._step(StepKind.MEAN, layer, given)
        elif layer.kind in ("Add", "Multiply"):
            self._pairs(layer)
        elif layer.kind == "Activation":
            self._activation(layer)
        elif layer.kind == "UpSampling2D":
            self._doubled(layer)
        elif layer.kind == "Cropping2D":
            (top, _), (left, _) = layer.settings["cropping"]
            self.found[layer.name] = _cut(self.found[layer.inputs[0]], top, left)
        else:
            raise UnknownLayer(f"layer {layer.name!r} of kind {layer.kind} on maps")

    def give_out(self, layer: Layer) -> None:
        """Write the step that copies a layer's maps to the caller."""
        given = self._plain(layer.name)
        height, width, count = layer.shape
        self.maps[layer.name] = ProgramOutput(layer.shape, self.n_maps)
        self._write(StepKind.OUT, layer, given, COLUMN=self.n_maps, COUNT=count)
        self.n_maps += height * width * count

    def program(self) -> Program:
        """Return the finished program."""
        table = np.zeros((len(self.steps), len(StepField)), dtype=np.int64)
        for row, step in zip(table, self.steps, strict=True):
            for place, number in step.items():
                row[place] = number
        whole = np.isin(table[:, StepField.KIND], (StepKind.WHOLE_MEAN, StepKind.WHOLE_PEAK))
        table[whole, StepField.COUNT] = self.n_sums
        weights = zeros((max(self.n_weights, 1),))
        if self.weights:
            weights[:] = np.concatenate([each.reshape(-1) for each in self.weights])
        block = (ROWS + 2 * SPARE) * ROW * SQUARE
        return Program(
            steps=table,
            weights=weights,
            arena=self.arena,
            values=block * -(-self.deepest // ROW),
            products=block,
            sums=self.sums,
            n_sums=self.n_sums,
            maps=self.maps,
            n_maps=self.n_maps,
        )

    # --- layers ---

    def _tiles(self, layer: Layer) -> None:
        """Write the step that reads tiles: single maps if the first layer can, else `MAPS`."""
        single = all(self._is_first(user) for user in self.graph.users(layer.name))
        maps = self._room(layer, 1 if single else MAPS)
        self.found[layer.name] = maps
        self._write(StepKind.TILES, layer, maps, maps)

    def _is_first(self, layer: Layer) -> bool:
        """Return whether `layers.first_layer` can compute a layer with its pooling."""
        users = self.graph.users(layer.name)
        return (
            layer.kind == "Conv2D"
            and layer.settings["kernel_size"] == [3, 3]
            and layer.settings["padding"] == "same"
            and layer.activation == "relu"
            and [user.kind for user in users] == ["AveragePooling2D"]
            and layer.name not in self.ends
            and layer.shape[0] % 2 == layer.shape[1] % 2 == 0
        )

    def _convolution(self, layer: Layer) -> None:
        given = self._plain(layer.inputs[0])
        kernel, bias = layer.weights
        outputs = padded(layer.shape[2])
        if given.count == 1:
            (pooling,) = self.graph.users(layer.name)
            taps = _filled(kernel.reshape(9, -1), (9, outputs))
            weights = {"WEIGHTS": self._weigh(taps), "BIAS": self._weigh(_filled(bias, (outputs,)))}
            self.found[layer.name] = given  # no other layer reads it
            self._step(StepKind.FIRST, pooling, given, **weights)
            return
        self.deepest = max(self.deepest, given.count)
        kernel = _filled(kernel, (*kernel.shape[:2], given.count, outputs))
        if kernel.shape[0] == 3:
            kind, matrices = StepKind.CONV3, transformed(kernel)
            reach = 1 if layer.settings["padding"] == "same" else 0
        else:
            kind, matrices, reach = StepKind.CONV1, kernel[0], 0
        weights = {
            "WEIGHTS": self._weigh(in_columns(matrices)),
            "BIAS": self._weigh(_filled(bias, (outputs,))),
        }
        relu = layer.activation == "relu"
        self._step(kind, layer, given, REACH=reach, RELU=relu, **weights)
        if layer.activation == "sigmoid":
            maps = self.found[layer.name]
            self._write(StepKind.SIGMOID, layer, maps, maps)

    def _whole(self, layer: Layer) -> None:
        given = self._plain(layer.inputs[0])
        mean = layer.kind == "GlobalAveragePooling2D"
        kind = StepKind.WHOLE_MEAN if mean else StepKind.WHOLE_PEAK
        self.sums[layer.name] = ProgramOutput(layer.shape, self.n_sums)
        seen = self.graph.layers[layer.inputs[0]]
        self._write(kind, seen, given, COLUMN=self.n_sums)
        self.n_sums += given.count

    def _pairs(self, layer: Layer) -> None:
        """Write the sum or the product of two or more maps, two at a time."""
        first, *others = layer.inputs
        maps, end, relu = self.found[first], layer, False
        if layer.kind == "Add":
            end, top, left, relu = self._followers(layer)
            seen = [_cut(self.found[name], top, left) for name in others]
            maps = _cut(maps, top, left)
        else:
            maps, seen = self._plain(first), [self._plain(name) for name in others]
        kind = StepKind.SUM if layer.kind == "Add" else StepKind.PRODUCT
        for number, other in enumerate(seen, start=1):
            self._step(kind, end, maps, other, RELU=relu and number == len(seen))
            maps = self.found[end.name]

    def _followers(self, layer: Layer) -> tuple[Layer, int, int, bool]:
        """Find the layers that can be done in one pass with a sum: cuts, and a ReLU after them.

        Returns:
            the last of these layers, the first row and column that it keeps, and whether it is the
            ReLU. No other layer reads the layers before it.
        """
        top = left = 0
        while True:
            users = self.graph.users(layer.name)
            if len(users) != 1 or layer.name in self.ends:
                return layer, top, left, False
            (user,) = users
            relu = user.kind == "Activation" and user.activation == "relu"
            if not relu and user.kind != "Cropping2D":
                return layer, top, left, False
            self.found[layer.name] = PlacedMaps(0, 0, 0, 0)  # no layer reads it
            if relu:
                return user, top, left, True
            (above, _), (before, _) = user.settings["cropping"]
            top, left, layer = top + above, left + before, user

    def _activation(self, layer: Layer) -> None:
        if layer.activation == "linear":
            self.found[layer.name] = self.found[layer.inputs[0]]
        elif layer.activation == "relu":
            self._step(StepKind.SUM, layer, self.found[layer.inputs[0]], RELU=True)
        else:
            self._step(StepKind.SIGMOID, layer, self._plain(layer.inputs[0]))

    def _doubled(self, layer: Layer) -> None:
        given = self.found[layer.inputs[0]]
        if given.y or given.x:  # cut before it is doubled
            given = self._plain(layer.inputs[0])
        self.found[layer.name] = replace(given, halved=given.halved + 1)

    # --- what they are made of ---

    def _plain(self, name: str) -> PlacedMaps:
        """Return a layer's maps as stored in the arena; copy maps that are doubled or cut."""
        given = self.found[name]
        if not given.is_plain:
            self._step(StepKind.SUM, self.graph.layers[name], given)
        return self.found[name]

    def _step(
        self, kind: StepKind, layer: Layer, given: PlacedMaps, *others: PlacedMaps, **numbers: int
    ) -> None:
        """Write a step that fills new room in the arena with a layer's output."""
        count = padded(layer.shape[2])
        target = self._room(layer, count)
        self.found[layer.name] = target
        self._write(kind, layer, given, target, *others, **numbers)

    def _write(
        self,
        kind: StepKind,
        layer: Layer,
        given: PlacedMaps,
        target: PlacedMaps | None = None,
        *others: PlacedMaps,
        **numbers: int,
    ) -> None:
        height, width, _ = layer.shape
        step = {
            StepField.KIND: int(kind),
            StepField.HEIGHT: height,
            StepField.WIDTH: width,
            StepField.OTHER: -1,
        }
        step |= _numbers("FROM", given) | {StepField.FROM_MAPS: given.count}
        for other in others:
            step |= _numbers("OTHER", other)
        if target is not None:
            step |= {
                StepField.TO: target.place,
                StepField.TO_TILE: target.tile,
                StepField.TO_LINE: target.line,
            }
            step[StepField.TO_MAPS] = target.count
        self.steps.append(step | {StepField[name]: int(number) for name, number in numbers.items()})

    def _room(self, layer: Layer, count: int) -> PlacedMaps:
        """Reserve room in the arena for maps and the zeros around them."""
        height, width, _ = layer.shape
        line = _side(width) * count
        tile = _side(height) * line
        maps = PlacedMaps(self.arena + line + count, tile, line, count)
        self.arena += -(-tile * TOGETHER // MAPS) * MAPS  # so that the next maps begin aligned
        return maps

    def _weigh(self, weights: Array) -> int:
        """Append weights to those of earlier steps; return where they begin."""
        start = self.n_weights
        self.weights.append(weights)
        self.n_weights += weights.size
        return start


def _cut(maps: PlacedMaps, top: int, left: int) -> PlacedMaps:
    """Return maps without the rows and columns that a layer cuts."""
    return replace(maps, y=maps.y + top, x=maps.x + left, is_cut=True)


def _numbers(name: str, maps: PlacedMaps) -> dict[StepField, int]:
    """Return the fields of a step that say where maps are stored."""
    numbers = {"": maps.place, "_TILE": maps.tile, "_LINE": maps.line}
    numbers |= {"_HALVED": maps.halved, "_Y": maps.y, "_X": maps.x}
    return {StepField[name + ending]: number for ending, number in numbers.items()}


def _side(pixels: int) -> int:
    """Return the pixels of a side with those that convolutions read, and patches fill, around it.

    There is one pixel before, and behind as many as the last patch of a convolution needs, with or
    without zeros around the maps.
    """
    same = patches(pixels) * STEP + 1
    valid = patches(max(pixels - 2, 1)) * STEP + 2
    return 1 + max(same, valid)


def _filled(weights: Array, shape: tuple[int, ...]) -> Array:
    """Return weights padded with zeros to a larger shape."""
    found = np.zeros(shape, dtype=np.float32)
    found[tuple(slice(side) for side in weights.shape)] = weights
    return found


def in_columns(matrices: Array) -> Array:
    """Return matrices (n, c, f) in zero-padded stripes of `ROW` columns: (f / 48, n, c, 48)."""
    number, inputs, outputs = matrices.shape
    stripes = -(-outputs // ROW)
    whole = _filled(matrices, (number, inputs, stripes * ROW))
    return np.ascontiguousarray(whole.reshape(number, inputs, stripes, ROW).transpose(2, 0, 1, 3))
