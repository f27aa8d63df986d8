"""PyBDSF's islands: `python -m cosmodeep_hpc.comparison.pybdsf FOLDER`, a process of its own.

The settings are those of the paper's section 5: constant noise, and islands of at least so many
pixels above one threshold, which also applies to their peak. No Gaussians are fitted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.comparison.finders import FinderTask, work

FREQUENCY = 1.4e9  # [Hz] PyBDSF asks for one; islands do not depend on it


def masks(
    image: Path, thresholds: Sequence[float], settings: Callable[[float], dict[str, Any]]
) -> Iterator[Any]:
    """Yield PyBDSF's version, then for each threshold a mask (ny, nx) of islands and seconds.

    Args:
        settings: of PyBDSF for a threshold, beside those that all runs have.
    """
    import bdsf

    yield str(bdsf.__version__)
    for threshold in thresholds:
        start = time.perf_counter()
        done = bdsf.process_image(
            str(image),
            frequency=FREQUENCY,
            thresh="hard",
            thresh_isl=threshold,
            ncores=1,
            quiet=True,
            **settings(threshold),
        )
        mask = done.pyrank.T >= 0  # PyBDSF's first axis is x
        yield np.ascontiguousarray(mask), time.perf_counter() - start


def islands(image: Path, task: FinderTask) -> Iterator[Any]:
    """Yield what `masks` does for constant noise, without Gaussians."""

    def settings(threshold: float) -> dict[str, Any]:
        return {
            "rms_map": False,
            "rms_value": task.rms,
            "mean_map": "zero",
            "thresh_pix": threshold,
            "minpix_isl": task.min_pixels,
            "stop_at": "isl",
        }

    return masks(image, task.thresholds, settings)


if __name__ == "__main__":
    work(sys.argv[1:], islands)
