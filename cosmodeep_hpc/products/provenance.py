"""How products came about: as FITS cards, and as the JSON record that is written last."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from astropy.io import fits

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.islands.islandlabels import IslandLabels
from cosmodeep_hpc.products.cube import PlaneBox
from cosmodeep_hpc.survey.result import NO_DATA, MosaicResult, PlaneResult

FORMAT = 3
"""Raise it when an entry of the record or a product changes its meaning: they are made anew."""


def cards(swept: MosaicResult) -> fits.Header:
    """Return the provenance as FITS cards, without a date: a product is the same every time."""
    card = swept.model.card
    header = fits.Header()
    header["CREATOR"] = f"cosmodeep_hpc {__version__}"
    header["MODELSHA"] = (swept.model_sha256[:16], "SHA-256 of the model file, first 16 digits")
    header["IMAGESHA"] = (swept.sha256[:16], "SHA-256 of the image file, first 16 digits")
    header["THRESH"] = (swept.threshold, "signal from this probability on")
    header["TILESIZE"] = (swept.tile, "[pixel] side of a tile")
    header["CELLSIZE"] = (swept.cell, "[pixel] side of a cell of the grid")
    header["REBIN"] = (swept.rebin, "[pixel] side of what the network saw as one")
    header["F_TH"] = (card.f_th, "[Jy/arcsec2] flux threshold of the labels")
    header["N_PIX"] = (card.n_pix, "[pixel] pixel threshold of the labels")
    if len(swept.planes) == 1 and math.isfinite(swept.planes[0].level.sigma):
        header["SIGMA"] = (swept.planes[0].level.sigma, "[Jy/arcsec2] noise that was scaled by")
    for note in notes(swept):
        header.add_history(" ".join(note.encode("ascii", "replace").decode().split()))
    return header


def notes(swept: MosaicResult) -> list[str]:
    """Return the notes of all planes, each once; those of some planes with the numbers of these."""
    if len(swept.planes) == 1:
        return list(dict.fromkeys(swept.planes[0].notes))
    said: dict[str, list[int]] = {}
    for number, plane in zip(PlaneBox.of(swept).numbers, swept.planes, strict=True):
        for note in dict.fromkeys(plane.notes):
            said.setdefault(note, []).append(number)
    return [
        note if len(numbers) == len(swept.planes) else f"{_planes(numbers)}: {note}"
        for note, numbers in said.items()
    ]


def _planes(numbers: list[int]) -> str:
    """Return numbers of planes, increasing, in words: `planes 0, 2 to 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"plane{'s' * (len(numbers) > 1)} {', '.join(texts)}"


def record(
    swept: MosaicResult,
    cube: PlaneBox,
    labels: IslandLabels,
    config: Config,
    files: dict[str, str],
    excluded: str | None,
) -> dict[str, Any]:
    """Return the content of the JSON record.

    Args:
        files: names of the products by kind.
        excluded: file of what is left out of islands' measures.
    """
    card, image = swept.model.card, swept.planes[0].image
    planes = [
        _plane(plane, swept, frequency, len(own))
        for plane, frequency, own in zip(
            swept.planes, cube.frequencies(), labels.planes, strict=True
        )
    ]
    rows, cols = swept.planes[0].shape
    return {
        "format": FORMAT,
        "cosmodeep_hpc": __version__,
        "key": swept.key,
        "image": {
            "name": swept.name,
            "sha256": swept.sha256,
            "axes": swept.axes,
            "shape": image.shape,
            "unit": image.unit,
            "pixel_scale_arcsec": image.pixel_scale,
        },
        "model": {
            "name": swept.model.path.name,
            "sha256": swept.model_sha256,
            "f_th": card.f_th,
            "n_pix": card.n_pix,
            "pixel_scale_arcsec": card.pixel_scale,
            "noise_jy_per_arcsec2": card.quiet,
            "preprocessing": asdict(card.preprocessing),
        },
        "threshold": swept.threshold,
        "tile_threshold": swept.tile_threshold,
        "grid": {
            "shape": [rows, cols],
            "cell_pixels": swept.cell,
            "tile_cell_pixels": swept.tile_cell,
            "tile_pixels": swept.tile,
            "rebin": swept.rebin,
            "partial_top_row": rows * swept.cell > image.shape[0],
            "partial_right_column": cols * swept.cell > image.shape[1],
        },
        "tiles": {
            what: sum(plane["tiles"][what] for plane in planes)
            for what in ("signal", "noise", "no_data")
        },
        "islands": len(labels),
        "excluded": excluded,
        "planes": planes,
        "notes": notes(swept),
        "products": files,
        "config": config.as_dict(),
    }


def _plane(
    plane: PlaneResult, swept: MosaicResult, frequency: float, islands: int
) -> dict[str, Any]:
    """Return what the record says of a plane."""
    mask, image = plane.tiles.mask(swept.tile_threshold), plane.image
    noise = plane.tiles.noise[np.isfinite(plane.tiles.noise)]
    return {
        "index": image.plane,
        "frequency_hz": _known(frequency),
        "to_jy_per_arcsec2": _known(image.to_surface_brightness),
        "beam_arcsec": asdict(image.beam) if image.beam else None,
        "tiles": {
            "signal": int((mask == 1).sum()),
            "noise": int((mask == 0).sum()),
            "no_data": int((mask == NO_DATA).sum()),
        },
        "islands": islands,
        "noise_jy_per_arcsec2": float(np.median(noise)) if len(noise) else None,
        "level": {name: _known(number) for name, number in asdict(plane.level).items()},
        "notes": plane.notes,
    }


def _known(number: float) -> float | None:
    """Return a number, or JSON's null where there is none: a plane may have no data."""
    return number if math.isfinite(number) else None
