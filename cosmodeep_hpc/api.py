"""Functions for Python beside `classify`: those of the commands, on this process alone."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmodeep_hpc.errors import InputError, in_one_line
from cosmodeep_hpc.io.files import path_of
from cosmodeep_hpc.parallel.world import alone

if TYPE_CHECKING:
    from astropy import units as u
    from astropy.io import fits
    from astropy.wcs import WCS
    from numpy.typing import ArrayLike

    from cosmodeep_hpc.config.configuration import Config
    from cosmodeep_hpc.images.image import Image
    from cosmodeep_hpc.injection.results import InjectionResult
    from cosmodeep_hpc.learn.card import Card, Point
    from cosmodeep_hpc.learn.modelfile import TrainedModel
    from cosmodeep_hpc.tiles.pairs import Pair


@in_one_line
def load_model(
    name: str | Path | None = None,
    *,
    point: Point = "accuracy",
    f_th: float | None = None,
    n_pix: int | None = None,
) -> TrainedModel:
    """Load a model once, for many calls of `classify`.

    Args:
        name: run folder, `.keras` file, or name of a model of the package; None: `robust`.
        point: the operating point that gives it its threshold.
        f_th, n_pix: the labelling rule, for a model that knows several [Jy/arcsec^2, pixel].

    Raises:
        InputError: no such model, a damaged one, or one without that rule or operating point.
    """
    from cosmodeep_hpc.config.survey import DEFAULT_MODEL
    from cosmodeep_hpc.learn import modelfile

    path = modelfile.shipped(DEFAULT_MODEL) if name is None else path_of("name", name)
    return modelfile.load_on_ranks(path, point, (f_th, n_pix), world=alone())


def models() -> dict[str, Card]:
    """Return the models that ship with the package, by name, with the card of each."""
    from cosmodeep_hpc.learn import modelfile
    from cosmodeep_hpc.learn.shipped import names

    return {name: modelfile.read_card(modelfile.shipped(name)) for name in names()}


@in_one_line
def open_image(
    image: str | Path | ArrayLike,
    about: fits.Header | WCS | None = None,
    /,
    *,
    unit: str | u.UnitBase | None = None,
    beam: Any = None,
    hdu: int | str | None = None,
    plane: int | None = None,
    name: str = "array",
) -> Image:
    """Open an image as `classify` does: its pixels in Jy/arcsec^2, sky coordinates and beam.

    Args:
        image, about, unit, beam, hdu, name: see `classify`.
        plane: of a cube, from 0.

    Raises:
        InputError: it is not a usable image of the sky.
        TypeError: an array without `about`.
    """
    from cosmodeep_hpc.images import mosaic
    from cosmodeep_hpc.products.arguments import beam_of, image_of

    source = image_of(image, about, unit, hdu, name)
    return mosaic.open_image(source, hdu=hdu, plane=plane, beam=beam_of(beam))


@in_one_line
def evaluate(
    model: str | Path | TrainedModel,
    images: str | Path,
    out: str | Path | None = None,
    *,
    config: Config | str | Path | Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure the accuracy of a model on pairs of images that it has never seen.

    Args:
        model: see `classify`; a loaded model is read again from its file.
        images: folder of `sky-NAME.fits` and `noise-NAME.fits`.
        out: folder of results and pictures; None: they are not kept.
        config: see `classify`.

    Returns:
        the content of `metrics.json`: `total`, `mean`, `an_image`, `curve` and `reliability` of
        tiles, `pixels` and `objects` (None for a model that knows tiles alone), and the model, rule
        and images that they belong to.

    Raises:
        InputError: bad input, or an image that the model was trained or validated on.
    """
    from cosmodeep_hpc.evaluation import evaluate as stage
    from cosmodeep_hpc.learn.modelfile import TrainedModel
    from cosmodeep_hpc.products.arguments import config_of

    settings = config_of(config, {})
    name = str(model.path if isinstance(model, TrainedModel) else path_of("model", model))
    pairs = path_of("images", images)
    if out is not None:
        return stage.run(settings, name, pairs, path_of("out", out), alone())
    with tempfile.TemporaryDirectory(prefix="cosmodeep-") as folder:
        return stage.run(settings, name, pairs, Path(folder), alone())


@in_one_line
def inject(
    image: str | Path | ArrayLike,
    about: fits.Header | WCS | None = None,
    /,
    *,
    source: str | Path = "halo",
    at: Any = None,
    model: str | Path | TrainedModel | None = None,
    unit: str | u.UnitBase | None = None,
    beam: Any = None,
    hdu: int | str | None = None,
    plane: int | None = None,
    rms: float | None = None,
    threshold: float | None = None,
    config: Config | str | Path | Mapping[str, Any] | None = None,
    name: str = "array",
    **options: Any,
) -> InjectionResult:
    """Put sources into an image and see which are found: completeness and upper limits.

    Args:
        image, about, model, unit, beam, hdu, rms, threshold, config, name: see `classify`.
        source: "halo", "arc", "bridge", or a FITS image of one.
        at: a position, or several: a SkyCoord, pairs of right ascension and declination [deg], or
            text such as "10:00:24 -35:12:00"; None: at random.
        plane: of a cube, from 0.
        options: of the section `inject` (`cosmodeep config` lists them): `fluxes` [mJy], `sizes`
            [arcsec], `count`, `seed` ...

    Returns:
        `injections`, `completeness` and `islands` are tables, `figure()` draws the curves, `write`
        writes what the command does.

    Raises:
        InputError: bad usage, a bad model or image, or no room in it for a source.
        TypeError: an unknown keyword, or an array without `about`.
    """
    from astropy.coordinates import SkyCoord

    from cosmodeep_hpc.config.inject import SHAPES, Inject
    from cosmodeep_hpc.injection.inject import InjectRequest
    from cosmodeep_hpc.injection.inject import inject as stage
    from cosmodeep_hpc.injection.places import positions_of
    from cosmodeep_hpc.injection.results import InjectionResult
    from cosmodeep_hpc.products import arguments
    from cosmodeep_hpc.survey.plan import SweepRequest

    known = tuple(field.name for field in dataclasses.fields(Inject) if field.name != "source")
    arguments.refuse_unknown("inject", options, known)
    settings = arguments.config_of(config, {})
    is_shape = isinstance(source, str) and source in SHAPES
    shape: dict[str, Any] = {"source": source} if is_shape else {}
    settings = replace(settings, inject=replace(settings.inject, **shape, **options))
    if at is None:
        places = []
    elif isinstance(at, str) or (isinstance(at, SkyCoord) and at.isscalar):
        places = [at]
    else:
        places = [tuple(at)] if all(isinstance(one, Real) for one in at) else list(at)
    request = InjectRequest(
        arguments.image_of(image, about, unit, hdu, name),
        SweepRequest(
            model=arguments.model_of(model),
            hdu=hdu,
            planes=arguments.planes_of(plane),
            beam=arguments.beam_of(beam),
            rms=arguments.rms_of(rms),
            threshold=arguments.threshold_of(threshold),
        ),
        None if is_shape else path_of("source", source),
        positions_of(places),
    )
    done = stage(request, settings, alone())
    assert done is not None  # this is rank 0
    return InjectionResult(done)


@in_one_line
def mock(
    out: str | Path,
    images: int = 1,
    *,
    first: int = 0,
    test: bool = False,
    simulation: str | Path | Sequence[str | Path] = (),
    config: Config | str | Path | Mapping[str, Any] | None = None,
) -> list[Pair]:
    """Make pairs of Sky and Noise images; existing ones are kept.

    Args:
        out: folder of the images and their boxes.
        images: number of pairs.
        first: number of the first.
        test: make a sky to test on, from other boxes and with other noise.
        simulation: output or outputs of another simulation, in place of our boxes.
        config: see `classify`.

    Returns:
        the pairs: `name`, `sky` and `noise` of each.

    Raises:
        InputError: a simulation cannot be used, `out` cannot be written, or it holds pairs of
            another configuration.
    """
    from cosmodeep_hpc.products.arguments import config_of
    from cosmodeep_hpc.sky import mock as stage
    from cosmodeep_hpc.tiles.pairs import Pair

    folder = path_of("out", out)
    for what, given in (("images", images), ("first", first)):
        if isinstance(given, bool) or not isinstance(given, Integral):
            raise InputError(f"mock: {what} = {given!r}: expected a whole number")
    if images < 1 or first < 0:
        raise InputError(f"mock: {images} pairs from number {first}; expected 1 or more, from 0 on")
    several = [simulation] if isinstance(simulation, str | os.PathLike) else simulation
    outputs = [path_of("simulation", path) for path in several]
    stage.run(config_of(config, {}), folder, images, alone(), first, test=test, simulation=outputs)
    made = (stage.paths(folder, number) for number in range(first, first + images))
    return [Pair(sky.stem.removeprefix("sky-"), sky, noise) for _, sky, noise in made]
