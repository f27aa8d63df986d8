"""`python -m benchmarks`: scaling of pixels beside the formula, in the same run.

`make bench` goes on with `benchmarks.sweep`, `benchmarks.tile_store` and `benchmarks.training`.

Machines are noisy and differ; the ratio of two timings taken one after the other carries over.
Each timing is the best of a few repetitions.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.images import write_pair
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.tiles.preprocessing import Preprocessing


def best(*actions: Callable[[], object], repetitions: int = 5) -> list[float]:
    """Return the shortest of a few timings of each action [s], taken in turn."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repetitions):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def report(what: str, value: str, against: str, ratio: float) -> None:
    """Print one line of the table."""
    print(f"{what:42} {value:>22}   {against:30} {ratio:6.2f}", flush=True)


def preprocessing(folder: Path) -> None:
    """Time the scaling of a 2000 x 2000 image, against the formula written in float64."""
    image = open_image(folder / "noise-00000.fits")
    pixels = image.pixels()
    for scaling in ("minmax", "asinh"):
        ours = Preprocessing(scaling=scaling, floor=1e-11, ceiling=1e-2, tile_size=40)
        level = ours.measure(image, pixels)
        wide = pixels.astype(np.float64)

        def formula(wide: np.ndarray = wide, scaling: str = scaling, level=level) -> np.ndarray:
            if scaling == "asinh":
                return np.arcsinh(wide / level.sigma)
            logs = np.log10(np.where(wide < 1e-11, 1e-11, wide))
            return (logs - logs.min()) / (logs.max() - logs.min())

        mine, plain = best(lambda o=ours, x=level: o.apply(pixels.copy(), x), formula)
        report(
            f"preprocessing, {scaling}", f"{mine * 1e3:.0f} ms an image", "float64", plain / mine
        )


def main() -> None:
    """Run all benchmarks of this module."""
    print(f"{'what':42} {'here':>22}   {'ratio to':30} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pair(folder, 0, 2000)
        preprocessing(folder)


if __name__ == "__main__":
    main()
