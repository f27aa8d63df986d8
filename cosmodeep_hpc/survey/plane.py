"""A plane of a mosaic: what its sweep is planned by, and how a rank has it open."""

from __future__ import annotations

from dataclasses import dataclass

from cosmodeep_hpc.survey.grid import CellGrid
from cosmodeep_hpc.survey.matching import RmsMap
from cosmodeep_hpc.survey.view import View


@dataclass(frozen=True, kw_only=True)
class PlaneInfo:
    """What must be known of a plane to plan its sweep.

    Attributes:
        name: in messages.
        layout: cells and tiles of its view.
        rebin: pixels of the image along the side of one of the view.
        sigma: robust noise of the view [Jy/arcsec^2], where the preprocessing needs it.
        given_rms: noise of the image's own pixels [Jy/arcsec^2], where the user gives it.
        gain: noise of the view in units of the noise of the image's own pixels.
        beam_area: of the view's beam [pixel of the view]; None where it is not known.
        notes: on how it is read and seen.
        failure: why it cannot be swept; empty where it can.
    """

    name: str
    layout: CellGrid
    rebin: int
    sigma: float | None
    given_rms: float | None
    gain: float
    beam_area: float | None
    notes: tuple[str, ...]
    failure: str = ""

    @property
    def given_sigma(self) -> float | None:
        """Noise of the view [Jy/arcsec^2], where the user gives that of the image."""
        return None if self.given_rms is None else self.given_rms * self.gain


@dataclass(frozen=True, kw_only=True)
class MosaicInfo:
    """What must be known of a mosaic to plan its sweep.

    Attributes:
        axes: lengths of the axes of its HDU, slowest first.
        planes: those to be swept, in the order of the file.
    """

    axes: tuple[int, ...]
    planes: tuple[PlaneInfo, ...]


@dataclass(frozen=True, kw_only=True)
class OpenPlane:
    """A plane that is open on this rank.

    Attributes:
        view: what is read of it.
        layout: cells and tiles of the view.
        rms_map: its noise, where the user gives a map.
        notes: on how it is seen.
    """

    view: View
    layout: CellGrid
    rms_map: RmsMap | None
    notes: tuple[str, ...]
