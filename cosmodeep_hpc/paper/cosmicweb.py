"""The cosmic web of a light cone: gas and radio emission, ever deeper (figure 2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.sky import Sky
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.sky import box, cosmology
from cosmodeep_hpc.sky.emission import MPC_IN_CM
from cosmodeep_hpc.sky.lightcone import ARCSEC, ImagePlane, Orientation, Slab
from cosmodeep_hpc.sky.mesh import Field
from cosmodeep_hpc.sky.paint import Painter
from cosmodeep_hpc.sky.recipes import particle_meshes
from cosmodeep_hpc.sky.simulation.grid import critical_density

DEPTHS = (0.05, 0.2, 0.5)
"""Redshifts down to which the panels look; the paper's first one shows the nearest box alone."""
END = 0.015
"""A panel ends with the slab that ends here, or less than this before [redshift]."""
DEGREES = 16.0
"""Side of the field [deg] (paper, section 3.1)."""
PIXELS = 1500
"""Side of a panel [pixel]."""
FAINTEST = 1e-18
"""Elements below this surface brightness are left out of the picture [Jy/arcsec^2]."""
EMISSION = (1e-15, 1e-7)
"""Ends of the scale of the emission [Jy/arcsec^2]."""


def gas_column(
    density: NDArray[np.float32], slab: Slab, turned: Orientation, view: ImagePlane
) -> Field:
    """Return the gas column density of one slab [g/cm^2, proper], float32 (pixels, pixels).

    The slab is seen from its middle: rays through it count as parallel.

    Args:
        density: (m, m, m) of the box, in units of the mean.
        slab: where the box is put.
        turned: how the box is turned.
        view: the image plane.
    """
    m = len(density)
    placed = np.transpose(density, turned.axes)
    placed = placed[tuple(slice(None, None, -1 if flip else 1) for flip in turned.flips)]
    # Cell i has its centre at i cells; reflected, the centre of cell m - 1 comes to 1 cell.
    cells = [(s + f / m) % 1 * m for s, f in zip(turned.shift, turned.flips, strict=True)]
    depth = np.arange(m) + cells[2]
    inside = np.flatnonzero(depth % m * slab.side / m < slab.depth)
    column = placed[:, :, inside].sum(axis=2, dtype=np.float64) * (slab.side / m)
    sine = (np.arange(view.pixels) - 0.5 * (view.pixels - 1)) * view.scale * ARCSEC
    place = slab.centre * sine / slab.side * m + 0.5 * m
    points = np.meshgrid(place - cells[0], place - cells[1], indexing="ij")
    seen = map_coordinates(column, points, order=3, mode="grid-wrap").T
    mean = cosmology.OMEGA_B * critical_density() * (1 + slab.redshift) ** 2 * MPC_IN_CM
    return np.asarray(np.maximum(seen, 0) * mean, np.float32)


def boxes_in(folder: Path, sky: Sky) -> list[box.Box]:
    """Return the boxes of a folder of `mock`: those to train on, or else those to test on.

    Raises:
        InputError: a box is missing or of another configuration.
    """
    files = [
        [(folder / "boxes" / f"{r.name}.h5", r.digest) for r in particle_meshes(sky, test=test)]
        for test in (False, True)
    ]
    train, test = files
    only_test = all(p.exists() for p, _ in test) and not any(p.exists() for p, _ in train)
    return [box.opened(path, digest) for path, digest in (test if only_test else train)]


def draw(config: Config, folder: Path, path: Path, progress: Progress = silent) -> None:
    """Draw gas above and emission below, for each of DEPTHS.

    Args:
        config: of the sky; its boxes are in `folder`.
        folder: an output of `mock`.
        path: of the picture; its ending chooses the format.
        progress: called with (slabs done, slabs in all).

    Raises:
        InputError: a box is missing or of another configuration.
    """
    scale = DEGREES * 3600 / PIXELS
    wide = replace(config.instrument, pixels=PIXELS, pixel_scale=scale)
    painter = Painter(replace(config, instrument=wide), boxes_in(folder, config.sky), FAINTEST)
    gas = np.zeros((PIXELS, PIXELS), np.float32)
    light = np.zeros((PIXELS, PIXELS), np.float32)
    panels: list[tuple[float, Field, Field]] = []
    for number, slab in enumerate(painter.slabs):
        progress(number, len(painter.slabs))
        chosen, redshift, turned = painter.placed(0, slab)
        gas += gas_column(chosen.density(redshift), slab, turned, painter.view)
        light += painter.paint(0, [slab])
        painter.forget()
        end = float(cosmology.redshift_at(slab.centre + 0.5 * slab.depth))
        following = DEPTHS[len(panels)] if len(panels) < len(DEPTHS) else np.inf
        if end >= following - END or (slab is painter.slabs[-1] and len(panels) < len(DEPTHS)):
            panels.append((end, gas.copy(), light.copy()))
    _figure(panels, path)


def _figure(panels: Sequence[tuple[float, Field, Field]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import NullFormatter

    figure, axes = pyplot.subplots(
        2, len(panels), figsize=(4.3 * len(panels), 10.4), squeeze=False, layout="constrained"
    )
    half = DEGREES / 2
    extent = (-half, half, -half, half)
    low, high = np.percentile(panels[-1][1], [1, 99.9])
    for number, (depth, gas, light) in enumerate(panels):
        upper, lower = axes[0, number], axes[1, number]
        lowest = max(float(np.percentile(gas, 5)), 1e-12)
        drawn = upper.imshow(
            np.maximum(gas, lowest),
            norm=LogNorm(lowest, max(high, lowest * 10)),
            cmap="bone",
            extent=extent,
            origin="lower",
        )
        upper.set_title(f"z < {depth:.2f}")
        glow = lower.imshow(
            np.maximum(light, EMISSION[0]),
            norm=LogNorm(*EMISSION),
            cmap="inferno",
            extent=extent,
            origin="lower",
        )
        for image, axis, label in (
            (drawn, upper, "gas [g/cm$^2$]"),
            (glow, lower, "1.4 GHz [Jy/arcsec$^2$]"),
        ):
            bar = figure.colorbar(image, ax=axis, location="bottom", shrink=0.9, pad=0.02)
            bar.set_label(label)
            bar.ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("degrees")
    axes[1, 0].set_ylabel("degrees")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=110)
    pyplot.close(figure)
