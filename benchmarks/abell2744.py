"""What a sweep marks of Abell 2744: the table of areas in docs/robust.md.

    python -m benchmarks.abell2744 FOLDER OUT...

FOLDER holds the image and the region file of the example of Halo-FDCA (Boxelaar, van Weeren &
Botteon 2021); each OUT is a folder that `cosmodeep classify` has written products of it to. Prints
a line for each: per cent of the pixels of each area, and the cells with signal of all.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
from astropy.io import fits
from astropy.stats import mad_std
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray
from regions import Regions

IMAGE = "A2744_JVLA.image"
REGIONS = "A2744halo.reg"
DRAWN = ("double source", "sidelobes of a source", "relic", "SE arc", "NW arc")
"""What the areas of the region file are, in its order."""
COLUMNS = ("halo", "relic", "SE arc", "NW arc", "double source", "sidelobes of a source", "empty")
SMOOTHING = 20.0  # sigma of the Gaussian that the halo is looked for through [arcsec]
HALO = 3.0  # times the noise of the map smoothed so, where the halo ends
AWAY = 120.0  # from all other areas, where the sky is empty [arcsec]


def areas(folder: Path) -> dict[str, NDArray[np.bool_]]:
    """Return the areas of COLUMNS on the pixels of the image: bool (ny, nx) each.

    The *halo* is what is connected with the brightest pixel of the smoothed map above HALO times
    its noise, outside of the areas drawn; *empty* is what is AWAY from all others.

    Args:
        folder: of IMAGE and REGIONS.
    """
    with fits.open(folder / f"{IMAGE}.fits") as file:
        pixels, header = file[0].data.squeeze(), file[0].header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header).celestial
    drawn = Regions.read(folder / REGIONS)
    found = {
        name: region.to_pixel(wcs).to_mask("center").to_image(pixels.shape) > 0
        for name, region in zip(DRAWN, drawn, strict=True)
    }
    other, side = np.any(list(found.values()), axis=0), abs(header["CDELT2"]) * 3600
    smooth = scipy.ndimage.gaussian_filter(np.where(other, 0, pixels), SMOOTHING / side)
    parts, _ = scipy.ndimage.label(smooth > HALO * mad_std(smooth))
    brightest = np.argmax(np.where(other, -np.inf, smooth))
    found["halo"] = (parts == parts.flat[brightest]) & ~other
    near = scipy.ndimage.binary_dilation(other | found["halo"], iterations=round(AWAY / side))
    found["empty"] = ~near
    return {name: found[name] for name in COLUMNS}


def shares(mask: NDArray[Any], folder: Path) -> dict[str, float]:
    """Return the share of each area that a mask on the image's pixels marks (1: signal)."""
    return {name: float(np.mean(mask[area] == 1)) for name, area in areas(folder).items()}


def row(out: Path, folder: Path) -> str:
    """Return the table's line for a sweep, whose products are in `out`."""
    marked = shares(fits.getdata(out / f"{IMAGE}.mask.fits").squeeze(), folder)
    tiles = fits.getdata(out / f"{IMAGE}.tiles.fits").squeeze()
    cells = f"{np.sum(tiles == 1)} of {tiles.size}"
    return f"| {' | '.join([out.name, *(f'{100 * marked[n]:.0f}' for n in COLUMNS), cells])} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=f"of {IMAGE}.fits, {REGIONS}")
    parser.add_argument("sweeps", type=Path, nargs="+", metavar="OUT", help="folders of products")
    words = parser.parse_args()
    print("|".join(["", " ", *(f" {name} " for name in COLUMNS), " cells ", ""]))
    print("|---" * (len(COLUMNS) + 2) + "|")
    for out in words.sweeps:
        print(row(out, words.folder), flush=True)


if __name__ == "__main__":
    main()
