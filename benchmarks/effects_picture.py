"""The picture of docs/effects.md: what each effect makes of the same 600 x 600 pixels.

    python -m benchmarks.effects_picture IMAGES/sky-00000.fits docs/effects.jpg

reads any Sky image of at least 600 x 600 pixels and takes about 20 s.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from astropy.io import fits

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.sky import Effects, Instrument
from cosmodeep_hpc.sky.effects import observation
from cosmodeep_hpc.sky.instrument import MICRO, beam_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

SIDE = 600
SOURCES = {"point_sources": True, "radio_galaxies": True}
CLEANED = {"duration": 2.0, "clean_depth": 200.0, "clean_residual": 0.03}
PANELS: dict[str, dict[str, object]] = {
    "none": {},
    "point_sources": {"point_sources": True},
    "radio_galaxies": {"radio_galaxies": True},
    "dirty_beam (2 h, CLEAN leaves 3 %)": {**SOURCES, "dirty_beam": True, **CLEANED},
    "shortest_baseline = 60": {"shortest_baseline": 60.0},
    "noise_edge = 2": {"noise_edge": 2.0},
    "stripes = 8": {**SOURCES, "stripes": 8},
    "all": {
        **SOURCES, **CLEANED, "dirty_beam": True, "shortest_baseline": 60.0, "noise_edge": 2.0,
        "stripes": 8,
    },
}  # fmt: skip


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sky", type=Path, help="a Sky image")
    parser.add_argument("picture", type=Path, help="a .jpg or .png")
    parser.add_argument("--index", type=int, default=0, help="number of the image, for the draws")
    parser.add_argument("--corner", type=int, nargs=2, help="row and column of the first pixel")
    words = parser.parse_args()
    sky = np.asarray(fits.getdata(words.sky), np.float32)
    row, column = words.corner or ((np.array(sky.shape) - SIDE) // 2)
    sky = np.ascontiguousarray(sky[row : row + SIDE, column : column + SIDE])
    settings = Instrument(pixels=SIDE)
    rms = float(beam_of(settings).per_arcsec2(settings.noise_rms * MICRO))
    figure, axes = plt.subplots(2, 4, figsize=(16, 8.4), layout="constrained")
    for axis, (title, options) in zip(axes.flat, PANELS.items(), strict=True):
        config = Config(instrument=settings, effects=Effects(**options))  # type: ignore[arg-type]
        image, cards = observation.observe(sky, config, words.index)
        print(title, {key: value for key, (value, _) in cards.items()})
        axis.imshow(image / rms, vmin=-3, vmax=10, origin="lower", cmap="gray")
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(words.picture, dpi=100, pil_kwargs={"quality": 55, "optimize": True})


if __name__ == "__main__":
    main()
