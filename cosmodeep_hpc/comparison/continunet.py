"""ContinUNet's segmentation: `python -m cosmodeep_hpc.comparison.continunet FOLDER`.

ContinUNet takes square images of a side that is a multiple of 16, and round beams. It scales an
image between its extremes and finds its own threshold, for each image that it is given: here, for
squares that cover the image.
"""

from __future__ import annotations

import importlib.resources
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.comparison.finders import FinderTask, work

SIDE = 512
"""Side of a square at most [pixel]."""
UNIT = 16
"""What the side of a square must be a multiple of [pixel]."""
LAYERS = 4


def islands(image: Path, task: FinderTask) -> Iterator[Any]:
    """Yield ContinUNet's version, then for each threshold its mask (ny, nx) and the seconds.

    The thresholds of the task do not matter: it has its own.
    """
    yield version("continunet")
    pixels, header = fits.getdata(image, header=True)
    for _ in task.thresholds:
        start = time.perf_counter()
        mask = np.zeros(pixels.shape, dtype=np.bool_)
        for down, across in squares(pixels.shape):
            part = pixels[down, across]
            found = segmented(part, header, image.with_name("square.fits"))
            mask[down, across] = found[: part.shape[0], : part.shape[1]]
        yield mask, time.perf_counter() - start


def squares(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield squares that cover an image; the last ones overlap those before, or reach beyond it."""
    side = min(SIDE, -(-max(shape) // UNIT) * UNIT)
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            corner = (
                max(min(at, length - side), 0)
                for at, length in zip((top, left), shape, strict=True)
            )
            down, across = (slice(at, at + side) for at in corner)
            yield down, across


def segmented(part: NDArray[np.float32], header: fits.Header, path: Path) -> NDArray[np.bool_]:
    """Return the cells of a square in which ContinUNet finds emission: bool (side, side).

    Args:
        part: of the image; smaller than the square at the image's edges, and then filled with 0.
        header: of the image.
        path: for the square, which ContinUNet reads from a file.
    """
    from continunet.image.fits import ImageSquare
    from continunet.image.processing import PostProcessor, PreProcessor
    from continunet.network.unet import Unet

    side = -(-max(part.shape) // UNIT) * UNIT
    whole = np.zeros((side, side), dtype=np.float32)
    whole[: part.shape[0], : part.shape[1]] = np.nan_to_num(part)
    if not whole.any():
        return np.zeros(whole.shape, dtype=np.bool_)
    own = header.copy()
    # the square is cut around this place, which must be its middle
    own["CRPIX1"] = own["CRPIX2"] = side / 2
    fits.writeto(path, whole, own, overwrite=True)
    given = PreProcessor(ImageSquare(str(path)), LAYERS)
    scaled = given.process()
    with importlib.resources.as_file(
        importlib.resources.files("continunet.network") / "trained_model.h5"
    ) as weights:
        network = Unet(scaled.shape[1:4], trained_model=str(weights), image=scaled, layers=LAYERS)
        made = network.decode_image()
    found = PostProcessor(made, given, threshold="default").get_segmentation_map()
    return np.asarray(found > 0)


if __name__ == "__main__":
    work(sys.argv[1:], islands)
