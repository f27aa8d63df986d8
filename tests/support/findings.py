"""Swept mosaics made by hand: a FITS file, and the cells of it that are signal."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import ALL_PRODUCTS, Classify
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.mosaic import open_mosaic
from cosmodeep_hpc.islands.compacttable import CompactTable
from cosmodeep_hpc.islands.islandtable import IslandTable
from cosmodeep_hpc.islands.labels import Labels
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane
from cosmodeep_hpc.learn.pixelmap import packed
from cosmodeep_hpc.products import writing
from cosmodeep_hpc.products.cube import Paint
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.survey.result import MosaicResult, PlaneGrids, PlaneResult, TileGrids
from cosmodeep_hpc.tiles.preprocessing import Level
from support.fields import NOISE
from support.models import brightest_pixel_model

SKIES = {
    "SIN": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "RADESYS": "FK5", "EQUINOX": 2000.0},
    "TAN": {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "RADESYS": "ICRS"},
    "ZEA": {"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA", "RADESYS": "ICRS"},
    "CAR": {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "RADESYS": "ICRS", "CRVAL2": 0.0},
    "GAL": {"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN"},
}


def sky(shape: tuple[int, int], projection: str = "SIN", pixel: float = 9.6, **cards: object):
    """A header of two axes, as imagers write it; cards of value None are left out."""
    ny, nx = shape
    both = {
        "CRVAL1": 150.0,
        "CRVAL2": -35.0,
        "CRPIX1": (nx + 1) / 2,
        "CRPIX2": (ny + 1) / 2,
        "CDELT1": -pixel / 3600,
        "CDELT2": pixel / 3600,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "BMAJ": 20 / 3600,
        "BMIN": 20 / 3600,
        "BPA": 0.0,
        "BUNIT": "Jy/beam",
        **SKIES[projection],
        **cards,
    }
    return fits.Header({name: card for name, card in both.items() if card is not None})


def write_mosaic(path: Path, pixels: np.ndarray, header: fits.Header) -> Path:
    """Write pixels as the primary image."""
    fits.PrimaryHDU(np.asarray(pixels, np.float32), header).writeto(path, overwrite=True)
    return path


def swept(
    path: Path,
    signal: np.ndarray,
    *,
    cell: int = 40,
    blank: np.ndarray | None = None,
    noise: float = NOISE,
    planes: list[int] | None = None,
) -> MosaicResult:
    """A mosaic swept by tiles, in which those of `signal` (of all planes, or a plane each) are.

    Probabilities of signal are 0.75 and up, growing with the column; those of others 0.25.
    """
    mosaic = open_mosaic(path, planes=planes)
    every = np.broadcast_to(signal, (len(mosaic.planes), *np.shape(signal)[-2:]))
    made = []
    for image, found in zip(mosaic.planes, every, strict=True):
        grown = 0.75 + np.arange(found.shape[1]) / 1000
        probability = np.where(found, grown, 0.25).astype(np.float32)
        if blank is not None:
            probability[blank] = np.nan
        made.append(_plane(image, probability, cell, noise))
    return _mosaic(path, mosaic.axes, made, cell=cell, tile=cell)


def mapped(
    path: Path,
    probability: np.ndarray,
    *,
    cell: int = 2,
    tile: int = 40,
    source: Path | None = None,
    planes: list[int] | None = None,
) -> MosaicResult:
    """A swept mosaic with a map of pixels, of all planes or a plane each; its tiles are noise.

    Args:
        probability: of cells, NaN where there is no data.
        cell: side of a cell [pixel]. tile: that of a tile.
        source: a file that the map is written to; None: it is in memory.
    """
    mosaic = open_mosaic(path, planes=planes)
    every = np.broadcast_to(probability, (len(mosaic.planes), *np.shape(probability)[-2:]))
    made = []
    for number, (image, found) in enumerate(zip(mosaic.planes, every, strict=True)):
        shape, rows = found.shape, packed(found)
        place = MapRows(shape, rows if source is None else source, number)
        if source is not None:
            place.write(0, rows)
        tiles = tuple(-(-side // tile) for side in image.shape)
        plane = _plane(image, np.full(tiles, 0.25, np.float32), tile, NOISE)
        made.append(replace(plane, pixels=place))
    return _mosaic(path, mosaic.axes, made, cell=cell, tile=tile)


def _plane(image: Image, probability: np.ndarray, cell: int, noise: float) -> PlaneResult:
    """A plane with tiles alone, side by side."""
    pixels = image.pixels()
    coverage = np.zeros(probability.shape, np.float32)
    for row, col in np.ndindex(probability.shape):
        of_cell = pixels[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell]
        coverage[row, col] = (np.isfinite(of_cell) & (of_cell != 0)).mean()
    grids = grids_of(probability, coverage, noise=noise)
    return PlaneResult.of(image, replace(grids, thumbnail=pixels))


def _mosaic(
    path: Path, axes: tuple[int, ...], planes: list[PlaneResult], *, cell: int, tile: int
) -> MosaicResult:
    return MosaicResult(
        path=path,
        sha256="1" * 64,
        key="2" * 64,
        axes=axes,
        planes=tuple(planes),
        cell=cell,
        tile_cell=tile,
        tile=tile,
        rebin=1,
        threshold=0.5,
        tile_threshold=0.5,
        model=brightest_pixel_model(),
        model_sha256="3" * 64,
    )


def grids_of(
    probability: np.ndarray, coverage: np.ndarray | None = None, *, noise: float = NOISE
) -> PlaneGrids:
    """The grids of a plane with tiles of these probabilities, and no image."""
    values = np.asarray(probability, np.float32)
    whole = np.ones(values.shape, np.float32) if coverage is None else coverage
    return PlaneGrids(
        tiles=TileGrids(
            probability=values,
            coverage=whole,
            noise=np.full(values.shape, noise, np.float32),
            background=np.zeros(values.shape, np.float32),
        ),
        pixels=None,
        thumbnail=np.zeros((1, 1), np.float32),
        block=1,
        level=Level(low=-25.3, high=-4.6, sigma=noise),
        notes=("scaled by 0.5: the noise of the training is half of this",),
    )


def rows_of(grids: list[np.ndarray]) -> Paint:
    """What gives rows of grids, one a plane."""
    return lambda plane, start, stop: grids[plane][start:stop]


def labels_of(signal: np.ndarray, least: float = 1, **options: int) -> Labels:
    """The labels of cells that are signal."""
    return Labels(grids_of(np.where(signal, 0.75, 0.25)), 0.5, least, **options)


def findings(made: MosaicResult, config: Config | None = None) -> Findings:
    """What follows from a swept mosaic."""
    return Findings(made, config or Config())


def islands_of(made: MosaicResult, **options: float) -> list[SimpleNamespace]:
    """The islands of a swept mosaic, with their measures as attributes."""
    return rows_in(findings(made, Config(classify=Classify(**options))).islands.table)


def noisy(pixels: np.ndarray, folder: Path, **cards: object) -> Path:
    """Write pixels in units of the noise, 4 arcsec wide and seen through a beam of 20 arcsec."""
    header = sky(pixels.shape, **{"pixel": 4.0, "BUNIT": "Jy/arcsec2", **cards})
    return write_mosaic(folder / "field.fits", pixels * NOISE, header)


def seen(
    pixels: np.ndarray, signal: np.ndarray, folder: Path, **cards: object
) -> tuple[MeasuredPlane, Labels]:
    """A plane of pixels in units of the noise, as islands are measured on it, and their labels.

    Args:
        signal: which pixels belong to islands.
    """
    made = mapped(noisy(pixels, folder, **cards), np.where(signal, 0.9, 0.1), cell=1)
    return MeasuredPlane.of(made, 0), Labels(made.planes[0], made.threshold)


def rows_in(table: IslandTable | CompactTable) -> list[SimpleNamespace]:
    """The rows of a table, with its columns as attributes."""
    names = [column.name for column in fields(table)]
    return [
        SimpleNamespace(**{name: getattr(table, name)[row] for name in names})
        for row in range(len(table))
    ]


def written(made: MosaicResult, folder: Path, config: Config | None = None) -> dict[str, Path]:
    """Write the products of a swept mosaic, all of them without a configuration: files by kind."""
    config = config or Config(classify=Classify(products=ALL_PRODUCTS))
    record = writing.write(Findings(made, config), config, folder)
    return {kind: folder / name for kind, name in record["products"].items()}
