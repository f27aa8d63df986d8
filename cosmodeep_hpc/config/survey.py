"""Options of the sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cosmodeep_hpc.config.section import Section, option

DEFAULT_MODEL = "robust"
"""The model of the package that classifies images by default."""
PAPERS_MODEL = "paper-npix40"
"""The model of the package that the paper's figures are drawn with."""

ProductName = Literal[
    "probability",
    "tiles",
    "tile_probability",
    "mask",
    "hdf5",
    "islands",
    "islands_fits",
    "islands_csv",
    "compact",
    "compact_fits",
    "compact_csv",
    "regions",
    "regions_casa",
    "moc",
    "picture",
]
ALL_PRODUCTS: tuple[ProductName, ...] = get_args(ProductName)
USUAL_PRODUCTS: tuple[ProductName, ...] = (
    "probability",
    "tiles",
    "mask",
    "islands_fits",
    "compact_fits",
    "regions",
    "moc",
    "picture",
)
"""One of each kind: without the grids in HDF5 and the other formats of catalogue and regions."""


@dataclass(frozen=True, kw_only=True)
class Classify(Section):
    """The sweep of a mosaic."""

    batch: int = option(500, "tiles given to the network at once", unit="tile", low=1)
    min_coverage: float = option(
        0.5, "share of a tile's pixels with data below which it is no data", above=0, high=1
    )
    point: Literal["accuracy", "completeness", "purity"] = option(
        "accuracy",
        "operating point of the model, chosen on its validation images: the threshold of the "
        "largest As of tiles and the best IoU of pixels, or the ones that reach a completeness, or "
        "a purity, of 0.99 for tiles and 0.95 for pixels",
    )
    stride: int = option(
        0,
        "distance of neighbouring tiles, a divisor of their size; probabilities are averaged where "
        "they overlap; 0: side by side",
        unit="pixel",
        low=0,
    )
    noise: Literal["auto", "local", "as_is"] = option(
        "auto",
        "scale intensities by the local noise to that of the training: where it differs, always "
        "(local) or never (as_is)",
    )
    background: Literal["auto", "local", "none"] = option(
        "auto",
        "subtract the level that the image has without emission before the network sees it: where "
        "it reaches three quarters of the noise (auto), always (local), or never (none)",
    )
    view: Literal["scale", "beam"] = option(
        "scale",
        "what pixels are averaged to before the network sees them: pixels of the size that the "
        "model was trained on (scale), or as wide as the beam",
    )
    any_scale: bool = option(
        False,
        "with view scale: sweep images whose pixels are far coarser than those of the "
        "training, too",
    )
    products: tuple[ProductName, ...] = option(
        USUAL_PRODUCTS,
        f"what is written of a mosaic, beside the record: any of {', '.join(ALL_PRODUCTS)} "
        "(docs/sweep.md)",
    )
    compress_mask: bool = option(
        False, "write masks on the image's pixels tile-compressed, as .fits.fz"
    )
    min_beams: float = option(2.0, "area from which islands of pixels are kept", unit="beam", low=0)
    high_threshold: float = option(
        0.7,
        "probability that an island of pixels reaches somewhere if it is kept (hysteresis)",
        low=0,
        high=1,
    )
