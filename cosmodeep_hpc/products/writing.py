"""All products of a mosaic, each whole or not at all; the record comes last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.config import Config
from cosmodeep_hpc.errors import naming
from cosmodeep_hpc.files import replacing_together, write_json
from cosmodeep_hpc.products import (
    catalogue,
    grids,
    hdf5,
    provenance,
    quicklook,
    regionfiles,
    skycoverage,
    streaming,
    votable,
)
from cosmodeep_hpc.products import islands as island_finder
from cosmodeep_hpc.products.columns import Place, columns
from cosmodeep_hpc.products.cube import Cube
from cosmodeep_hpc.products.islands import Islands
from cosmodeep_hpc.products.refine import Refined, Refinement
from cosmodeep_hpc.survey.swept import NO_DATA, Swept, printable

PACKED = (".gz", ".bz2", ".xz", ".z", ".fz")
FITS = (".fits", ".fit", ".fts")
SUFFIXES = (
    *("probability.fits", "tiles.fits", "mask.fits", "mask.fits.fz", "pixels.fits"),
    *("pixels.fits.fz", "h5", "islands.vot", "islands.fits", "islands.csv", "reg", "crtf"),
    *("moc.fits", "png"),
)
"""Endings of all products but the record."""

Make = Callable[[str, str, Callable[[Path], None]], None]
"""Has a product of a kind and an ending written, by what is given the path to write to."""


def stem(path: Path) -> str:
    """What the products of an image are named after: its name without the endings of FITS."""
    name = path.name
    while name.lower().endswith(PACKED):
        shorter = name[: name.rindex(".")]
        if not shorter:
            break
        name = shorter
    whole = Path(name)
    return whole.stem if whole.suffix.lower() in FITS else name


def record_of(path: Path, out: Path) -> Path:
    """The record of an image's products: it is written last."""
    return out / f"{stem(path)}.json"


def product_names(path: Path) -> list[str]:
    """What the products of an image may be called."""
    return [f"{stem(path)}.{suffix}" for suffix in (*SUFFIXES, "json")]


def write(swept: Swept, config: Config, out: Path, *, refine: bool) -> None:
    """Write all products of a mosaic; their paths go into `swept.files`.

    Args:
        refine: make the pixel mask, too.

    Raises:
        InputError: the image cannot be read again, the folder cannot be written, or the disk is
            full; products that were there before are as they were, or new and whole.
    """
    name = stem(swept.path)
    with naming(out, "write in"):  # a record speaks of the products beside it, and of no others
        record_of(swept.path, out).unlink(missing_ok=True)

    cube, islands = Cube.of(swept), island_finder.find(swept)
    with replacing_together() as beside:

        def make(kind: str, suffix: str, writer: Callable[[Path], None]) -> None:
            assert suffix in SUFFIXES
            path = out / f"{name}.{suffix}"
            with naming(path, "write"):
                writer(beside(path))
            swept.files[kind] = path

        _write_products(swept, cube, islands, config, make, refine=refine)
    record = provenance.record(swept, cube, islands.islands, config, refine=refine)
    write_json(record_of(swept.path, out), record)


def _write_products(
    swept: Swept, cube: Cube, islands: Islands, config: Config, make: Make, *, refine: bool
) -> None:
    """Write all but the record."""
    on_grid = cube.header(swept.cell)
    cards = provenance.cards(swept)
    on_grid.update(cards)
    make("probability", "probability.fits", lambda p: grids.probability(swept, cube, on_grid, p))
    make("tiles", "tiles.fits", lambda p: grids.tiles(swept, cube, on_grid, p))
    refined = _write_masks(swept, cube, islands, cards, config, make, refine=refine)

    make("hdf5", "h5", lambda p: hdf5.write(swept, islands, on_grid, p))
    table = columns(printable(stem(swept.path)), islands.islands, places(swept, cube), refined)
    about = {
        "image": swept.name,
        "image_sha256": swept.sha256,
        "model_sha256": swept.model_sha256,
    }
    make("islands", "islands.vot", lambda p: votable.write_votable(table, about, p))
    make("islands_fits", "islands.fits", lambda p: catalogue.write_fits(table, cards, p))
    make("islands_csv", "islands.csv", lambda p: catalogue.write_csv(table, p))

    outlined = regionfiles.regions(swept, islands, cube.numbers)
    make("regions", "reg", lambda p: regionfiles.write_ds9(outlined, p))
    make("regions_casa", "crtf", lambda p: regionfiles.write_casa(outlined, p))
    make("moc", "moc.fits", lambda p: skycoverage.write(swept, p))
    make("picture", "png", lambda p: quicklook.write(swept, p))


def _write_masks(
    swept: Swept,
    cube: Cube,
    islands: Islands,
    cards: fits.Header,
    config: Config,
    make: Make,
    *,
    refine: bool,
) -> Refined | None:
    """Write what is on the image's pixels; the measures of the refined mask where one is made."""
    header = cube.header(1)
    header.update(cards)
    packed = config.classify.compress_mask
    to_file = streaming.write_packed if packed else streaming.write_plain
    ending = "fits.fz" if packed else "fits"
    cells = [plane.tile_mask(swept.threshold) for plane in swept.planes]
    of_tiles = streaming.painter(cells, swept.planes[0].image.shape[1], swept.cell, NO_DATA)

    mask = header.copy()
    mask["BTYPE"] = ("mask", "1 signal, 0 noise, 255 no data")
    rows = streaming.height(cube, swept.cell)
    make("mask", f"mask.{ending}", lambda p: to_file(p, cube, mask, rows, of_tiles))
    if not refine:
        return None

    refinement = Refinement(swept, islands, config.classify.refine_sigma)

    def of_pixels(plane: int, start: int, stop: int) -> NDArray[np.uint8]:
        pixels = refinement.paint(plane, start, stop)
        pixels[of_tiles(plane, start, stop) == NO_DATA] = NO_DATA
        return pixels

    fine = header.copy()
    fine["BTYPE"] = ("mask", "1 emission, 0 none, 255 no data")
    fine["REFSIGMA"] = (config.classify.refine_sigma, "threshold over the noise of smoothed maps")
    # taller strips: each is read with a margin on either side
    rows = streaming.height(cube, swept.cell, streaming.TALL)
    make("pixels", f"pixels.{ending}", lambda p: to_file(p, cube, fine, rows, of_pixels))
    return refinement.refined


def places(swept: Swept, cube: Cube) -> list[Place]:
    """Where the islands of each plane belong."""
    return [
        Place(plane.image, number, frequency)
        for plane, number, frequency in zip(
            swept.planes, cube.numbers, cube.frequencies(), strict=True
        )
    ]
