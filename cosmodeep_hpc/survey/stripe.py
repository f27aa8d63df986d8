"""One stripe of a plane: its pixels as they are read, and what is left of it in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.noise import mesh as meshes
from cosmodeep_hpc.noise.mesh import Mesh
from cosmodeep_hpc.survey.grid import CellGrid, Stripe, pixels_inside
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.survey.plane import OpenPlane
from cosmodeep_hpc.survey.scales import Scale
from cosmodeep_hpc.survey.task import ClassifyStripe
from cosmodeep_hpc.survey.view import averaged

GRIDS = ("probability", "pixels", "checksum", "coverage", "thumbnail", "rms", "gaps")
MESH = "mesh"
"""In a journal, the noise at the finest scale; that of others has their factor behind it."""
Meshes = tuple[Mesh, ...]
"""The noise of a plane, or of a part of it, at each scale, finest first."""


@dataclass(frozen=True, kw_only=True)
class StripeResult:
    """What is left of a stripe.

    Attributes:
        probability: of the tiles that begin in it: float32 (rows, cols); NaN: no data, or not yet
            classified.
        pixels: probability of each cell of the map, int16 as `pixelmap.packed` gives it: (rows,
            cols); empty where the network gives none, or they are in a file.
        checksum: uint32 (1,), of the rows in that file.
        coverage: of the stripe's own cells, of their pixels inside the view: float32.
        thumbnail: of its own rows: float32 [Jy/arcsec^2].
        rms: noise of its own cells by the user's map [Jy/arcsec^2]; without one, empty.
        gaps: float32 (4,), pixels without data: those of the image as in `Strip`, and those of the
            view where the user's map has no noise.
        meshes: the noise, where no pass before has measured it; else empty.
    """

    probability: NDArray[np.float32]
    pixels: NDArray[np.int16]
    checksum: NDArray[np.uint32]
    coverage: NDArray[np.float32]
    thumbnail: NDArray[np.float32]
    rms: NDArray[np.float32]
    gaps: NDArray[np.float32]
    meshes: Meshes

    def kept(self, place: MapRows, first: int) -> StripeResult:
        """Write the map of pixels to its file, from a row on; return the rest.

        Raises:
            InputError: it cannot be written.
        """
        checksum = np.array([place.write(first, self.pixels)], dtype=np.uint32)
        return replace(self, pixels=self.pixels[:0], checksum=checksum)

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return it by names, as a journal takes it."""
        return {name: getattr(self, name) for name in GRIDS} | arrays_of(self.meshes)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], layout: CellGrid) -> StripeResult:
        """Return what `as_arrays` was made of."""
        found = meshes_of(arrays, layout) if MESH in arrays else ()
        return cls(meshes=found, **{name: arrays[name] for name in GRIDS})


def arrays_of(found: Meshes) -> dict[str, NDArray[np.float32]]:
    """Return the noise at all scales by names, as a journal takes it."""
    return {f"{MESH}{n or ''}": mesh.grids for n, mesh in enumerate(found)}


def meshes_of(arrays: Mapping[str, NDArray[Any]], layout: CellGrid) -> Meshes:
    """Return what `arrays_of` was made of."""
    return tuple(
        meshes.mesh_of(arrays[f"{MESH}{n or ''}"], scale.mesh_side)
        for n, scale in enumerate(layout.scales)
    )


@dataclass(frozen=True, kw_only=True)
class StripePixels:
    """A stripe as it is read.

    Attributes:
        pixels: of all rows that it needs, float32 (rows, columns of the view) [Jy/arcsec^2]; in
            units of the noise of the training where the user gives a map of it.
        seen: which rows these are.
        tiles: the rows of the tiles that begin in the stripe. owned: those that it alone has.
        result: what is known of the stripe, without what a network says.
    """

    pixels: NDArray[np.float32]
    seen: range
    tiles: range
    owned: range
    result: StripeResult

    def part(self, rows: range) -> NDArray[np.float32]:
        """Return some of the rows."""
        return self.pixels[rows.start - self.seen.start : rows.stop - self.seen.start]


def measure(plane: OpenPlane, stripe: Stripe) -> Meshes:
    """Measure noise and extremes of the rows that a stripe alone has."""
    *_, owned = plane.layout.pixel_rows(stripe)
    strip = plane.view.strip(owned.start, owned.stop, single=True)
    pixels, unaveraged = strip.pixels, strip.single
    if plane.rms_map is not None:
        plane.rms_map.match(pixels, owned.start)
    return _measured(plane.layout, pixels, unaveraged)


def _measured(
    layout: CellGrid, pixels: NDArray[np.float32], unaveraged: NDArray[np.float32] | None
) -> Meshes:
    finest, *coarser = layout.scales
    return (
        _mesh(finest, pixels, unaveraged),
        *(_mesh(scale, averaged(pixels, scale.factor), None) for scale in coarser),
    )


def _mesh(
    scale: Scale, pixels: NDArray[np.float32], unaveraged: NDArray[np.float32] | None
) -> Mesh:
    return meshes.measure(pixels, scale.mesh_side, unaveraged, scale.beam, thorough=scale.is_small)


def read(plane: OpenPlane, task: ClassifyStripe) -> StripePixels:
    """Read the rows that a stripe needs, and measure what is its own.

    Raises:
        InputError: the file cannot be read.
    """
    view, layout, rms_map = plane.view, plane.layout, plane.rms_map
    seen, tiles, owned = layout.pixel_rows(task.stripe)
    its_own = slice(owned.start - seen.start, owned.stop - seen.start)
    strip = view.strip(seen.start, seen.stop, single=not task.measured)
    pixels = strip.pixels
    found: Meshes = ()
    if not task.measured:
        single = None if strip.single is None else strip.single[its_own]
        found = _measured(layout, pixels[its_own], single)
    thumbnail = averaged(pixels[its_own], layout.block)
    rms, unmapped = np.empty((0, 0), dtype=np.float32), 0
    if rms_map is not None:
        had = np.isfinite(pixels[its_own]).sum()
        matched = rms_map.match(pixels, seen.start)
        rms = averaged(matched[its_own], layout.stride)
        unmapped = had - np.isfinite(pixels[its_own]).sum()
    counts = counts_of(pixels[its_own], layout.stride)
    coverage = counts / pixels_inside(pixels[its_own].shape, layout.stride)
    shape = len(task.stripe.tiles), layout.tiles[1]
    result = StripeResult(
        probability=np.full(shape, np.nan, dtype=np.float32),
        pixels=np.empty((0, 0), dtype=np.int16),
        checksum=np.zeros(1, dtype=np.uint32),
        coverage=coverage.astype(np.float32),
        thumbnail=thumbnail,
        rms=rms,
        gaps=np.array([*strip.gaps[its_own].sum(axis=0), unmapped], np.float32),
        meshes=found,
    )
    return StripePixels(pixels=pixels, seen=seen, tiles=tiles, owned=owned, result=result)


def counts_of(pixels: NDArray[np.float32], side: int) -> NDArray[np.int64]:
    """Count the pixels with data in each cell of `side` x `side`."""
    good = np.isfinite(pixels)
    if good.all():
        return pixels_inside(pixels.shape, side)
    down, right = (np.arange(0, length, side) for length in pixels.shape)
    return np.add.reduceat(np.add.reduceat(good, down, axis=0, dtype=np.int64), right, axis=1)
