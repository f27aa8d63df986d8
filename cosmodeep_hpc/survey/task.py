"""What the ranks of a sweep are asked to do, and what they say when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.sky.beam import Beam
from cosmodeep_hpc.survey.layout import Layout, Stripe
from cosmodeep_hpc.survey.scaling import Scaling
from cosmodeep_hpc.survey.stripe import StripeResult
from cosmodeep_hpc.tiles.preprocessing import Level

Kind = Literal["checksum", "open", "measure", "classify", "write"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user says of the images, beside the configuration.

    Attributes:
        hdu: number or name of the HDU; None: the first with an image.
        planes: numbers of the planes to sweep; None: all.
        beam: in place of the header's.
        rms: noise in the image's unit, or a map of it; None: measured.
        threshold: a cell is signal from this probability on; None: the model's own.
        refine: whether islands are followed at the scale of the beam.
    """

    hdu: int | str | None = None
    planes: tuple[int, ...] | None = None
    beam: Beam | None = None
    rms: float | Path | None = None
    threshold: float | None = None
    refine: bool = False


@dataclass(frozen=True, kw_only=True)
class PlaneFacts:
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
    layout: Layout
    sigma: float | None
    given_rms: float | None
    gain: float
    notes: tuple[str, ...]
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What must be known of a mosaic to plan its sweep."""

    axes: tuple[int, ...]
    rebin: int
    planes: tuple[PlaneFacts, ...]


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
class Task:
    """A piece of work on a mosaic.

    Attributes:
        kind: `checksum` and `open` the file; `measure` and `classify` a stripe; `write` products.
        mosaic: its number among the images of the command.
        plane: its number among those swept.
        stripe: rows of cells, with the number it has.
        scaling: of the plane, to classify it; `measured`: whether a pass before has its noise.
        grids: of all planes, to write the products, with `opened`, `sha256` and `key`.
    """

    kind: Kind
    mosaic: int
    plane: int = 0
    number: int = 0
    stripe: Stripe | None = None
    scaling: Scaling | None = None
    measured: bool = False
    grids: tuple[Grids, ...] = ()
    opened: Opened | None = None
    sha256: str = ""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
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


Result = str | Opened | StripeResult | Outcome | NDArray[np.float32]
