"""What the ranks of a sweep are asked to do, and what they say when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.survey.grid import CellGrid, Stripe
from cosmodeep_hpc.survey.matching import NoiseMatching
from cosmodeep_hpc.tiles.preprocessing import Level


@dataclass(frozen=True, kw_only=True)
class PlaneInfo:
    """What must be known of a plane to plan its sweep.

    Attributes:
        name: in messages.
        layout: of its view.
        sigma: robust noise of the image's own pixels [Jy/arcsec^2], where preprocessing needs it.
        given_rms: the noise of the image's own pixels that the user gives [Jy/arcsec^2].
        gain: what the view makes of that noise.
        notes: on how it is read and seen.
        failure: why it cannot be swept; empty where it can.
    """

    name: str
    layout: CellGrid
    sigma: float | None
    given_rms: float | None
    gain: float
    notes: tuple[str, ...]
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class MosaicInfo:
    """What must be known of a mosaic to plan its sweep."""

    axes: tuple[int, ...]
    rebin: int
    planes: tuple[PlaneInfo, ...]


@dataclass(frozen=True, kw_only=True)
class Grids:
    """What the sweep of a plane left, on its grid of cells: see `SweptPlane`."""

    probability: NDArray[np.float32]
    coverage: NDArray[np.float32]
    noise: NDArray[np.float32]
    thumbnail: NDArray[np.float32]
    level: Level
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReadChecksum:
    """Read a file's checksum: str.

    Attributes:
        mosaic: its number among the images of the plan; so in all tasks.
    """

    mosaic: int


@dataclass(frozen=True, kw_only=True)
class OpenMosaic:
    """Open a mosaic, and say what its sweep is planned by: `MosaicInfo`."""

    mosaic: int


@dataclass(frozen=True, kw_only=True)
class MeasureStripe:
    """Measure the noise of a stripe: the grids of a `Mesh`.

    Attributes:
        plane: its number among those swept.
        number: of the stripe in its plane.
    """

    mosaic: int
    plane: int
    number: int
    stripe: Stripe


@dataclass(frozen=True, kw_only=True)
class ClassifyStripe:
    """Classify the tiles of a stripe: `StripeResult`.

    Attributes:
        plane, number: as of `MeasureStripe`.
        scaling: of the plane.
        measured: whether a pass before has its noise.
    """

    mosaic: int
    plane: int
    number: int
    stripe: Stripe
    scaling: NoiseMatching
    measured: bool


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """Hand a swept mosaic over to its destination: `MosaicOutcome`.

    Attributes:
        grids: of all planes.
        sha256, key: as of `Swept`.
    """

    mosaic: int
    grids: tuple[Grids, ...]
    opened: MosaicInfo
    sha256: str
    key: str


Task = ReadChecksum | OpenMosaic | MeasureStripe | ClassifyStripe | HandOver


@dataclass(frozen=True, kw_only=True)
class MosaicOutcome:
    """What became of a mosaic.

    Attributes:
        state: `done` now, `kept` as an earlier sweep left it, or `failed`.
        cells, signal, no_data, islands: numbers of them, of all planes.
        mask: the mask's file.
        notes: what a user should know before believing the result, or the error.
    """

    path: Path
    state: Literal["done", "kept", "failed"]
    cells: int = 0
    signal: int = 0
    no_data: int = 0
    islands: int = 0
    mask: Path | None = None
    notes: tuple[str, ...] = ()
