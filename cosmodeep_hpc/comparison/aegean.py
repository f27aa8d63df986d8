"""Aegean's islands above BANE's noise: `python -m cosmodeep_hpc.comparison.aegean FOLDER`.

Aegean starts an island at a pixel above one threshold and lets it grow down to a lower one. By
default, BANE's boxes are 24 beams wide: more extended emission counts as background.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from cosmodeep_hpc.comparison.finders import FinderTask, work


def islands(image: Path, task: FinderTask) -> Iterator[Any]:
    """Yield Aegean's version, then for each seed a mask (ny, nx) of its islands and the seconds.

    Aegean finds negative islands too. An island counts if one of its positive pixels exceeds the
    seed threshold, and only its positive pixels do; so lower thresholds never find less.
    """
    import AegeanTools
    from AegeanTools import BANE
    from AegeanTools.source_finder import find_islands

    yield str(AegeanTools.__version__)
    start = time.perf_counter()
    background, noise = BANE.filter_image(str(image), None, cores=1)
    pixels = fits.getdata(image).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        significance = (pixels - background) / noise
    for seed in task.thresholds:
        mask = np.zeros(pixels.shape, dtype=np.bool_)
        for island in find_islands(pixels, background, noise, seed, task.flood * seed):
            (top, bottom), (left, right) = island.bounding_box
            of_island = significance[top:bottom, left:right] > 0
            of_island &= ~island.mask
            if (significance[top:bottom, left:right][of_island] > seed).any():
                mask[top:bottom, left:right] |= of_island
        yield mask, time.perf_counter() - start
        start = time.perf_counter()


if __name__ == "__main__":
    work(sys.argv[1:], islands)
