"""The network of the paper, in plain Keras 3 layers that any Keras backend runs."""

from __future__ import annotations

import math
from typing import Any

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.learn import countsnetwork

HIDDEN_UNITS = 1024


def asked(config: Config) -> Any:
    """Return the untrained network that a configuration asks for: the paper's or one of counts."""
    if config.model.network == "counts":
        return countsnetwork.build(config.model, config.tiles, config.train.seed)
    return build(config.model, config.tiles.window, config.train.seed)


def build(model: Model, tile_size: int, seed: int) -> Any:
    """Build the network: tiles float32 (n, size, size, 1) to probabilities float32 (n, 2).

    Two convolutions of 3 x 3 (32 and 64 feature maps, ReLU, zero padded), each with a max pooling,
    1024 fully connected units and two outputs: noise and signal. Layer `logits` holds the outputs
    before the softmax.

    The paper's "about 700,000 parameters, independent of the size of the input images" asks for a
    second pooling of fixed output: bins of 3 x 3 and 1 x 1 give 677,250 parameters. Weights start
    as a truncated normal of standard deviation 0.1 and biases at 0.1.

    Source: Gheller, Vazza & Bonafede (2018), section 2 and figure 1.
    """
    import keras

    def start(layer: int) -> dict[str, Any]:
        return {
            "kernel_initializer": keras.initializers.TruncatedNormal(
                stddev=0.1, seed=(seed * 16 + layer) % 2**63
            ),
            "bias_initializer": keras.initializers.Constant(0.1),
        }

    relu = {"activation": "relu"}
    layers = keras.layers
    tile = keras.Input((tile_size, tile_size, 1), name="tile")
    maps = layers.Conv2D(32, 3, padding="same", name="conv1", **relu, **start(1))(tile)
    maps = layers.MaxPooling2D(2, padding="same", name="pool1")(maps)
    maps = layers.Conv2D(64, 3, padding="same", name="conv2", **relu, **start(2))(maps)
    if model.head == "pyramid":
        bin_size = math.ceil(maps.shape[1] / 3)
        bins = layers.MaxPooling2D(bin_size, padding="same", name="pool2_3x3")(maps)
        whole = layers.GlobalMaxPooling2D(name="pool2_1x1")(maps)
        features = layers.Concatenate(name="features")([layers.Flatten(name="bins")(bins), whole])
    else:
        maps = layers.MaxPooling2D(2, padding="same", name="pool2")(maps)
        features = layers.Flatten(name="features")(maps)
    hidden = layers.Dense(HIDDEN_UNITS, name="hidden", **relu, **start(3))(features)
    # training masks by hand; the seed makes the layer's own state the same in every run
    kept = layers.Dropout(model.dropout, seed=1, name="dropout")(hidden)
    logits = layers.Dense(2, name="logits", **start(4))(kept)
    probability = layers.Softmax(name="probability")(logits)
    return keras.Model(tile, probability, name=f"cosmodeep_{model.head}")
