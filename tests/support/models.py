"""Models made for tests: a network of known answer, and an untrained one in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.config.learn import Model, levels
from cosmodeep_hpc.config.tiles import Tiles
from cosmodeep_hpc.engine import network
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.learn.pixelmap import PixelMap
from cosmodeep_hpc.learn.rules import OperatingPoints, RuleCalibrations
from cosmodeep_hpc.learn.viewfusion import Fusion
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
THRESHOLDS = (1e-7, 5e-8)
"""F_th of counts networks made here [Jy/arcsec^2]."""


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


def counts_network(
    size: int = 16,
    margin: int = 4,
    thresholds: int = 2,
    depth: int = 3,
    width: int = 16,
    seed: int = 1,
) -> Any:
    """An untrained counts network with biases that are not 0, as training leaves them."""
    runtime.start_tensorflow(open_world())
    from cosmodeep_hpc.learn import countsnetwork

    tiles = Tiles(size=size, margin=margin, thresholds=tuple(range(thresholds, 0, -1)))
    model = countsnetwork.build(Model(network="counts", depth=depth, width=width), tiles, seed)
    random = np.random.default_rng(seed)
    model.set_weights(
        [w + 0.1 * random.normal(size=w.shape) * (w.ndim == 1) for w in model.get_weights()]
    )
    return model


def random_fusion(thresholds: int, scales: int, units: int = 8, seed: int = 1) -> Fusion:
    """A fusion of any numbers, about as large as fitted ones."""
    random, inputs = np.random.default_rng(seed), thresholds * scales
    return Fusion.of(
        random.normal(0, 0.5, (thresholds, inputs)),
        random.normal(0, 0.3, (units, inputs)),
        random.normal(0, 1, units),
        random.normal(0, 1, (thresholds, units)),
        random.normal(0, 1, thresholds),
    )


def random_map(thresholds: tuple[float, ...] = THRESHOLDS, scales: int = 3) -> PixelMap:
    """A map to which every scale adds."""
    fusions = tuple(random_fusion(len(thresholds), n, seed=n) for n in range(1, scales + 1))
    return replace(PixelMap.plain(thresholds), fusions=fusions)


def write_counts(
    path: Path, *, margin: int = 16, depth: int = 3, pixels: PixelMap | None = None, **card: Any
) -> Path:
    """Save a narrow, untrained counts network of tiles of 40 pixels and two F_th."""
    steps = levels(40)
    known = OperatingPoints(completeness=0.1, purity=0.9)
    points = tuple(tuple(known for _ in steps) for _ in THRESHOLDS)
    made = replace(
        CARD,
        preprocessing=replace(CARD.preprocessing, margin=margin),
        readings=RuleCalibrations(thresholds=THRESHOLDS, levels=steps, points=points),
        pixels=pixels,
        noise_rms=NOISE,
        **card,
    )
    modelfile.save(path, counts_network(40, margin, len(THRESHOLDS), depth, width=4), made)
    return path
