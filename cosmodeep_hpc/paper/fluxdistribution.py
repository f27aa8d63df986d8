"""The brightness of the sky inside and outside of clusters, and what is found of it: figure 11."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.overlay import kinds, on_grid
from cosmodeep_hpc.io.files import replacing, write_json
from cosmodeep_hpc.paper.classifiedimage import Classified
from cosmodeep_hpc.paper.clustermask import HaloCircles, inside
from cosmodeep_hpc.products import picture
from cosmodeep_hpc.sky import statistics
from cosmodeep_hpc.tiles.pairs import Pair
from cosmodeep_hpc.tiles.tiling import grid_shape, paint

ALL, FOUND = "0.25", "#0072B2"
"""Colours of all pixels, and of those in tiles that were found."""


MASSES = (1e12, 1e13, 1e14, 2e14, 5e14)
"""Mass limits of clusters [Msun]: the numbers are given for each."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Pixels of a Sky image in bins of their surface brightness.

    Attributes:
        fainter, brighter: pixels below and above all bins.
        pixels: in each bin of `sky.statistics.edges`.
    """

    fainter: int
    pixels: tuple[int, ...]
    brighter: int

    @classmethod
    def of(cls, sky: NDArray[np.float32]) -> Counts:
        """Count the pixels [Jy/arcsec^2] that have data."""
        fainter, pixels, brighter = statistics.flux_histogram(sky[np.isfinite(sky)])
        return cls(fainter=fainter, pixels=tuple(pixels.tolist()), brighter=brighter)

    def __add__(self, other: Counts) -> Counts:
        """Return the pixels of both."""
        return Counts(
            fainter=self.fainter + other.fainter,
            pixels=tuple(a + b for a, b in zip(self.pixels, other.pixels, strict=True)),
            brighter=self.brighter + other.brighter,
        )


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Figure 11 as numbers.

    Attributes:
        curves: pixels by their place: `all` or `found` (in tiles with signal that were found),
            `inside` or `outside` of clusters.
        sky_inside: share of the image inside of clusters.
        tiles_found, tiles_outside: tiles with signal that were found, and those among them whose
            centre is outside of clusters.
        halos: number of halos that count as clusters.
    """

    curves: dict[tuple[str, str], Counts]
    sky_inside: float
    tiles_found: int
    tiles_outside: int
    halos: int

    @property
    def words(self) -> str:
        """How much was found outside of clusters, in words."""
        return (
            f"{self.tiles_outside} of {self.tiles_found} tiles found lie outside of clusters, "
            f"which cover {100 * self.sky_inside:.0f} % of the field"
        )


def distribution(
    sky: NDArray[np.float32], found: NDArray[np.bool_], size: int, halos: HaloCircles
) -> Distribution:
    """Count the pixels of a Sky image.

    Args:
        sky: (ny, nx) [Jy/arcsec^2].
        found: tiles with signal that were found, bool (rows, cols).
        size: side of a tile [pixel].
        halos: the halos that count as clusters.
    """
    cluster = inside(halos, (sky.shape[0], sky.shape[1]))
    in_tile = paint(found, (sky.shape[0], sky.shape[1]), size)
    curves = {
        (which, where): Counts.of(sky[chosen & place])
        for which, chosen in (("all", np.True_), ("found", in_tile))
        for where, place in (("inside", cluster), ("outside", ~cluster))
    }
    centres = size // 2 + size * np.argwhere(found)
    outside = int((~cluster[centres[:, 0], centres[:, 1]]).sum())
    return Distribution(
        curves=curves,
        sky_inside=float(cluster.mean()),
        tiles_found=len(centres),
        tiles_outside=outside,
        halos=len(halos.mass),
    )


def draw(pair: Pair, one: Classified, halos: HaloCircles, mass: float, path: Path) -> str:
    """Draw the distribution of a pair's Sky pixels, and write its numbers as JSON beside it.

    Args:
        one: a model's classification of the pair.
        halos: of the field.
        mass: from which a halo counts as a cluster [Msun].
        path: the PNG file to write; the JSON has its name.

    Returns:
        a description of the picture.

    Raises:
        InputError: an image cannot be read, or a file not written.
    """
    sky, noise = pair.open()
    size = one.card.preprocessing.tile_size
    mask = kinds(one.image, one.card.threshold)["1C"]
    found = on_grid(one.image, mask, grid_shape(sky.shape, size))
    pixels = sky.pixels()
    counted = {m: distribution(pixels, found, size, halos.above(m)) for m in (mass, *MASSES)}
    rms = one.card.preprocessing.measure(noise).sigma
    write_json(path.with_suffix(".json"), as_dict(counted, mass, rms))
    with replacing(path) as temporary:
        picture.save(_figure(counted[mass], one, mass, rms, pair.name), temporary)
    return f"clusters from {mass:g} Msun: {counted[mass].words}"


def as_dict(of_mass: dict[float, Distribution], mass: float, rms: float) -> dict[str, Any]:
    """Return the numbers as plain values: all of one mass limit, and the effect of the limit.

    Args:
        of_mass: by the mass from which a halo counts as a cluster [Msun].
        mass: that of the curves.
        rms: of the noise [Jy/arcsec^2].
    """
    counted = of_mass[mass]
    summary = ("halos", "sky_inside", "tiles_found", "tiles_outside")
    return {
        "unit": "Sky pixels, by Jy/arcsec^2",
        "edges": statistics.edges().tolist(),
        "curves": {" ".join(key): asdict(counts) for key, counts in counted.curves.items()},
        "noise_rms": rms,
        "cluster_mass": {"unit": "Msun", "value": mass},
        "by_cluster_mass": {
            f"{m:g}": {name: getattr(of_mass[m], name) for name in summary} for m in sorted(of_mass)
        },
    }


def _figure(counted: Distribution, one: Classified, mass: float, rms: float, name: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    edges = statistics.edges()
    figure = Figure(figsize=(9, 6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for which, colour, label in (("all", ALL, "all pixels"), ("found", FOUND, "in tiles 1C")):
        within, beyond = (counted.curves[which, where] for where in ("inside", "outside"))
        for counts, style in ((within + beyond, "-"), (within, "--"), (beyond, ":")):
            axes.stairs(
                counts.pixels, edges, baseline=None, color=colour, linestyle=style, linewidth=1.5
            )
        axes.plot([], [], color=colour, linewidth=3, label=label)
    places = {"-": "inside and outside", "--": "inside of clusters", ":": "outside"}
    for style, label in places.items():
        axes.plot([], [], color="0.5", linestyle=style, label=label)
    axes.axvline(rms, color="#D55E00", linestyle=":", label="rms of the noise")
    axes.axvline(one.card.f_th, color="#009E73", linewidth=0.8, label="F_th")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0.7)
    axes.set_xlabel("surface brightness of a Sky pixel [Jy/arcsec²]", fontsize=12)
    axes.set_ylabel("pixels in a tenth of a decade", fontsize=12)
    axes.set_title(
        f"{one.title} on {name}, {one.words}\nclusters: R100 of {counted.halos} halos from "
        f"{mass:g} Msun; {counted.words}",
        fontsize=9.5,
    )
    axes.legend(fontsize=10, loc="upper right")
    return figure
