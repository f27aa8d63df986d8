"""The grids of a mosaic in one HDF5 file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.io.files import hdf5_content
from cosmodeep_hpc.products.findings import Findings

if TYPE_CHECKING:
    import h5py

ABOUT = {
    "probability": ("", "probability of signal; NaN: no data"),
    "tile_probability": ("", "probability of signal of tiles; NaN: no data"),
    "coverage": ("", "share of a tile's pixels with data, of those inside the image"),
    "noise": ("Jy/arcsec2", "local rms noise of the image's pixels"),
    "background": ("Jy/arcsec2", "level that the image has without emission"),
    "tiles": ("", "1 signal, 0 noise, 255 no data"),
    "islands": ("", "number of the island, 0 where there is none"),
}


def write(found: Findings, path: Path) -> None:
    """Write `probability[ny, nx]` and its like; [plane, ny, nx] where there are several planes.

    One process writes it, from memory: a grid of tiles is 1/1600 of its image. A map of pixels is
    larger, which `.probability.fits` holds without being in memory as a whole.
    """
    swept = found.swept
    grids: dict[str, Sequence[NDArray[Any]]] = {
        "probability": [plane.probability for plane in swept.planes],
        "coverage": [plane.tiles.coverage for plane in swept.planes],
        "noise": [plane.tiles.noise for plane in swept.planes],
        "background": [plane.tiles.background for plane in swept.planes],
        "tiles": [plane.tiles.mask(swept.tile_threshold) for plane in swept.planes],
        "islands": [found.labels.whole(number) for number in range(len(swept.planes))],
    }
    if swept.has_map:
        grids["tile_probability"] = [plane.tiles.probability for plane in swept.planes]

    def fill(file: h5py.File) -> None:
        for name, planes in grids.items():
            values = planes[0] if len(planes) == 1 else np.stack(planes)
            dataset = file.create_dataset(name, data=values, track_times=False)
            unit, meaning = ABOUT[name]
            dataset.attrs["unit"] = unit
            dataset.attrs["meaning"] = meaning
        file.attrs["header"] = found.grid_header.tostring(sep="\n", endcard=False, padding=False)
        file.attrs["planes"] = json.dumps([plane.image.plane for plane in swept.planes])
        file.attrs["image"] = swept.name
        file.attrs["image_sha256"] = swept.sha256
        file.attrs["model_sha256"] = swept.model_sha256
        file.attrs["threshold"] = swept.threshold
        file.attrs["tile_threshold"] = swept.tile_threshold
        file.attrs["cell_pixels"] = swept.cell
        file.attrs["tile_pixels"] = swept.tile
        file.attrs["rebin"] = swept.rebin

    path.write_bytes(hdf5_content(fill))
