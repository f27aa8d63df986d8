"""One stripe of a plane: what is measured on it, and what is left of it in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from cosmodeep_hpc.survey.view import Strip, averaged

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
        nothing = np.empty((0, 0), dtype=np.int16)  # no part of them, which would keep all
        return replace(self, pixels=nothing, checksum=checksum)

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
class OwnRows:
    """What is left of rows that a stripe alone has, without what a network says.

    Attributes:
        counts: pixels with data in each cell, int64 (rows, cols).
        inside: pixels of each cell inside the view, int64 (rows, cols).
        thumbnail, rms, gaps: see `StripeResult`; gaps are float64 here.
    """

    counts: NDArray[np.int64]
    inside: NDArray[np.int64]
    thumbnail: NDArray[np.float32]
    rms: NDArray[np.float32]
    gaps: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        layout: CellGrid,
        pixels: NDArray[np.float32],
        rms: NDArray[np.float32] | None,
        gaps: NDArray[np.int64],
    ) -> OwnRows:
        """Return what is left of whole rows of cells.

        Args:
            pixels: (rows, columns of the view); those without noise in the user's map are NaN.
            rms: the rows of that map; None: there is none.
            gaps: int64 (rows, 4), pixels without data, see `StripeResult`.
        """
        return cls(
            counts=counts_of(pixels, layout.stride),
            inside=pixels_inside(pixels.shape, layout.stride),
            thumbnail=averaged(pixels, layout.block),
            rms=np.empty((0, 0), np.float32) if rms is None else averaged(rms, layout.stride),
            gaps=gaps.sum(axis=0).astype(np.float64),
        )

    @classmethod
    def joined(cls, parts: Sequence[OwnRows]) -> OwnRows:
        """Return one of parts that lie above each other, lowest first."""
        every = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("counts", "inside", "thumbnail", "rms")
        }
        return cls(gaps=np.sum([part.gaps for part in parts], axis=0), **every)

    def result(self, tiles: tuple[int, int], found: Meshes = ()) -> StripeResult:
        """Return the result of a stripe that is not classified yet.

        Args:
            tiles: rows and columns of those that begin in it.
            found: see `StripeResult.meshes`.
        """
        return StripeResult(
            probability=np.full(tiles, np.nan, dtype=np.float32),
            pixels=np.empty((0, 0), dtype=np.int16),
            checksum=np.zeros(1, dtype=np.uint32),
            coverage=(self.counts / self.inside).astype(np.float32),
            thumbnail=self.thumbnail,
            rms=self.rms,
            gaps=self.gaps.astype(np.float32),
            meshes=found,
        )


def measure(plane: OpenPlane, stripe: Stripe) -> tuple[Meshes, Strip]:
    """Measure noise and extremes of the rows that a stripe alone has; return these, too.

    Where the user gives a map of the noise, they are in units of the training's.
    """
    *_, owned = plane.layout.pixel_rows(stripe)
    strip = plane.view.strip(owned.start, owned.stop, single=True)
    if plane.rms_map is not None:
        plane.rms_map.match(strip.pixels, owned.start)
    return measured(plane.layout, strip.pixels, strip.single), strip


def measured(
    layout: CellGrid, pixels: NDArray[np.float32], unaveraged: NDArray[np.float32] | None
) -> Meshes:
    """Measure noise and extremes of rows of a view at each scale."""
    finest, *coarser = layout.scales
    return (
        _mesh(finest, pixels, unaveraged),
        *(_mesh(scale, averaged(pixels, scale.factor), None) for scale in coarser),
    )


def _mesh(
    scale: Scale, pixels: NDArray[np.float32], unaveraged: NDArray[np.float32] | None
) -> Mesh:
    return meshes.measure(pixels, scale.mesh_side, unaveraged, scale.beam, thorough=scale.is_small)


def matched(
    plane: OpenPlane, strip: Strip, first: int
) -> tuple[NDArray[np.float32] | None, NDArray[np.int64]]:
    """Bring rows to the noise of the training, in place, where the user gives a map of it.

    Args:
        first: row of the view that they begin with.

    Returns:
        the map's rows, and pixels without data, int64 (rows, 4).
    """
    unmapped = np.zeros(len(strip.gaps), dtype=np.int64)
    rms = None
    if plane.rms_map is not None:
        had = np.isfinite(strip.pixels).sum(axis=1)
        rms = plane.rms_map.match(strip.pixels, first)
        unmapped = had - np.isfinite(strip.pixels).sum(axis=1)
    return rms, np.column_stack([strip.gaps, unmapped])


def counts_of(pixels: NDArray[np.float32], side: int) -> NDArray[np.int64]:
    """Count the pixels with data in each cell of `side` x `side`."""
    good = np.isfinite(pixels)
    if good.all():
        return pixels_inside(pixels.shape, side)
    down, right = (np.arange(0, length, side) for length in pixels.shape)
    return np.add.reduceat(np.add.reduceat(good, down, axis=0, dtype=np.int64), right, axis=1)
