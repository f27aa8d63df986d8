"""What callers from Python give, as the sweep takes it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.section import nearest
from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.io.files import path_of
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.survey.plan import Source

RULE = ("f_th", "n_pix")
ARRAY = "array"
"""The name of an array that is given none."""
ABOUT = ("about", "header", "wcs")
"""What the second argument of an array may be taken to be called; it has no name."""
OPTIONS = tuple(field.name for field in dataclasses.fields(Classify))
"""Options of the configuration that `classify` takes as keywords."""


def image_of(
    image: Any,
    about: fits.Header | WCS | None,
    unit: str | u.UnitBase | None,
    hdu: int | str | None,
    name: str,
) -> Source:
    """Return a path, or an array with its header or world coordinates.

    Raises:
        TypeError: an array alone, or what does not belong to a path, or to an array.
        InputError: not an array that can be an image, or a name that no file can have.
    """
    if isinstance(image, str | os.PathLike):
        if name != ARRAY:
            raise TypeError(f"name = {name!r}: {image} is called by its file; expected it alone")
        if about is not None or unit is not None:
            raise TypeError(f"{image}: a file has header and unit of its own; expected it alone")
        return path_of("image", image)
    if about is None and not _is_array(image):
        raise TypeError(
            f"{type(image).__name__}: expected the path of a FITS file, or an array and its header "
            "(of an astropy HDU: hdu.data, hdu.header)"
        )
    if not isinstance(about, fits.Header | WCS):
        raise TypeError(
            f"an array, and {type(about).__name__} after it; expected a FITS header, or an astropy "
            "WCS with unit= and beam="
        )
    if hdu is not None:
        raise TypeError(f"hdu = {hdu!r}: an array has none; expected it with a file alone")
    if not isinstance(name, str) or not name.strip(". ") or name[0] == "." or {"/", "\0"} & {*name}:
        raise InputError(f"name = {name!r}: expected what files can be called, such as 'field'")
    return ImageArray.of(image, about, unit, name)


def _is_array(image: Any) -> bool:
    """Return whether an array is meant, right or wrong, and no HDU, `Image` or list of paths."""
    if isinstance(image, list | tuple):
        return bool(image) and isinstance(image[0], list | tuple | int | float | np.ndarray)
    return isinstance(image, np.ndarray)


def beam_of(beam: Any) -> Beam | None:
    """Return a beam of ours, of radio_beam's, or of widths [arcsec] and position angle [deg].

    Numbers or Quantities: one for a round beam, two, or three with the angle.

    Raises:
        InputError: it is none.
    """
    if beam is None or isinstance(beam, Beam):
        return beam
    if all(hasattr(beam, name) for name in ("major", "minor", "pa")):
        beam = (beam.major, beam.minor, beam.pa)
    try:
        sides = list(beam) if isinstance(beam, list | tuple) or np.ndim(beam) else [beam, beam]
        widths = [_number(side, u.arcsec) for side in sides[:2]]
        angles = [_number(angle, u.deg) for angle in sides[2:]]
        return Beam(*widths, *angles)
    except (TypeError, ValueError, u.UnitsError) as error:
        raise InputError(
            f"beam = {beam!r}: expected BMAJ, BMIN [arcsec] and BPA [deg], numbers or Quantities"
        ) from error


def _number(value: Any, unit: u.UnitBase) -> float:
    return float(value.to_value(unit) if hasattr(value, "to_value") else value)


def rms_of(rms: Any) -> float | Source | None:
    """Return a noise: a number in the image's unit, the path of a map, or an array.

    Raises:
        InputError: it is none.
    """
    if rms is None:
        return None
    if isinstance(rms, str | Path):
        return path_of("rms", rms)
    if np.ndim(rms) > 0:
        return ImageArray.of(rms, None, name="rms")
    if hasattr(rms, "unit"):
        raise InputError(
            f"rms = {rms!r}: expected a plain number in the image's unit (quantity.value), or a map"
        )
    return number_of("rms", rms, "a number in the image's unit, or a map of it")


def threshold_of(threshold: Any) -> float | None:
    """Return a probability; None: the model's own.

    Raises:
        InputError: it is no number.
    """
    if threshold is None:
        return None
    return number_of("threshold", threshold, "a probability, from 0 to 1")


def number_of(name: str, given: Any, expected: str) -> float:
    """Return a number as float; True and False are none.

    Raises:
        InputError: it is no number.
    """
    if isinstance(given, np.ndarray) and given.ndim == 0:
        given = given[()]
    if isinstance(given, bool | np.bool_) or not isinstance(given, int | float | np.number):
        raise InputError(f"{name} = {given!r}: expected {expected}")
    return float(given)


def model_of(model: Any) -> Path | TrainedModel | None:
    """Return what names a model, or is one.

    Raises:
        TypeError: it is neither.
    """
    if model is None or isinstance(model, TrainedModel):
        return model
    if isinstance(model, str | os.PathLike):
        return path_of("model", model)
    raise TypeError(
        f"model = {model!r}: expected a name, the path of a model, or what load_model() gave"
    )


def planes_of(planes: Any) -> tuple[int, ...] | None:
    """Return numbers of planes, from one or several.

    Raises:
        InputError: they are none.
    """
    if planes is None:
        return None
    wanted = [planes] if np.ndim(planes) == 0 else list(planes)
    if not wanted or any(isinstance(n, bool) or n != int(n) or n < 0 for n in wanted):
        raise InputError(f"planes = {planes!r}: expected numbers of planes, from 0")
    return tuple(sorted({int(n) for n in wanted}))


def config_of(
    config: Config | str | Path | Mapping[str, Any] | None, options: Mapping[str, Any]
) -> Config:
    """Return a configuration changed by options of the section `classify` and a labelling rule.

    Args:
        config: or a TOML file of it, or its sections as plain values.
        options: those of `OPTIONS` and `RULE`.

    Raises:
        InputError: a value that is not allowed.
    """
    if config is None:
        config = Config()
    elif isinstance(config, str | Path):
        config = configuration.load(Path(config))
    elif not isinstance(config, Config | Mapping):
        raise InputError(
            f"config = {config!r}: expected a Config, a TOML file, or a dictionary such as "
            "{'classify': {'stride': 20}}"
        )
    elif not isinstance(config, Config):
        config = configuration.from_dict(config, "config")
    changes = {name: value for name, value in options.items() if name in OPTIONS}
    rule = {name: value for name, value in options.items() if name in RULE and value is not None}
    if changes:
        config = replace(config, classify=replace(config.classify, **changes))
    if rule:
        label = replace(config.label, **rule)
        asked = rule.get("f_th", config.rule[0]), rule.get("n_pix", config.rule[1])
        config = replace(config, label=label, rule=asked)
    return config


def refuse_unknown(function: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise a TypeError for a keyword that a function does not have, with what may be meant."""
    for name in options:
        if name not in known:
            meant = nearest(name, known)
            if name in ABOUT:
                meant = f"; expected it second, without a name: {function}(array, header)"
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{meant}")
