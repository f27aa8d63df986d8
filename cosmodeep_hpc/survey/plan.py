"""What is swept, by which model and how: the same on all ranks."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import DEFAULT_MODEL
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.io.files import sha256
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.parallel.world import World

RESULTS = 4
"""Raise it when the same image, model and options give other grids: then journals begin anew, and
finished products are made anew."""

Source = Path | ImageArray
"""A file, or an image in memory."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What a user says of model and images, beside the configuration.

    Attributes:
        model: run folder, `.keras` file, name of a model of the package, or a model that is
            loaded; None: the package's for survey images.
        hdu: number or name of the HDU; None: the first with an image.
        planes: numbers of the planes to sweep; None: all.
        beam: in place of the header's.
        rms: noise in the image's unit, or a map of it; None: measured.
        threshold: a cell is signal from this probability on; None: the model's own.
        exclude: what is left out of the measures of islands: a file of regions or sources.
    """

    model: str | Path | TrainedModel | None = None
    hdu: int | str | None = None
    planes: tuple[int, ...] | None = None
    beam: Beam | None = None
    rms: float | Source | None = None
    threshold: float | None = None
    exclude: Path | None = None

    @property
    def has_map(self) -> bool:
        """Whether a map gives the noise."""
        return isinstance(self.rms, Path | ImageArray)


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """Images, and what they are swept with.

    Attributes:
        images: files; or one image in memory, which other ranks than this do not have.
        model_sha256: checksum of its file.
        config: its section `classify` is meant, the whole is kept with the products.
    """

    images: tuple[Source, ...]
    model: TrainedModel
    model_sha256: str
    config: Config
    request: SweepRequest

    @classmethod
    def of(
        cls, images: Sequence[Source], config: Config, request: SweepRequest, world: World
    ) -> SweepPlan:
        """Check what is asked for, and load the model; a collective call.

        Raises:
            InputError: bad usage, or a bad model.
        """
        path = world.on_root(lambda: _check(config, request))
        model = request.model
        if isinstance(model, TrainedModel):
            card = _card(model, config)
            model = model if card is model.card else replace(model, card=card)
        else:
            model = modelfile.load_on_ranks(path, config.classify.point, config.rule, world=world)
        digest = world.on_root(lambda: sha256(path))
        return cls(
            images=tuple(images), model=model, model_sha256=digest, config=config, request=request
        )

    @property
    def card(self) -> Card:
        """The model's card."""
        return self.model.card

    @property
    def threshold(self) -> float:
        """A cell is signal from this probability on."""
        asked = self.request.threshold
        if asked is not None:
            return asked
        if self.model.blocks is None:
            return self.card.threshold
        return modelfile.map_threshold(self.model, self.config.classify.point)

    @property
    def tile_threshold(self) -> float:
        """A tile is signal from this probability on."""
        return self.card.threshold if self.model.blocks is not None else self.threshold

    @cached_property
    def depends_on(self) -> dict[str, Any]:
        """What probabilities depend on, beside the image."""
        request, card = self.request, self.card
        rms, options = request.rms, self.config.as_dict()["classify"]
        return {
            "results": RESULTS,
            "model": self.model_sha256,
            **({} if card.readings is None else {"rule": [card.f_th, card.n_pix]}),
            "classify": {name: option for name, option in options.items() if name != "products"},
            "hdu": request.hdu,
            "planes": request.planes,
            "beam": None if request.beam is None else repr(request.beam),
            "rms": stamp(rms) if isinstance(rms, Path | ImageArray) else rms,
        }

    @cached_property
    def excluded_sha256(self) -> str | None:
        """Checksum of what is left out; None: nothing is."""
        return None if self.request.exclude is None else sha256(self.request.exclude)

    def key(self, image_sha256: str) -> str:
        """Return the digest of everything that the products of an image depend on."""
        everything = {
            **self.depends_on,
            "image": image_sha256,
            "threshold": self.threshold,
            **({} if self.excluded_sha256 is None else {"exclude": self.excluded_sha256}),
        }
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _check(config: Config, request: SweepRequest) -> Path:
    """Refuse bad usage before any work is done; return the model's file."""
    threshold, rms, model = request.threshold, request.rms, request.model
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"threshold {threshold:g}: expected a probability between 0 and 1")
    if isinstance(rms, float) and not 0 < rms < math.inf:
        raise InputError(f"rms {rms:g}: expected a noise above 0, or a map of it")
    if isinstance(model, TrainedModel):
        path, card = model.path, _card(model, config)
    else:
        path = modelfile.find(modelfile.shipped(DEFAULT_MODEL) if model is None else model)
        card = modelfile.read_card(path, config.classify.point, config.rule)
    _refuse_other_rule(path, card, config)
    size = card.preprocessing.tile_size
    if config.classify.stride and size % config.classify.stride:
        raise InputError(
            f"classify.stride = {config.classify.stride}: expected a divisor of the tiles' side, "
            f"{size} pixels"
        )
    if card.has_map:
        _refuse_stride(path, size, config)
    return path


def _refuse_stride(path: Path, size: int, config: Config) -> None:
    """Raise an InputError where a model with a map of pixels is asked for tiles that overlap."""
    if config.classify.stride not in (0, size):
        raise InputError(
            f"{path}: gives a map of pixels, whose tiles lie side by side; expected "
            f"classify.stride = 0, or the tiles' side, {size} pixels; found "
            f"{config.classify.stride}: leave it out, or choose a model of tiles (paper-npix40)"
        )


def _refuse_other_rule(path: Path, card: Card, config: Config) -> None:
    """Raise an InputError where a model of one rule is asked for another: it would not matter."""
    for name, asked in zip(("f_th", "n_pix"), config.rule, strict=True):
        known = getattr(card, name)
        if asked is not None and not math.isclose(asked, known):
            raise InputError(
                f"{path}: was not trained for label.{name} = {asked:g}; expected {known:g}: leave "
                "the option out, or choose a model of many rules (counts, robust)"
            )


def _card(model: TrainedModel, config: Config) -> Card:
    """Return the card of a loaded model: its own, or as the configuration asks to read it."""
    point, rule = config.classify.point, config.rule
    if point == "accuracy" and rule == (None, None):
        return model.card
    return modelfile.read_card(model.path, point, rule)


def path_of(image: Source) -> Path:
    """Return the path or name by which messages and products call an image."""
    return image.path if isinstance(image, ImageArray) else image


def stamp(image: Source) -> list[Any]:
    """Return what tells quickly that an image is another: name, size and time of a file."""
    if isinstance(image, ImageArray):
        return [image.name, image.sha256]
    try:
        about = image.stat()
    except OSError:
        return [str(image)]
    return [image.name, about.st_size, about.st_mtime_ns]
