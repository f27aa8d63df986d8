"""One plane of a mosaic on its way through a sweep: from its stripes to its grids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.pixelmap import BLANK
from cosmodeep_hpc.noise import mesh as meshes
from cosmodeep_hpc.noise.localnoise import LocalNoise, local_noise
from cosmodeep_hpc.noise.mesh import interpolated
from cosmodeep_hpc.survey.grid import Stripe, averaged
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.survey.matching import NoiseMatching, needs_mesh
from cosmodeep_hpc.survey.plane import PlaneInfo
from cosmodeep_hpc.survey.planescaling import PlaneScaling
from cosmodeep_hpc.survey.result import PlaneGrids, TileGrids
from cosmodeep_hpc.survey.stripe import Meshes, StripeResult
from cosmodeep_hpc.tiles.preprocessing import Level


class PlaneState:
    """The stripes of a plane: what was measured and classified so far."""

    def __init__(
        self,
        info: PlaneInfo,
        config: Config,
        card: Card,
        *,
        mapped: bool,
        map_file: MapRows | None = None,
    ) -> None:
        """Begin with nothing done.

        Args:
            mapped: whether the user gives a map of the noise.
            map_file: where ranks write the map of pixels; None: it comes with their results.
        """
        self.map_file = map_file
        self.info = info
        self.stripes = info.layout.stripes(config.classify.batch)
        self.measured: dict[int, Meshes] = {}
        self.classified: dict[int, StripeResult] = {}
        self.scalings: tuple[NoiseMatching, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.failure = ""
        self._local: LocalNoise | None = None
        self._level: NDArray[np.float32] | None = None
        self._config, self._card, self._mapped = config, card, mapped
        given = info.given_rms is not None or mapped
        self.is_measured = bool(info.layout.finest) or needs_mesh(
            card.preprocessing, config.classify, given=given
        )
        if info.failure:
            self.give_up(info.failure)

    def give_up(self, failure: str) -> None:
        """Leave the plane as one without data, as flagged channels of a cube are."""
        self.failure, self.stripes = failure, []
        self.measured.clear()
        self.classified.clear()
        self.notes = (f"no data taken from it: {failure.removeprefix(f'{self.info.name}: ')}",)

    @property
    def is_done(self) -> bool:
        """Whether every stripe is classified."""
        return len(self.classified) == len(self.stripes)

    def decide(self) -> bool:
        """Decide on the scaling once all is measured that it needs; return whether it is known.

        Raises:
            InputError: the plane has no data or no noise.
        """
        if self.failure:
            return False
        if self.scalings or (self.is_measured and len(self.measured) < len(self.stripes)):
            return bool(self.scalings)
        options = self._config.classify
        self.take(
            PlaneScaling.of(self.info, self._meshes(), self._card, options, mapped=self._mapped)
        )
        return True

    def take(self, found: PlaneScaling) -> None:
        """Take how the plane is scaled."""
        self.scalings, self.notes = found.scalings, found.notes
        self._local, self._level = found.local, found.level

    def scalings_of(self, stripe: Stripe) -> tuple[NoiseMatching, ...]:
        """Return what a stripe needs of the scaling at each scale."""
        layout = self.info.layout
        seen = layout.pixel_rows(stripe)[0]
        return tuple(
            scaling.part(range(seen.start // scale.factor, -(-seen.stop // scale.factor)))
            for scaling, scale in zip(self.scalings, layout.scales, strict=False)
        )

    def _meshes(self) -> Meshes:
        """Return the noise of the plane at each scale, from the pass that has measured it."""
        numbers = range(len(self.stripes))
        if self.is_measured:
            parts = [self.measured[n] for n in numbers]
        else:
            parts = [self.classified[n].meshes for n in numbers if n in self.classified]
        return tuple(meshes.joined(list(of_scale)) for of_scale in zip(*parts, strict=True))

    def grids(self) -> PlaneGrids:
        """Join the classified stripes on the grid of cells."""
        if self.failure:
            return self._nothing()
        layout = self.info.layout
        ordered = [self.classified[n] for n in range(len(self.stripes))]

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, name) for part in ordered])

        probability, coverage = averaged(joined("probability"), layout), joined("coverage")
        if layout.overlap > 1:  # a cell without data may lie in tiles that have some
            probability[coverage < self._config.classify.min_coverage] = np.nan
        level = self.scalings[0].level
        if not self.is_measured and (found := self._meshes()):
            level = replace(level, sigma=float(np.nanmedian(found[0].sigma)))
        notes = self.notes + gap_notes(np.sum([part.gaps for part in ordered], axis=0))
        if np.isnan(probability).all():  # the map of the noise may have none
            notes += ("no data taken from it: too few pixels with data in every tile",)
        noise = joined("rms") if self._mapped else self._noise()
        return PlaneGrids(
            tiles=TileGrids(
                probability=probability,
                coverage=coverage,
                noise=noise,
                background=self._background(),
            ),
            pixels=self._map(),
            thumbnail=joined("thumbnail"),
            block=self.info.rebin * layout.block,
            level=level,
            notes=(*self.info.notes, *notes),
        )

    def has_map_of(self, number: int, result: StripeResult) -> bool:
        """Return whether the file has what a stripe has written there; true without a file."""
        if self.map_file is None:
            return True
        rows = self.info.layout.map_rows(self.stripes[number])
        return self.map_file.has(rows.start, rows.stop, int(result.checksum[0]))

    def _map(self) -> MapRows | None:
        """Return the map of pixels: in its file, or joined."""
        shape = self.info.layout.map_shape
        if not self.info.layout.finest:
            return None
        if self.failure:
            return MapRows(shape, np.full(shape, BLANK, np.int16))
        if self.map_file is not None:
            return self.map_file
        parts = [self.classified[number].pixels for number in range(len(self.stripes))]
        return MapRows(shape, np.concatenate(parts))

    def _nothing(self) -> PlaneGrids:
        """Return the grids of a plane without data."""
        layout = self.info.layout
        none = np.full(layout.cells, np.nan, np.float32)
        small = [-(-side // layout.block) for side in layout.shape]
        coverage = np.zeros(layout.cells, np.float32)
        return PlaneGrids(
            tiles=TileGrids(
                probability=none, coverage=coverage, noise=none, background=np.zeros_like(none)
            ),
            pixels=self._map(),
            thumbnail=np.full(small, np.nan, np.float32),
            block=self.info.rebin * layout.block,
            level=Level(low=np.nan, high=np.nan, sigma=np.nan),
            notes=(*self.info.notes, *self.notes),
        )

    def _noise(self) -> NDArray[np.float32]:
        """Return the noise of the image's own pixels at the centre of each cell."""
        layout, measured = self.info.layout, self._local
        if self.info.given_rms is not None:
            return np.full(layout.cells, self.info.given_rms, dtype=np.float32)
        if not self.is_measured and (found := self._meshes()):
            measured = local_noise(found[0], self.info.beam_area)
        if measured is None:
            return np.full(layout.cells, np.nan, dtype=np.float32)
        return self._in_tiles(measured.image, measured.side)

    def _background(self) -> NDArray[np.float32]:
        """Return the background at the centre of each cell; 0 where it is not known.

        By a map of the noise it is one of pixels in units of that, and not known.
        """
        if self._level is None or self._local is None or self._mapped:
            return np.zeros(self.info.layout.cells, dtype=np.float32)
        return self._in_tiles(self._level, self._local.side)

    def _in_tiles(self, mesh: NDArray[np.float32], side: int) -> NDArray[np.float32]:
        """Return a mesh of cells of `side` pixels of the view at the centre of each tile."""
        layout = self.info.layout
        rows, cols = ((np.arange(n) + 0.5) * layout.stride - 0.5 for n in layout.cells)
        return interpolated(mesh, side, rows, cols)


NO_DATA = (
    "absurd or infinite values are no data: pixels",
    "padding that is not 0 is no data: pixels",
    "zeros of whole numbers are no data: pixels",
    "the map of the noise has no value, so no data: pixels that the network sees",
)
"""What is said of pixels without data, as `StripeResult.gaps` has them."""


def gap_notes(counts: NDArray[np.float32]) -> tuple[str, ...]:
    """Return notes on pixels that were taken for no data, with how many there are: (4,)."""
    return tuple(f"{why} {n:.0f}" for why, n in zip(NO_DATA, counts, strict=True) if n)
