"""Swept mosaics made by hand: a FITS file, and the cells of it that are signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import ALL_PRODUCTS, Classify
from cosmodeep_hpc.images.mosaic import open_mosaic
from cosmodeep_hpc.products import writing
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.result import MosaicResult, PlaneResult
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
    """A swept mosaic in which the cells `signal` (of all planes, or [plane, row, col]) are found.

    Probabilities of signal are 0.75 and up, growing with the column; those of others 0.25.
    """
    mosaic = open_mosaic(path, planes=planes)
    every = np.broadcast_to(signal, (len(mosaic.planes), *np.shape(signal)[-2:]))
    made = []
    for image, found in zip(mosaic.planes, every, strict=True):
        pixels = image.pixels()
        grown = 0.75 + np.arange(found.shape[1]) / 1000
        probability = np.where(found, grown, 0.25).astype(np.float32)
        coverage = np.zeros(found.shape, np.float32)
        for row, col in np.ndindex(found.shape):
            of_cell = pixels[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell]
            coverage[row, col] = (np.isfinite(of_cell) & (of_cell != 0)).mean()
        if blank is not None:
            probability[blank] = np.nan
        made.append(
            PlaneResult(
                image=image,
                probability=probability,
                coverage=coverage,
                noise=np.full(found.shape, noise, np.float32),
                thumbnail=pixels,
                block=1,
                level=Level(low=-25.3, high=-4.6, sigma=noise),
                notes=("scaled by 0.5: the noise of the training is half of this",),
            )
        )
    return MosaicResult(
        path=path,
        sha256="1" * 64,
        key="2" * 64,
        axes=mosaic.axes,
        planes=tuple(made),
        cell=cell,
        tile=cell,
        rebin=1,
        threshold=0.5,
        model=brightest_pixel_model(),
        model_sha256="3" * 64,
    )


def written(
    made: MosaicResult, folder: Path, config: Config | None = None, *, refine: bool = True
) -> dict[str, Path]:
    """Write the products of a swept mosaic, all of them without a configuration: files by kind."""
    config = config or Config(classify=Classify(products=ALL_PRODUCTS))
    record = writing.write(Findings(made, config, refine), config, folder)
    return {kind: folder / name for kind, name in record["products"].items()}
