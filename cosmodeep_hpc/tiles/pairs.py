"""Sky/Noise image pairs in a folder: `sky-NAME.fits` is the truth of `noise-NAME.fits`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.mosaic import open_image


@dataclass(frozen=True)
class Pair:
    """The two files of one field.

    Attributes:
        name: the part of the file names between `sky-` or `noise-` and `.fits`.
    """

    name: str
    sky: Path
    noise: Path

    def open(self) -> tuple[Image, Image]:
        """Open the Sky and the Noise image.

        Raises:
            InputError: one is bad, or they differ in shape or in sky coordinates.
        """
        sky, noise = open_image(self.sky), open_image(self.noise)
        if sky.shape != noise.shape:
            raise InputError(
                f"{self.noise}: {_size(noise)} pixels but {self.sky.name} has {_size(sky)}; "
                "expected a pair of one shape"
            )
        offset = _offset(sky, noise)
        if not offset < 0.01:
            raise InputError(
                f"{self.noise}: its sky coordinates are {offset:.3g} pixels off those of "
                f"{self.sky.name}; expected a pair of one WCS"
            )
        return sky, noise


def _offset(sky: Image, noise: Image) -> float:
    """Return how far apart [pixel] the two place the corners and the centre; nan if unknown.

    A very wide field may have corners that are no place on the sky: those do not count.
    """
    ny, nx = noise.shape
    x = (nx - 1) * np.array([0.0, 1.0, 0.0, 1.0, 0.5])
    y = (ny - 1) * np.array([0.0, 0.0, 1.0, 1.0, 0.5])
    place = noise.wcs.pixel_to_world_values(x, y)
    there = np.array(sky.wcs.world_to_pixel_values(*place))
    offsets = np.abs(there - [x, y]).max(axis=0)[np.isfinite(place[0])]
    return float(offsets.max()) if len(offsets) else float("nan")


def _size(image: Image) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def find_pairs(folder: Path) -> list[Pair]:
    """Return the pairs of a folder, in the order of their names.

    Raises:
        InputError: no such folder, no pair in it, or a file without its partner.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with sky-*.fits and noise-*.fits")
    names = {
        kind: {path.stem.removeprefix(f"{kind}-") for path in folder.glob(f"{kind}-*.fits")}
        for kind in ("sky", "noise")
    }
    if not names["sky"] | names["noise"]:
        raise InputError(f"{folder}: no image in it; expected sky-*.fits and noise-*.fits pairs")
    for kind, other in (("sky", "noise"), ("noise", "sky")):
        alone = sorted(names[kind] - names[other])
        if alone:
            raise InputError(
                f"{folder / f'{kind}-{alone[0]}.fits'}: has no partner {other}-{alone[0]}.fits "
                f"({len(alone)} such file{'s' * (len(alone) > 1)}); expected pairs"
            )
    return [
        Pair(name, folder / f"sky-{name}.fits", folder / f"noise-{name}.fits")
        for name in sorted(names["sky"])
    ]
