"""Products of a mosaic, each whole or not at all; the record comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.section import nearest
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import json_text, read_json, replacing, replacing_together
from cosmodeep_hpc.products import (
    catalogue,
    coverage,
    hdf5,
    masks,
    picture,
    provenance,
    regions,
)
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
        """Return the ending of its file for a mosaic."""
        packed = self.is_mask and found.config.classify.compress_mask
        return self.ending + PACKED_ENDING * packed


PRODUCTS = (
    Product("probability", "probability.fits", masks.write_probability),
    Product("tiles", "tiles.fits", masks.write_tiles),
    Product("tile_probability", "tile-probability.fits", masks.write_tile_probability),
    Product("mask", "mask.fits", masks.write_mask, is_mask=True),
    # before the catalogue, which has what is measured while it is written
    Product("pixels", "pixels.fits", masks.write_pixels, is_mask=True, refined=True),
    Product("hdf5", "h5", hdf5.write),
    Product("islands", "islands.vot", lambda f, path: catalogue.write_votable(f.catalogue, path)),
    Product(
        "islands_fits",
        "islands.fits",
        lambda f, path: catalogue.write_fits(f.catalogue, f.cards, path),
    ),
    Product("islands_csv", "islands.csv", lambda f, path: catalogue.write_csv(f.catalogue, path)),
    Product("regions", "reg", lambda f, path: regions.write_ds9(f.regions, path)),
    Product("regions_casa", "crtf", lambda f, path: regions.write_casa(f.regions, path)),
    Product("moc", "moc.fits", coverage.write),
    Product("picture", "png", picture.write),
)
"""All products but the record, in the order that they are written in."""


def of_config(config: Config, *, refine: bool) -> list[Product]:
    """Return the products that a configuration asks for, as far as such a sweep makes them."""
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
            raise InputError(f"products: {name!r} needs refine; classify with refine (--refine)")


def product_names(path: Path) -> list[str]:
    """Return what the products of an image may be called."""
    plain = [product.ending for product in PRODUCTS]
    packed = [product.ending + PACKED_ENDING for product in PRODUCTS if product.is_mask]
    return [f"{stem(path)}.{ending}" for ending in (*plain, *packed, "json")]


def finished(record: Path) -> dict[str, Any]:
    """Return the record of an earlier sweep; empty where there is none, or it is damaged."""
    try:
        content = read_json(record)
    except InputError:
        return {}
    is_ours = isinstance(content, dict) and {"cosmodeep_hpc", "key", "products"} <= set(content)
    return content if is_ours and isinstance(content["products"], dict) else {}


def write(found: Findings, config: Config, out: Path) -> dict[str, Any]:
    """Write the products that a configuration asks for, and their record, which it returns.

    The record names all products of the same image, model and options that are in the folder, those
    of earlier calls too. Products of another sweep are removed once the new ones are written.

    Args:
        config: that of the sweep, or the same with other products asked for.

    Raises:
        InputError: the image cannot be read again, the folder cannot be written, or the disk is
            full; products that were there before are as they were, or new and whole.
    """
    path = found.swept.path
    place = record_of(path, out)
    earlier = _earlier_files(path, out)
    is_same = _is_of(finished(place), found)
    with replacing(place) as new_record:
        with replacing_together() as beside:
            files: dict[str, str] = {}
            for product in of_config(config, refine=found.refine):
                file = out / f"{stem(path)}.{product.suffix(found)}"
                with naming(file, "write"):
                    product.write(found, beside(file))
                files[product.name] = file.name
            named = {**earlier, **files} if is_same else files
            named = {
                product.name: named[product.name] for product in PRODUCTS if product.name in named
            }
            record = record_with(found, config, named)
            with naming(place, "write"):
                new_record.write_text(json_text(record), encoding="utf-8")
                # a record speaks of the products beside it, and of no others
                place.unlink(missing_ok=True)
        for name in set(earlier.values()) - set(named.values()):
            with naming(out / name, "remove"):
                (out / name).unlink(missing_ok=True)
    return record


def _earlier_files(path: Path, out: Path) -> dict[str, str]:
    """Return the products of an image that an earlier record names and that are there, by kind."""
    known = product_names(path)  # a record may name anything
    named = finished(record_of(path, out)).get("products", {})
    return {kind: name for kind, name in named.items() if name in known and (out / name).exists()}


def _is_of(record: dict[str, Any], found: Findings) -> bool:
    """Return whether a record is of the same image, model and options, and as it is written now."""
    return (record.get("key"), record.get("format")) == (found.swept.key, provenance.FORMAT)


def record_with(found: Findings, config: Config, files: dict[str, str]) -> dict[str, Any]:
    """Return the content of the record: how a mosaic was swept and what was found.

    Args:
        config: see `write`.
        files: names of its products by kind.
    """
    islands = found.islands.islands
    return provenance.record(found.swept, found.cube, islands, config, files, refine=found.refine)
