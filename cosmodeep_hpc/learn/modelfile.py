"""A trained model as one file: a Keras archive with our card added to it."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmodeep_hpc.engine import backend, network
from cosmodeep_hpc.engine.archive import DAMAGES, member, reason
from cosmodeep_hpc.engine.blocks import BlockNetwork
from cosmodeep_hpc.engine.network import Network
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.learn import card
from cosmodeep_hpc.learn.card import AskedRule, Card, Point
from cosmodeep_hpc.learn.pixelmap import SHARE
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import World

logger = logging.getLogger(__name__)

ENDING = ".keras"
MODEL = f"model{ENDING}"
CARD = "cosmodeep.json"  # our member of the archive; Keras reads past it
MEMBERS = {"metadata.json", "config.json", "model.weights.h5", CARD}
PARTS = {
    "keras": {"DTypePolicy"},
    "keras.initializers": {"Constant", "HeNormal", "TruncatedNormal", "Zeros"},
    "keras.layers": {
        "Activation",
        "Add",
        "AveragePooling2D",
        "Concatenate",
        "Conv2D",
        "Cropping2D",
        "Dense",
        "Dropout",
        "Flatten",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "InputLayer",
        "MaxPooling2D",
        "Multiply",
        "Rescaling",
        "Reshape",
        "Softmax",
        "Subtract",
        "UpSampling2D",
    },
    "keras.src.models.functional": {"Functional"},
    "keras.src.ops.numpy": {"Log"},
    None: {"__keras_tensor__"},
}
"""The parts of our networks, by module: a file that asks Keras for others is refused."""
MODELS = Path(__file__).parent.parent / "models"  # the models that ship with the package


@dataclass(frozen=True)
class TrainedModel:
    """A model and its card.

    Attributes:
        network: computes for tiles the output that the card describes.
        blocks: the same network over blocks of an image, with its map of pixels; None: it knows
            tiles alone.
    """

    path: Path
    card: Card
    network: Network = field(repr=False)
    blocks: BlockNetwork | None = field(default=None, repr=False)


def save(path: Path, net: Any, about: Card) -> None:
    """Write a Keras model and its card as one `.keras` file, complete or not at all."""
    with replacing(path) as temporary:
        net.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CARD, json.dumps(card.as_dict(about), indent=2))
        with zipfile.ZipFile(temporary) as written:
            if damaged := written.testzip():
                raise InputError(f"{path}: {damaged} in it was not written whole; check the disk")


def save_with_card(source: Path, about: Card, path: Path) -> None:
    """Write a model file again with another card, complete or not at all.

    Raises:
        InputError: it cannot be written.
    """
    with (
        naming(path, "write"),
        replacing(path) as temporary,
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(temporary, "w") as new,
    ):
        for entry in old.infolist():
            if entry.filename != CARD:
                new.writestr(entry, old.read(entry))
        # without a date: the same card makes the same file
        new.writestr(zipfile.ZipInfo(CARD), json.dumps(card.as_dict(about), indent=2))


def shipped(name: str) -> Path:
    """Return the path that a model of this name has if it ships with the package."""
    return MODELS / f"{name}{ENDING}"


def find(name: str | Path) -> Path:
    """Return the file of a run folder, a `.keras` file, or a model that ships with the package.

    If a folder has the name of a shipped model, the folder counts if it is a finished run.

    Raises:
        InputError: there is no such file.
    """
    path, ships = Path(name), shipped(str(name))
    if (path / MODEL).exists():
        return path / MODEL
    if path.is_file():
        return path
    if ships.exists():
        return ships
    if path.is_dir():
        raise InputError(
            f"{path}: no {MODEL} in it; expected the folder of a finished training run"
        )
    ours = ", ".join(sorted(p.stem for p in MODELS.glob(f"*{ENDING}"))) or "none"
    raise InputError(
        f"{name}: no such model; expected a run folder, a .keras file, or a model of the package "
        f"({ours})"
    )


def load(
    name: str | Path, point: Point = "accuracy", rule: AskedRule = (None, None), *, threads: int = 1
) -> TrainedModel:
    """Load a model; nothing in its file is run as code.

    Args:
        point: the operating point that gives the card its threshold.
        rule: the rule that a counts network is asked for.
        threads: number of threads that may classify at once.

    Raises:
        InputError: not a model of this package, one with foreign parts, or a damaged file.
    """
    path = find(name)
    about = read_card(path, point, rule)
    _refuse_foreign_parts(path)
    loaded = network.load(path, threads)
    _check(path, about, loaded)
    blocks = network.load_blocks(path, threads) if about.has_map else None
    return TrainedModel(path, about, loaded, blocks)


def load_on_ranks(
    name: str | Path,
    point: Point = "accuracy",
    rule: AskedRule = (None, None),
    *,
    world: World,
) -> TrainedModel:
    """Load a model on every rank, for its share of the cores or its GPU; a collective call.

    Raises:
        InputError: as `load` does; or the engine is unknown or not installed.
    """
    backend.start(world)
    loaded, failure = None, None
    try:
        loaded = load(name, point, rule, threads=runtime.cores_of_rank(world))
    except InputError as error:
        failure = error
    world.agree(failure)
    assert loaded is not None
    if world.is_root:
        about = loaded.card
        of = f"N_pix {about.n_pix}, F_th {about.f_th:g} Jy/arcsec^2"
        logger.debug("model %s: %s, threshold %.4g", loaded.path, of, about.threshold)
    return loaded


def map_threshold(model: TrainedModel, point: Point) -> float:
    """Return the probability from which a pixel of a model's map is signal.

    Raises:
        InputError: the model does not know the operating point.
    """
    points = model.card.pixel_map.at(model.card.f_th)
    if point == "accuracy":
        return points.threshold
    threshold: float | None = getattr(points, point)
    if threshold is None:
        raise InputError(
            f"{model.path}: no threshold for a {point} of {SHARE} of pixels; expected a map that "
            "was calibrated and reaches it (cosmodeep calibrate); leave classify.point out, or "
            "give --threshold"
        )
    return threshold


def _check(path: Path, about: Card, loaded: Network) -> None:
    """Raise if the network's input or output shape does not match its card."""
    side, rules = about.preprocessing.window, about.readings
    expected = (2,) if rules is None else (len(rules.thresholds), len(rules.levels))
    for what, found, wanted in (
        (f"takes tiles of {loaded.side} pixels", loaded.side, side),
        (f"gives {loaded.shape}", loaded.shape, expected),
    ):
        if found != wanted:
            raise InputError(
                f"{path}: its network {what}; expected {wanted} as its card says: the file is "
                "damaged"
            )


def _refuse_foreign_parts(path: Path) -> None:
    """Raise if a network asks for a layer, class, function or module that ours do not need.

    Keras' safe mode refuses Python code in a file, but not every class that does more than compute.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            others = sorted(set(archive.namelist()) - MEMBERS)
            config = json.loads(member(archive, "config.json"))
        asked = list(_parts(config))
    except (KeyError, ValueError, *DAMAGES) as error:
        raise InputError(
            f"{path}: damaged description of the network ({reason(error)}); {card.AGAIN}"
        ) from error
    foreign = [f"{module}.{kind}" for module, kind in asked if kind not in PARTS.get(module, ())]
    if foreign or others:
        found = foreign[0] if foreign else f"a file {others[0]!r}"
        raise InputError(
            f"{path}: holds {found}; expected only what the networks of `cosmodeep train` are made "
            "of, since other parts may run code: use a model that you trained or trust"
        )


def _parts(config: Any) -> Iterator[tuple[Any, Any]]:
    """Yield module and name of each object that a Keras configuration asks for."""
    if isinstance(config, dict):
        if not config.keys().isdisjoint({"module", "class_name", "registered_name"}):
            kind = config.get("class_name")
            if config.get("registered_name") not in (None, kind):
                kind = config["registered_name"]
            module = config.get("module")
            yield (module if isinstance(module, str | None) else repr(module)), str(kind)
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _parts(value)


def read_card(path: Path, point: Point = "accuracy", rule: AskedRule = (None, None)) -> Card:
    """Return the card of a model file for a rule, with the threshold of an operating point.

    Raises:
        InputError: not a Keras archive, one without our card, or without that rule or operating
            point.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(member(archive, CARD))
    except KeyError as error:
        raise InputError(
            f"{path}: a Keras model, but not one of `cosmodeep train`: it does not say how its "
            f"tiles were preprocessed (no {CARD} in the archive)"
        ) from error
    except DAMAGES as error:
        why = getattr(error, "strerror", None) or reason(error)
        raise InputError(
            f"{path}: not a .keras file, or not a complete one ({why}); {card.AGAIN}"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: damaged model card ({reason(error)}); {card.AGAIN}") from error
    return card.at(card.for_rule(card.from_dict(content, path), rule, path), point, path)
