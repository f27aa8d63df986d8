"""Products of a mosaic, each whole or not at all; the record comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.section import nearest
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import replacing_together, write_json
from cosmodeep_hpc.products import (
    catalogue,
    coverage,
    hdf5,
    masks,
    picture,
    provenance,
    regions,
)
from cosmodeep_hpc.products.cube import Paint
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.products.names import record_of, stem

PACKED_ENDING = ".fz"


@dataclass(frozen=True)
class Product:
    """A kind of file that is written of a mosaic.

    Attributes:
        name: in the configuration and in records.
        ending: of its file.
        write: writes what was found to a path.
        is_mask: whether `classify.compress_mask` packs it, which adds to its ending.
        refined: whether there is one of a sweep with `refine` alone.
    """

    name: str
    ending: str
    write: Callable[[Findings, Path], None]
    is_mask: bool = False
    refined: bool = False

    def suffix(self, found: Findings) -> str:
        """The ending of its file for a mosaic."""
        packed = self.is_mask and found.config.classify.compress_mask
        return self.ending + PACKED_ENDING * packed


def _probability(found: Findings, path: Path) -> None:
    masks.write_probability(found.swept, found.cube, found.grid_header, path)


def _tiles(found: Findings, path: Path) -> None:
    masks.write_tiles(found.swept, found.cube, found.grid_header, path)


def _mask(found: Findings, path: Path) -> None:
    header = found.pixel_header.copy()
    header["BTYPE"] = ("mask", "1 signal, 0 noise, 255 no data")
    rows = masks.height(found.cube, found.swept.cell)
    _write_mask(found, path, header, rows, found.of_tiles)


def _pixels(found: Findings, path: Path) -> None:
    header, sigma = found.pixel_header.copy(), found.config.classify.refine_sigma
    header["BTYPE"] = ("mask", "1 emission, 0 none, 255 no data")
    header["REFSIGMA"] = (sigma, "threshold over the noise of smoothed maps")
    refinement = found.refinement()
    _write_mask(found, path, header, found.refined_rows, found.of_pixels(refinement))
    found.measures = refinement.refined


def _write_mask(found: Findings, path: Path, header: fits.Header, rows: int, paint: Paint) -> None:
    packed = found.config.classify.compress_mask
    write_rows = masks.write_packed if packed else masks.write_plain
    write_rows(path, found.cube, header, rows, paint)


def _hdf5(found: Findings, path: Path) -> None:
    hdf5.write(found.swept, found.islands, found.grid_header, path)


def _votable(found: Findings, path: Path) -> None:
    about = {
        "image": found.swept.name,
        "image_sha256": found.swept.sha256,
        "model_sha256": found.swept.model_sha256,
    }
    catalogue.write_votable(found.catalogue, about, path)


PRODUCTS = (
    Product("probability", "probability.fits", _probability),
    Product("tiles", "tiles.fits", _tiles),
    Product("mask", "mask.fits", _mask, is_mask=True),
    # before the catalogue, which has what is measured while it is written
    Product("pixels", "pixels.fits", _pixels, is_mask=True, refined=True),
    Product("hdf5", "h5", _hdf5),
    Product("islands", "islands.vot", _votable),
    Product(
        "islands_fits",
        "islands.fits",
        lambda found, path: catalogue.write_fits(found.catalogue, found.cards, path),
    ),
    Product(
        "islands_csv",
        "islands.csv",
        lambda found, path: catalogue.write_csv(found.catalogue, path),
    ),
    Product("regions", "reg", lambda found, path: regions.write_ds9(found.regions, path)),
    Product("regions_casa", "crtf", lambda found, path: regions.write_casa(found.regions, path)),
    Product("moc", "moc.fits", lambda found, path: coverage.write(found.swept, path)),
    Product("picture", "png", lambda found, path: picture.write(found.swept, path)),
)
"""All products but the record, in the order that they are written in."""


def of_config(config: Config, *, refine: bool) -> list[Product]:
    """The products that a configuration asks for, as far as such a sweep makes them."""
    wanted = config.classify.products
    return [p for p in PRODUCTS if p.name in wanted and (refine or not p.refined)]


def refuse_unknown(names: Sequence[str], *, refine: bool) -> None:
    """Raise an InputError where a product is asked for by name that such a sweep does not make."""
    known = {product.name: product for product in PRODUCTS}
    for name in names:
        if name not in known:
            raise InputError(
                f"products: no {name!r}{nearest(name, known)}; expected some of {', '.join(known)}"
            )
        if known[name].refined and not refine:
            raise InputError(f"products: {name!r} is made with refine alone: classify with it")


def product_names(path: Path) -> list[str]:
    """What the products of an image may be called."""
    plain = [product.ending for product in PRODUCTS]
    packed = [product.ending + PACKED_ENDING for product in PRODUCTS if product.is_mask]
    return [f"{stem(path)}.{ending}" for ending in (*plain, *packed, "json")]


def write(found: Findings, config: Config, out: Path) -> dict[str, Any]:
    """Write the products that a configuration asks for, and their record, which it returns.

    Args:
        config: that of the sweep, or the same with other products asked for.

    Raises:
        InputError: the image cannot be read again, the folder cannot be written, or the disk is
            full; products that were there before are as they were, or new and whole.
    """
    wanted, path = of_config(config, refine=found.refine), found.swept.path
    with naming(out, "write in"):  # a record speaks of the products beside it, and of no others
        record_of(path, out).unlink(missing_ok=True)
    files: dict[str, str] = {}
    with replacing_together() as beside:
        for product in wanted:
            file = out / f"{stem(path)}.{product.suffix(found)}"
            with naming(file, "write"):
                product.write(found, beside(file))
            files[product.name] = file.name
    record = record_with(found, config, files)
    write_json(record_of(path, out), record)
    return record


def record_with(found: Findings, config: Config, files: dict[str, str]) -> dict[str, Any]:
    """The content of the record: how a mosaic was swept and what was found.

    Args:
        config: as of `write`.
        files: names of its products by kind.
    """
    islands = found.islands.islands
    return provenance.record(found.swept, found.cube, islands, config, files, refine=found.refine)
