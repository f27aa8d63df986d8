"""Pictures of a folder of mock images: a contact sheet, and the histogram of their fluxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.visualization import AsinhStretch, ImageNormalize
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cosmodeep_hpc.errors import naming

COUNT = 24
"""Most images on a contact sheet."""
SIDE = 250
"""Most pixels of a thumbnail along a side."""
ACROSS = 4
"""Pairs in a row."""
GAP, LABEL = 0.04, 0.14
"""Space between thumbnails, and above them, in units of their sides."""
TITLE, BARS = 0.35, 0.9
"""Height of the title's line and of the colour bars [inch]."""
SKY_COLOURS, NOISE_COLOURS = "inferno", "gray_r"
SKY_RANGE = 1e-11, 1e-5
"""Colours of the Sky thumbnails [Jy/arcsec^2]: the same on every sheet, to compare them."""


def evenly(n: int, count: int = COUNT) -> list[int]:
    """Return up to `count` of the numbers 0 .. n-1, evenly apart, with the first and the last."""
    if n <= count:
        return list(range(n))
    return [i * (n - 1) // (count - 1) for i in range(count)]


def thumbnail(image: NDArray[np.float32], side: int = SIDE) -> tuple[NDArray[np.float32], int]:
    """Average an image over square blocks to at most `side` pixels; return it and a block's side.

    Pixels beyond the last whole block are left out.

    Args:
        image: (rows, columns) [Jy/arcsec^2].
        side: pixels of the thumbnail, at most.
    """
    block = max(1, -(-max(image.shape) // side))
    rows, columns = (max(1, n // block) for n in image.shape)
    high, wide = (min(block, n) for n in image.shape)
    whole = image[: rows * high, : columns * wide].reshape(rows, high, columns, wide)
    return whole.mean(axis=(1, 3), dtype=np.float32), block


def contact_sheet(pairs: Sequence[tuple[int, Path, Path]], n: int, picture: Path) -> None:
    """Draw Sky (logarithmic) and Noise image of some pairs, side by side.

    Args:
        pairs: index, Sky and Noise image.
        n: number of pairs that they were chosen from.
        picture: the PNG file to write.

    Raises:
        InputError: an image cannot be read.
    """
    skies = [thumbnail(_read(sky)) for _, sky, _ in pairs]
    noises = [thumbnail(_read(noise))[0] for _, _, noise in pairs]
    low, middle = np.percentile(np.concatenate([noise.ravel() for noise in noises]), [16, 50])
    sigma = float(middle - low) or 1.0  # one scale for all: they are to be compared
    sky_norm = LogNorm(*SKY_RANGE, clip=True)
    noise_norm = ImageNormalize(
        vmin=-3 * sigma, vmax=100 * sigma, stretch=AsinhStretch(0.05), clip=True
    )

    rows, across = -(-len(pairs) // ACROSS), min(ACROSS, len(pairs))
    wide, high = across * (2 + 3 * GAP), rows * (1 + LABEL)  # in units of a thumbnail's side
    inch = 1.6 if across > 2 else 3.0
    width, height = wide * inch, high * inch + TITLE + BARS
    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, BARS / height, 1, high * inch / height))
    axes.set_axis_off()
    for place, (index, _, _) in enumerate(pairs):
        row, column = divmod(place, ACROSS)
        left, bottom = column * (2 + 3 * GAP) + GAP, (rows - row - 1) * (1 + LABEL)
        sky = np.maximum(skies[place][0], SKY_RANGE[0])  # the logarithm of 0 cannot be drawn
        for image, start, norm, colours in (
            (sky, left, sky_norm, SKY_COLOURS),
            (noises[place], left + 1 + GAP, noise_norm, NOISE_COLOURS),
        ):
            where = (start, start + 1, bottom, bottom + 1)
            axes.imshow(
                image, origin="lower", norm=norm, cmap=colours, extent=where, interpolation="none"
            )
        axes.text(left, bottom + 1.02, f"{index:05d}", fontsize=8, va="bottom")
    axes.set_xlim(0, wide)
    axes.set_ylim(0, high)
    averaged = " or ".join(f"{block} x {block}" for block in sorted({s[1] for s in skies}))
    title = f"{len(pairs)} of {n} pairs: Sky (left) and Noise (right), means of {averaged} pixels"
    figure.suptitle(title, fontsize=10, y=1 - 0.1 / height, va="top")

    noise_ticks = [sigma * n for n in (-3, 0, 3, 10, 30, 100)]
    for norm, colours, start, name, ticks in (
        (sky_norm, SKY_COLOURS, 0.05, "Sky", None),
        (noise_norm, NOISE_COLOURS, 0.55, "Noise", noise_ticks),
    ):
        bar = figure.colorbar(
            ScalarMappable(norm=norm, cmap=colours),
            cax=figure.add_axes((start, 0.6 / height, 0.4, 0.15 / height)),
            orientation="horizontal",
            extend="both",
            label=f"{name} [Jy/arcsec²]",
        )
        if ticks:
            bar.set_ticks(ticks, labels=[f"{tick:.0e}" if tick else "0" for tick in ticks])
    _save(figure, picture)


def flux_histogram(content: dict[str, Any], picture: Path) -> None:
    """Draw the mean flux histogram of the Sky images, its scatter, the thresholds and the noise.

    Args:
        content: see `summary.summary`.
        picture: the PNG file to write.
    """
    counts = content["flux_histogram"]
    edges, mean = np.array(counts["edges"]), np.array(counts["mean"])
    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.stairs(mean, edges, color="black", label="mean of the images")
    if counts["scatter"][0] is not None:
        scatter = np.array(counts["scatter"])
        low = np.maximum(mean - scatter, 1e-3)
        axes.stairs(
            mean + scatter, edges, baseline=low, fill=True, alpha=0.25, label="scatter of images"
        )
    for number, threshold in enumerate(content["thresholds"]["values"]):
        label = "thresholds F_th" if number == 0 else None
        axes.axvline(threshold, color="tab:red", linewidth=0.8, label=label)
    rms = content["quantities"]["noise_rms"]["mean"]
    if rms > 0:
        axes.axvline(rms, color="tab:blue", linestyle=":", label="rms of the noise")
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    if mean.any():  # nothing has no logarithm
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(1e-2, 0.5 / content["images"]))
    axes.set_xlabel("surface brightness of a Sky pixel [Jy/arcsec²]")
    axes.set_ylabel("pixels an image in a tenth of a decade")
    fainter, brighter = counts["fainter"]["mean"], counts["brighter"]["mean"]
    axes.set_title(
        f"{content['images']} of {content['asked']} images; {fainter:.4g} pixels an image fainter, "
        f"{brighter:.4g} brighter",
        fontsize=10,
    )
    axes.legend(fontsize=9)
    _save(figure, picture)


def _read(path: Path) -> NDArray[np.float32]:
    with naming(path):
        return np.asarray(fits.getdata(path, memmap=False), np.float32)


def _save(figure: Figure, picture: Path) -> None:
    """Write a figure as PNG, without metadata that change from run to run."""
    figure.savefig(picture, format="png", metadata={"Software": None})
