"""What the ranks of a sweep are asked to do, and what they say when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosmodeep_hpc.survey.grid import Stripe
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.survey.matching import NoiseMatching
from cosmodeep_hpc.survey.plane import PlaneInfo
from cosmodeep_hpc.survey.result import PlaneGrids


@dataclass(frozen=True, kw_only=True)
class ReadChecksum:
    """Read a file's checksum: the result is a str.

    Attributes:
        mosaic: its number among the images of the plan; so in all tasks.
    """

    mosaic: int


@dataclass(frozen=True, kw_only=True)
class OpenMosaic:
    """Open a mosaic: the result is its `MosaicInfo`."""

    mosaic: int


@dataclass(frozen=True, kw_only=True)
class MeasureStripe:
    """Measure the noise of a stripe: the result is a `Mesh` for each scale.

    Attributes:
        plane: its number among those swept.
        number: of the stripe in its plane.
    """

    mosaic: int
    plane: int
    number: int
    stripe: Stripe


@dataclass(frozen=True, kw_only=True)
class MeasurePlane:
    """Measure a plane of one stripe, and decide how it is scaled: the result is `MeasuredAlone`.

    Attributes:
        plane: see `MeasureStripe`.
        info: of the plane.
    """

    mosaic: int
    plane: int
    stripe: Stripe
    info: PlaneInfo


@dataclass(frozen=True, kw_only=True)
class ClassifyStripe:
    """Classify the tiles of a stripe: the result is a `StripeResult`.

    Attributes:
        plane, number: see `MeasureStripe`.
        scalings: of the plane at each scale that is used, finest first.
        measured: whether a pass before has its noise.
        map_file: where the map of pixels is written; None: it is part of the result.
    """

    mosaic: int
    plane: int
    number: int
    stripe: Stripe
    scalings: tuple[NoiseMatching, ...]
    measured: bool
    map_file: MapRows | None = None


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """Hand a swept mosaic over to its destination: the result is a `MosaicOutcome`.

    Attributes:
        planes: what was found in each.
        sha256, key: see `MosaicResult`.
    """

    mosaic: int
    planes: tuple[PlaneGrids, ...]
    sha256: str
    key: str


Task = ReadChecksum | OpenMosaic | MeasureStripe | MeasurePlane | ClassifyStripe | HandOver


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

    def line(self, seconds: float) -> str:
        """Return a line for a log: what became of it, after how many seconds, and its notes."""
        found = f"cells {self.cells}, signal {self.signal}, no data {self.no_data}"
        head = f"{self.path}: {self.state} after {seconds:.1f} s"
        if self.state == "failed":  # the error was told, and names the file
            return head
        return "; ".join([f"{head}: {found}, islands {self.islands}", *self.notes])
