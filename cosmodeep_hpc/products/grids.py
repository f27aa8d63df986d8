"""Products on the grid of cells: probability with coverage, and the mask of tiles."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits

from cosmodeep_hpc.products.cube import PlaneBox
from cosmodeep_hpc.products.fitsfile import image_header, write_data, write_header
from cosmodeep_hpc.survey.result import NO_DATA, MosaicResult


def probability(swept: MosaicResult, cube: PlaneBox, cards: fits.Header, path: Path) -> None:
    """Write the probability, NaN where there is no data, and the coverage as an extension."""
    values = cube.grids([plane.probability for plane in swept.planes], float("nan"))
    coverage = cube.grids([plane.coverage for plane in swept.planes], 0)
    kind = ("BTYPE", "probability of signal", "NaN: no data")
    covered = ("BTYPE", "coverage", "share of a cell's pixels with data")
    with path.open("wb") as file:
        write_header(file, image_header(values.shape, "f4"), cards, [kind])
        write_data(file, values)
        write_header(file, image_header(values.shape, "f4", "COVERAGE"), cards, [covered])
        write_data(file, coverage)


def tiles(swept: MosaicResult, cube: PlaneBox, cards: fits.Header, path: Path) -> None:
    """Write the mask on the grid of cells: 1 signal, 0 noise, 255 no data."""
    values = cube.grids([plane.tile_mask(swept.threshold) for plane in swept.planes], NO_DATA)
    kind = ("BTYPE", "tile mask", "1 signal, 0 noise, 255 no data")
    with path.open("wb") as file:
        write_header(file, image_header(values.shape), cards, [kind])
        write_data(file, values)
