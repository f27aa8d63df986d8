"""Products of a mosaic, each whole or not at all; the record comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.table import QTable

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.section import nearest
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import json_text, read_json, replacing, replacing_together
from cosmodeep_hpc.products import (
    coverage,
    hdf5,
    masks,
    picture,
    provenance,
    regions,
    tables,
)
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.products.names import record_of, stem
from cosmodeep_hpc.survey.result import printable

PACKED_ENDING = ".fz"


@dataclass(frozen=True)
class Product:
    """A kind of file that is written of a mosaic.

    Attributes:
        name: in the configuration and in records.
        ending: of its file.
        write: writes what was found to a path.
        is_mask: whether `classify.compress_mask` packs it, which adds to its ending.
    """

    name: str
    ending: str
    write: Callable[[Findings, Path], None]
    is_mask: bool = False

    def suffix(self, found: Findings) -> str:
        """Return the ending of its file for a mosaic."""
        packed = self.is_mask and found.config.classify.compress_mask
        return self.ending + PACKED_ENDING * packed


def _tables(name: str, table: Callable[[Findings], QTable]) -> list[Product]:
    """Return the files of a table: VOTable, FITS and CSV."""
    return [
        Product(
            name, f"{name}.vot", lambda found, path: tables.write_votable(table(found), name, path)
        ),
        Product(
            f"{name}_fits",
            f"{name}.fits",
            lambda found, path: tables.write_fits(table(found), name, found.cards, path),
        ),
        Product(
            f"{name}_csv", f"{name}.csv", lambda found, path: tables.write_csv(table(found), path)
        ),
    ]


PRODUCTS = (
    Product("probability", "probability.fits", masks.write_probability),
    Product("tiles", "tiles.fits", masks.write_tiles),
    Product("tile_probability", "tile-probability.fits", masks.write_tile_probability),
    Product("mask", "mask.fits", masks.write_mask, is_mask=True),
    Product("hdf5", "h5", hdf5.write),
    *_tables("islands", lambda found: found.catalogue),
    *_tables("compact", lambda found: found.compact),
    Product("regions", "reg", lambda f, path: regions.write_ds9(f.regions, path)),
    Product("regions_casa", "crtf", lambda f, path: regions.write_casa(f.regions, path)),
    Product("moc", "moc.fits", coverage.write),
    Product("picture", "png", picture.write),
)
"""All products but the record, in the order that they are written in."""


def of_config(config: Config) -> list[Product]:
    """Return the products that a configuration asks for."""
    return [product for product in PRODUCTS if product.name in config.classify.products]


def refuse_unknown(names: Sequence[str]) -> None:
    """Raise an InputError where a product is asked for by a name that there is none of."""
    known = {product.name: product for product in PRODUCTS}
    for name in names:
        if name not in known:
            raise InputError(
                f"products: no {name!r}{nearest(name, known)}; expected some of {', '.join(known)}"
            )


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
            for product in of_config(config):
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
    excluded = None if found.excluded is None else printable(found.excluded.name)
    return provenance.record(found.swept, found.cube, found.labels, config, files, excluded)
