"""Models made for tests: a network of known answer, and an untrained one in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.engine import network
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import open_world
from cosmodeep_hpc.tiles.preprocessing import Preprocessing
from support.fields import NOISE

CARD = Card(
    preprocessing=Preprocessing(scaling="asinh", floor=1e-11, ceiling=1e-2, tile_size=40),
    f_th=1e-7,
    n_pix=40,
    threshold=0.5,
    pixel_scale=9.6,
    noise_rms=0.88e-7,
    trained_on=(),
    seed=1,
)


class BrightestPixel:
    """A network whose probability of signal is 1 where a tile's brightest pixel exceeds a level."""

    def __init__(self, level: float) -> None:
        self.level = level
        self.side, self.shape = 40, (2,)
        self.sides: set[tuple[int, ...]] = set()
        self.tiles = 0

    def __call__(self, tiles: Any, batch: int) -> np.ndarray:
        self.sides.add(tiles.shape[1:])
        self.tiles += len(tiles)
        signal = (tiles.max(axis=(1, 2)) > self.level).astype(np.float32)
        return np.stack([1 - signal, signal], axis=1)


def brightest_pixel_model(
    level: float = 10.0, tile_size: int = 40, margin: int = 0, **card: Any
) -> TrainedModel:
    """A model that finds tiles with a pixel above `level` (as preprocessed), margins included."""
    preprocessing = replace(CARD.preprocessing, tile_size=tile_size, margin=margin)
    made = replace(CARD, preprocessing=preprocessing, **card)
    return TrainedModel(Path("brightest.keras"), made, BrightestPixel(level))


def model_in_file(folder: Path, level: float = 6.0) -> TrainedModel:
    """As `brightest_pixel_model`, with a file whose checksum can be taken."""
    path = folder / "brightest.keras"
    path.write_bytes(b"no network")
    return replace(brightest_pixel_model(level), path=path)


def absolute_model(brightness: float, **card: Any) -> TrainedModel:
    """A model that finds tiles with a pixel above `brightness` [Jy/arcsec^2], of the training."""
    level = (np.log(brightness) - np.log(1e-9)) / (np.log(1e-5) - np.log(1e-9))
    model = brightest_pixel_model(level=level, noise_rms=NOISE, **card)
    scale = replace(model.card.preprocessing, scaling="range", floor=1e-9, ceiling=1e-5)
    return replace(model, card=replace(model.card, preprocessing=scale))


def weights_of(run: Path) -> list[np.ndarray]:
    """Kernel and bias of each layer of a model."""
    layers = network.read(modelfile.find(run)).layers.values()
    return [weights for layer in layers for weights in layer.weights]


def write_untrained(path: Path, seed: int = 1, **card: Any) -> Path:
    """Save an untrained network of the default make as a model file."""
    runtime.start_tensorflow(open_world())
    from cosmodeep_hpc.learn.network import build

    made = replace(CARD, **card)
    net = build(Model(), made.preprocessing.window, seed)
    modelfile.save(path, net, made)
    return path
