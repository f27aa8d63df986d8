"""The products of a sweep: FITS images on the tile grid and the image's, a picture, a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config import Config
from cosmodeep_hpc.files import replacing, sha256, write_json
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.survey import picture
from cosmodeep_hpc.tiles.fits.image import Image
from cosmodeep_hpc.tiles.preprocessing import Level
from cosmodeep_hpc.tiles.tiling import paint, tile_wcs

NO_DATA = 255  # in masks; probability is NaN there


@dataclass(frozen=True, kw_only=True)
class Swept:
    """A swept image.

    Attributes:
        probability, coverage: float32 (rows, cols) of the tile grid; NaN: no data.
        signal: bool (rows, cols), probability >= threshold.
        notes: what a user should know before believing the result.
        files: the products by kind, once they are written.
    """

    image: Image
    probability: NDArray[np.float32]
    coverage: NDArray[np.float32]
    signal: NDArray[np.bool_]
    threshold: float
    level: Level
    model: TrainedModel
    model_sha256: str
    notes: list[str]
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def tile_mask(self) -> NDArray[np.uint8]:
        """1 signal, 0 noise, 255 no data: uint8 (rows, cols)."""
        return np.where(np.isnan(self.probability), NO_DATA, self.signal).astype(np.uint8)

    @property
    def tile_size(self) -> int:
        """Side of a tile [pixel]."""
        return self.model.card.preprocessing.tile_size


def stem(path: Path) -> str:
    """What the products of an image are named after."""
    return path.name.removesuffix(".gz").removesuffix(".fits").removesuffix(".FITS")


def write(swept: Swept, config: Config, out: Path) -> None:
    """Write all products of an image, each whole or not at all; the record comes last."""
    name = stem(swept.image.path)
    checksum = sha256(swept.image.path)
    writers: dict[str, tuple[str, Callable[[Swept, Path, fits.Header], None]]] = {
        "probability": ("probability.fits", _write_probability),
        "tiles": ("tiles.fits", _write_tiles),
        "mask": ("mask.fits", _write_mask),
        "picture": ("png", lambda s, path, _: quick_look(s, path)),
    }
    provenance = _provenance(swept, checksum)
    for kind, (suffix, writer) in writers.items():
        path = out / f"{name}.{suffix}"
        with replacing(path) as temporary:
            writer(swept, temporary, provenance)
        swept.files[kind] = path
    write_json(out / f"{name}.json", _record(swept, config, checksum))


def _provenance(swept: Swept, checksum: str) -> fits.Header:
    """How the product came about, as FITS cards."""
    card = swept.model.card
    header = fits.Header()
    header["CREATOR"] = f"cosmodeep_hpc {__version__}"
    header["MODELSHA"] = (swept.model_sha256[:16], "SHA-256 of the model file, first 16 digits")
    header["IMAGESHA"] = (checksum[:16], "SHA-256 of the image file, first 16 digits")
    header["THRESH"] = (swept.threshold, "signal from this probability on")
    header["TILESIZE"] = (swept.tile_size, "[pixel] side of a tile")
    header["F_TH"] = (card.f_th, "[Jy/arcsec2] flux threshold of the labels")
    header["N_PIX"] = (card.n_pix, "[pixel] pixel threshold of the labels")
    header["SIGMA"] = (swept.level.sigma, "[Jy/arcsec2] robust noise of the image")
    return header


def _header(wcs: WCS, source: fits.Header, provenance: fits.Header) -> fits.Header:
    """World coordinates of a product, the source's identity, then the provenance."""
    header = wcs.to_header(relax=True)
    for name in ("OBJECT", "TELESCOP", "RESTFRQ", "RESTFREQ"):
        if name in source and name not in header:
            header[name] = source[name]
    header.update(provenance)
    return header


def _write_probability(swept: Swept, path: Path, provenance: fits.Header) -> None:
    header = _header(tile_wcs(swept.image.wcs, swept.tile_size), swept.image.header, provenance)
    header["BTYPE"] = ("probability of signal", "NaN: no data")
    covered = header.copy()
    covered["BTYPE"] = ("coverage", "share of a tile's pixels with data")
    hdus = [
        fits.PrimaryHDU(swept.probability, header),
        fits.ImageHDU(swept.coverage, covered, name="COVERAGE"),
    ]
    fits.HDUList(hdus).writeto(path)


def _write_tiles(swept: Swept, path: Path, provenance: fits.Header) -> None:
    header = _header(tile_wcs(swept.image.wcs, swept.tile_size), swept.image.header, provenance)
    header["BTYPE"] = ("tile mask", "1 signal, 0 noise, 255 no data")
    fits.PrimaryHDU(swept.tile_mask, header).writeto(path)


def _write_mask(swept: Swept, path: Path, provenance: fits.Header) -> None:
    """Write the mask on the image's pixels, row of tiles by row of tiles."""
    ny, nx = swept.image.shape
    header = fits.PrimaryHDU(np.zeros((1, 1), dtype=np.uint8)).header
    header["NAXIS1"], header["NAXIS2"] = nx, ny
    header.update(_header(swept.image.wcs, swept.image.header, provenance))
    header["BTYPE"] = ("mask", "1 signal, 0 noise, 255 no data")
    size, tile_mask = swept.tile_size, swept.tile_mask
    output = fits.StreamingHDU(path, header)
    for row in range(tile_mask.shape[0]):
        height = min(size, ny - row * size)
        output.write(np.ascontiguousarray(paint(tile_mask[row : row + 1], (height, nx), size)))
    output.close()


def _record(swept: Swept, config: Config, checksum: str) -> dict[str, object]:
    """The content of the JSON record."""
    card, image = swept.model.card, swept.image
    partial = [image.shape[0] % swept.tile_size > 0, image.shape[1] % swept.tile_size > 0]
    return {
        "cosmodeep_hpc": __version__,
        "image": {
            "name": image.path.name,
            "sha256": checksum,
            "shape": image.shape,
            "unit": str(image.header["BUNIT"]),
            "to_jy_per_arcsec2": image.to_surface_brightness,
            "beam_arcsec": asdict(image.beam) if image.beam else None,
            "pixel_scale_arcsec": image.pixel_scale,
            "sigma_jy_per_arcsec2": swept.level.sigma,
        },
        "model": {
            "name": swept.model.path.name,
            "sha256": swept.model_sha256,
            "f_th": card.f_th,
            "n_pix": card.n_pix,
            "preprocessing": asdict(card.preprocessing),
        },
        "threshold": swept.threshold,
        "tiles": {
            "grid": swept.probability.shape,
            "signal": int(swept.signal.sum()),
            "noise": int((swept.tile_mask == 0).sum()),
            "no_data": int((swept.tile_mask == NO_DATA).sum()),
            "partial_top_row": bool(partial[0]),
            "partial_right_column": bool(partial[1]),
        },
        "notes": swept.notes,
        "products": {kind: path.name for kind, path in swept.files.items()},
        "config": config.as_dict(),
    }


def quick_look(swept: Swept, path: Path) -> None:
    """Draw a swept image with its signal tiles outlined."""
    figure, axes = picture.canvas(
        swept.image,
        f"{swept.image.path.name}: {int(swept.signal.sum())} of {swept.signal.size} tiles signal "
        f"(probability ≥ {swept.threshold:.2f})",
        swept.level.sigma,
    )
    picture.outline(axes, swept.signal, swept.tile_size, "tab:red", "signal")
    blank = np.isnan(swept.probability)
    if blank.any():
        picture.outline(axes, blank, swept.tile_size, "tab:blue", "no data")
    axes.legend(loc="upper right", fontsize=9)
    picture.save(figure, path)
