"""PyBDSF's islands with wavelets: `python -m cosmodeep_hpc.comparison.wavelets FOLDER`.

PyBDSF fits Gaussians to the islands of the image, and then looks for islands in the wavelet planes
of what is left. Its mask holds the islands of all planes. The number of Gaussians of an island is
limited (`ini_gausfit="simple"`): a filament of thousands of beams would take it hours without.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.comparison.finders import FinderTask, work
from cosmodeep_hpc.comparison.pybdsf import FREQUENCY


def islands(image: Path, task: FinderTask) -> Iterator[Any]:
    """Yield PyBDSF's version, then for each threshold a mask (ny, nx) of islands and seconds."""
    import bdsf

    yield str(bdsf.__version__)
    for threshold in task.thresholds:
        start = time.perf_counter()
        done = bdsf.process_image(
            str(image),
            frequency=FREQUENCY,
            thresh="hard",
            thresh_isl=threshold,
            thresh_pix=max(threshold, task.peak),
            ini_gausfit="simple",
            atrous_do=True,
            ncores=1,
            quiet=True,
        )
        mask = done.pyrank.T >= 0  # PyBDSF's first axis is x
        yield np.ascontiguousarray(mask), time.perf_counter() - start


if __name__ == "__main__":
    work(sys.argv[1:], islands)
