"""Fit the free parameters of the emission to the paper's share of signal tiles.

Three things are fitted, which no simulation of dark matter can give: the efficiency xi_e, the Mach
number at which it falls, and how the magnetic field depends on the density. They are judged by the
number of signal tiles an image under the paper's eight labelling rules. Two things are then
measured on the same boxes: the powers of clusters, against the relation of radio relics, and the
share of the light inside R100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.io.files import replacing, write_json
from cosmodeep_hpc.io.progress import Progress
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.sky import box, clusters
from cosmodeep_hpc.sky import occupancy as occupancies
from cosmodeep_hpc.sky.box import Box
from cosmodeep_hpc.sky.draws import CALIBRATION_IMAGES
from cosmodeep_hpc.sky.emission import Amplitude, with_field
from cosmodeep_hpc.sky.occupancy import occupancy, tile_levels
from cosmodeep_hpc.sky.paint import Painter
from cosmodeep_hpc.sky.recipes import amplitude_of, particle_meshes
from cosmodeep_hpc.sky.shocks import Elements

N_PIX = (40, 9)
"""Pixel thresholds of the paper's two models, Npix1 and Npix2."""
THRESHOLDS = (1e-7, 7.5e-8, 5e-8, 1e-8)
"""Flux thresholds F_th of the paper [Jy/arcsec^2]."""
PAPER = np.array([[occupancies.PAPER[n, f] for f in THRESHOLDS] for n in N_PIX], float)
"""Signal tiles of a 2000 x 2000 image that the paper's accuracies imply (its table 2)."""
IMAGE_TILES = 2500
"""Tiles of such an image."""
MACH_CUTS = (2.0, 2.5, 3.0)
"""Mach cuts to try: below 2, shocks too weak to accelerate would shine."""
EXPONENTS = (0.5, 0.6, 0.7)
"""Exponents of the density in the magnetic field to try."""
FITTED = ("efficiency", "mach_cut", "field_density")
"""Options of the section sky that are fitted."""
SCAN_SHARE = 6
"""One in so many fields of the final choice is painted in each trial."""
_MARGIN = 20.0  # a fit also paints elements so many times fainter than `sky.faintest`
_LOOKS = 6  # most paintings of one field: each may change the factor by the ends of _GAINS
_GAINS = np.exp(np.linspace(-7, 7, 1401))


@dataclass(frozen=True)
class Trial:
    """One choice of the parameters, with its best efficiency.

    Attributes:
        config: with these parameters.
        tiles: float64 (2, 4), mean number of signal tiles an image by N_PIX and THRESHOLDS.
        scatter: float64 (2, 4), standard deviation from image to image.
        misfit: rms of ln(tiles / PAPER).
    """

    config: Config
    tiles: NDArray[np.float64]
    scatter: NDArray[np.float64]
    misfit: float


def best_gain(levels: NDArray[np.float32]) -> tuple[float, float]:
    """Return the factor on the efficiency that fits best, and the misfit with it.

    Args:
        levels: (images, len(N_PIX), tiles), see `occupancy.tile_levels`.
    """
    misfits = [misfit(_an_image(occupancy(levels, THRESHOLDS, gain), levels)) for gain in _GAINS]
    best = int(np.argmin(misfits))
    return float(_GAINS[best]), misfits[best]


def misfit(tiles: NDArray[np.float64]) -> float:
    """Return the rms of ln(tiles / PAPER); no tile counts as half a tile."""
    return float(np.sqrt(np.mean(np.log(np.maximum(tiles, 0.5) / PAPER) ** 2)))


def _an_image(tiles: NDArray[np.float64], levels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scale numbers of tiles to an image of IMAGE_TILES tiles."""
    return np.asarray(tiles * (IMAGE_TILES / levels.shape[2]))


def refilled(whole: Box, config: Config) -> Box:
    """Return the box with the magnetic field of a configuration in place of its own."""
    return _Refilled(whole.path, whole.side, whole.redshifts, amplitude_of(config.sky))


@dataclass(frozen=True)
class _Refilled(Box):
    amplitude: Amplitude

    def elements(self, redshift: float) -> Elements:
        elements = super().elements(redshift)
        return with_field(elements, redshift, self.amplitude, anew=True)


def try_out(config: Config, boxes: Sequence[Box], images: int, world: World) -> Trial:
    """Find the best efficiency for the other parameters of a configuration; a collective call.

    Every rank paints its share of the images.

    Args:
        config: the parameters to try.
        boxes: to paint from.
        images: number of fields; the same ones in every trial.
        world: the ranks.
    """
    config = _scaled(config, _gain_of_one(config, boxes))
    painter = Painter(config, [refilled(each, config) for each in boxes])
    levels = _levels(painter, world.share(images))
    parts = [part for part in world.comm.allgather(levels) if len(part)]
    levels = np.concatenate(parts)
    gain, found = best_gain(levels)
    counts = np.array([_an_image(occupancy(levels[i : i + 1], THRESHOLDS, gain), levels)
                     for i in range(images)])  # fmt: skip
    return Trial(_scaled(config, gain), counts.mean(axis=0), counts.std(axis=0, ddof=1), found)


def _gain_of_one(config: Config, boxes: Sequence[Box]) -> float:
    """Estimate the factor that fits best, from one field.

    Painting leaves out faint elements. A large factor means that too many were left out, so the fit
    is repeated with the factor until the next one is small.
    """
    total = 1.0
    for _ in range(_LOOKS):
        scaled = _scaled(config, total)
        few = [refilled(each, scaled) for each in boxes]
        painter = Painter(scaled, few, config.sky.faintest / _MARGIN)
        gain = best_gain(_levels(painter, range(1)))[0]
        total *= gain
        if gain < _MARGIN / 2:
            break
    return total


def _levels(painter: Painter, images: range) -> NDArray[np.float32]:
    size = painter.config.tiles.size
    levels = [tile_levels(painter.paint(CALIBRATION_IMAGES + i), size, N_PIX) for i in images]
    tiles = (painter.view.pixels // size) ** 2
    return np.array(levels, np.float32).reshape(-1, len(N_PIX), tiles)


def _scaled(config: Config, gain: float) -> Config:
    return changed(config, efficiency=min(config.sky.efficiency * gain, 1.0))


def changed(config: Config, **options: Any) -> Config:
    """Return the configuration with other options in its section `sky`."""
    return replace(config, sky=replace(config.sky, **options))


def grid(config: Config, mach_cuts: Sequence[float], exponents: Sequence[float]) -> list[Config]:
    """Return the configurations to try: every Mach cut with every exponent of the density in B."""
    return [
        changed(config, mach_cut=mach, field_density=exponent)
        for mach, exponent in product(mach_cuts, exponents)
    ]


def run(
    config: Config,
    out: Path,
    images: int,
    world: World,
    progress: Progress,
) -> Trial:
    """Fit the grid's parameters on a few fields, the best of them on all, and write the result.

    Args:
        config: where to begin; B0 and the exponent of the temperature stay as they are.
        out: folder that holds `boxes/`, those of training skies; `calibration.json` and
            `calibration.txt` are written there.
        images: fields for the final choice, two or more.
        world: the ranks.
        progress: called with (trials done, trials in all, a note).
    """
    recipes = particle_meshes(config.sky, test=False)
    boxes = [box.opened(out / "boxes" / f"{r.name}.h5", r.digest) for r in recipes]
    trials: list[Trial] = []
    every = grid(config, MACH_CUTS, EXPONENTS)
    for number, candidate in enumerate(every):
        begin = trials[-1].config.sky.efficiency if trials else config.sky.efficiency
        candidate = changed(candidate, efficiency=begin)
        trial = try_out(candidate, boxes, max(2, images // SCAN_SHARE), world)
        trials.append(trial)
        progress(number, len(every) + 1, _line(trial))
    chosen = min(trials, key=lambda trial: trial.misfit)
    final = try_out(chosen.config, boxes, images, world)
    progress(len(every) + 1, len(every) + 1, _line(final))
    world.on_root(lambda: _write(out, final, trials, boxes, images))
    return final


def _line(trial: Trial) -> str:
    sky = trial.config.sky
    return (
        f"mach_cut {sky.mach_cut:g}, field_density {sky.field_density:g}: efficiency "
        f"{sky.efficiency:.3g}, misfit {trial.misfit:.3f}"
    )


def _write(
    out: Path, final: Trial, trials: Sequence[Trial], boxes: Sequence[Box], images: int
) -> None:
    found = clusters.measure(final.config, [refilled(each, final.config) for each in boxes])
    sky = final.config.sky
    fitted = {name: getattr(sky, name) for name in FITTED}
    content = {
        "fitted": fitted,
        "misfit": final.misfit,
        "images": images,
        "tiles": final.tiles.tolist(),
        "scatter": final.scatter.tolist(),
        "paper": PAPER.tolist(),
        "trials": [
            {name: getattr(t.config.sky, name) for name in FITTED} | {"misfit": t.misfit}
            for t in trials
        ],
        "clusters": found.as_dict(),
    }
    write_json(out / "calibration.json", content)
    lines = ["[sky]", *(f"{name} = {value:.4g}" for name, value in fitted.items()), ""]
    lines += [f"signal tiles an image, mean of {images} fields +- standard error (paper):"]
    error = final.scatter / np.sqrt(images)
    for row, n_pix in enumerate(N_PIX):
        cells = [
            f"{final.tiles[row, i]:6.1f} +-{error[row, i]:4.1f} ({PAPER[row, i]:.0f})"
            for i in range(len(THRESHOLDS))
        ]
        lines.append(f"  N_pix {n_pix:2d}  " + "  ".join(cells))
    text = "\n".join([*lines, "", *found.lines()]) + "\n"
    with replacing(out / "calibration.txt") as temporary:
        temporary.write_text(text)
