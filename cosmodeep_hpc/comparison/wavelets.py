"""PyBDSF's islands with wavelets: `python -m cosmodeep_hpc.comparison.wavelets FOLDER`.

PyBDSF fits Gaussians to the islands of the image, and then looks for islands in the wavelet planes
of what is left. Its mask holds the islands of all planes. The number of Gaussians of an island is
limited (`ini_gausfit="simple"`): a filament of thousands of beams would take it hours without.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmodeep_hpc.comparison.finders import FinderTask, work
from cosmodeep_hpc.comparison.pybdsf import masks


def islands(image: Path, task: FinderTask) -> Iterator[Any]:
    """Yield what `pybdsf.masks` does with wavelets, for PyBDSF's own noise."""

    def settings(threshold: float) -> dict[str, Any]:
        peak = max(threshold, task.peak)
        return {"thresh_pix": peak, "ini_gausfit": "simple", "atrous_do": True}

    return masks(image, task.thresholds, settings)


if __name__ == "__main__":
    work(sys.argv[1:], islands)
