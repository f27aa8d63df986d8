"""How a plane is scaled at each scale, decided once all of it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.noise.background import background
from cosmodeep_hpc.noise.localnoise import LocalNoise, local_noise
from cosmodeep_hpc.survey.matching import KnownNoise, NoiseMatching, decide, decide_coarser
from cosmodeep_hpc.survey.plane import PlaneInfo
from cosmodeep_hpc.survey.stripe import Meshes


@dataclass(frozen=True, kw_only=True)
class PlaneScaling:
    """The scaling of a plane, and the noise that it comes of.

    Attributes:
        scalings: at each scale that is used, finest first.
        notes: on them.
        local: the noise by the mesh of the finest scale; None: there is none.
        level: the background by that mesh [Jy/arcsec^2]; None: not known.
    """

    scalings: tuple[NoiseMatching, ...]
    notes: tuple[str, ...]
    local: LocalNoise | None
    level: NDArray[np.float32] | None

    @classmethod
    def of(
        cls, info: PlaneInfo, meshes: Meshes, card: Card, options: Classify, *, mapped: bool
    ) -> PlaneScaling:
        """Decide how a plane is scaled.

        Args:
            info: of the plane. meshes: its noise at each scale; empty where it is not needed.
            card: of the model. options: how noise and background are treated.
            mapped: whether the user gives a map of the noise.

        Raises:
            InputError: the plane has no data or no noise.
        """
        known = KnownNoise(
            given=info.given_sigma,
            mapped=mapped,
            robust=info.sigma,
            beam_area=info.beam_area,
        )
        mesh = meshes[0] if meshes else None
        local = None if mesh is None else local_noise(mesh, info.beam_area)
        level = None
        if mesh is not None and local is not None and options.background != "none":
            level = background(mesh, local, info.beam_area)
        scaling, notes = decide(mesh, local, level, card, options, known, info.name)
        coarser = []
        for scale, of_scale in zip(info.layout.scales[1:], meshes[1:], strict=False):
            noise = local_noise(of_scale, scale.beam_area)
            if noise is None:  # too few pixels: the scales before have to do
                break
            coarser.append(decide_coarser(of_scale, noise, card, options, scale.beam_area))
        return cls(scalings=(scaling, *coarser), notes=notes, local=local, level=level)


@dataclass(frozen=True)
class MeasuredAlone:
    """A plane of one stripe that a rank has measured.

    Attributes:
        meshes: its noise at each scale.
        scaling: what follows; None where that is an error.
    """

    meshes: Meshes
    scaling: PlaneScaling | None
