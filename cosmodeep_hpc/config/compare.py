"""Options of the comparison with other source finders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosmodeep_hpc.config.section import Section, option
from cosmodeep_hpc.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Compare(Section):
    """The comparison with PyBDSF, Aegean and plain detectors (paper, section 5 and figure 10)."""

    finders: tuple[Literal["pybdsf", "aegean", "wavelets", "continunet"], ...] = option(
        ("pybdsf", "aegean", "continunet"),
        "source finders to run, if they are installed; wavelets is PyBDSF with wavelet planes, "
        "which takes minutes to hours an image",
    )
    islands: tuple[float, ...] = option(
        (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0),
        "thresholds of PyBDSF's islands",
        unit="sigma",
        above=0,
    )
    min_pixels: int = option(9, "fewest pixels of a PyBDSF island", unit="pixel", low=1)
    peak: float = option(
        5.0,
        "threshold on an island's peak in the column 'pybdsf peak': PyBDSF's own default; in the "
        "column 'pybdsf', as in the paper, a peak need not exceed more than the island's threshold",
        unit="sigma",
        low=0,
    )
    seeds: tuple[float, ...] = option(
        (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0),
        "seed thresholds of Aegean's islands, which grow down to flood x seed",
        unit="sigma",
        above=0,
    )
    flood: float = option(0.8, "Aegean's flood threshold over its seed threshold", above=0, high=1)
    wavelets: tuple[float, ...] = option(
        (3.0,),
        "thresholds of PyBDSF's islands with wavelets, whose peaks exceed `peak` too",
        unit="sigma",
        above=0,
    )
    levels: tuple[float, ...] = option(
        (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0),
        "brightness from which pixels of a smoothed map are signal; the best one is chosen",
        unit="F_th",
        above=0,
    )
    seconds: float = option(
        900.0, "time that a source finder may take for an image", unit="s", above=0
    )
    rms: float = option(
        0.0,
        "constant noise of the images; 0: the header's NOISERMS, or else measured",
        unit="uJy/beam",
        low=0,
    )
    kernels: tuple[float, ...] = option(
        (1.5, 3.0, 6.0),
        "widths (sigma) of the plain detector's smoothing; the best one is chosen",
        unit="pixel",
        above=0,
        high=100,
    )
    scales: tuple[float, ...] = option(
        (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0),
        "widths (sigma) of the matched filter's kernels; all up to the best one are used",
        unit="pixel",
        above=0,
        high=100,
    )
    margin: int = option(
        20,
        "pixels around a tile that the second of the two ideal limits sees too; the first, as a "
        "network without tiles.margin, sees the tile alone",
        unit="pixel",
        low=0,
        high=100,
    )
    rules: Literal["model", "paper"] = option(
        "model",
        "labels to judge tiles by: the model's, or (for the other detectors) the paper's eight",
    )
    closeups: int = option(2, "number of images with a close-up (figure 10)", low=0)
    drawn: tuple[float, ...] = option(
        (1.5, 3.0), "thresholds of the PyBDSF islands in close-ups", unit="sigma"
    )

    def __post_init__(self) -> None:
        """Check each option, then those that depend on each other."""
        super().__post_init__()
        distinct = ("finders", "islands", "seeds", "wavelets", "levels", "kernels", "scales")
        for name in (*distinct, "drawn"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or not (values or name in {"finders", "drawn"}):
                raise InputError(f"compare.{name} = {list(values)}: expected distinct values")
        if others := sorted(set(self.drawn) - set(self.islands)):
            raise InputError(
                f"compare.drawn = {list(self.drawn)}: expected values of compare.islands, "
                f"which has no {others[0]:g}"
            )
