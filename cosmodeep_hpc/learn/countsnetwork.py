"""A network that knows every labelling rule, in plain Keras 3 layers for any Keras backend.

A label asks whether more than N_pix Sky pixels of a tile exceed F_th. This network learns more than
the answer: which pixels exceed each F_th, and how many do. It is small, and it sees the tile's
surroundings, because emission near an edge continues beyond it.
"""

from __future__ import annotations

from typing import Any

from cosmodeep_hpc.config.learn import Model, levels
from cosmodeep_hpc.config.tiles import Tiles

NAME = "cosmodeep_counts"
FEATURES = 32
"""Maps that the counts are derived from, in addition to those of the pixels."""
MAPS = (
    {f"conv{n}" for n in range(1, 7)}
    | {f"deep{n}" for n in range(1, 4)}
    | {"pool1", "pool2", "pool3", "raised", "deepened", "quarter"}
    | {"wide", "both", "inner", "sum"}
)
"""Layers that may be computed in lower precision."""
UNITS = 256
"""Units of each connected layer."""


def build(model: Model, tiles: Tiles, seed: int) -> Any:
    """Build the network: tiles with margins, float32 (n, window, window, 1), to two outputs.

    `counts`, float32 (n, T, L): the probability that more than `levels(size)` pixels of the tile
    are brighter than each of the thresholds. `pixels`, float32 (n, size / 2, size / 2, T): for each
    2 x 2 pixels of the tile without its margins, the share of pixels brighter than each threshold.
    Layers `count_logits` and `pixel_logits` hold both before the sigmoid.

    The network convolves by 3 x 3 at full, half and quarter resolution, and with `model.depth` 3 at
    an eighth; maps of coarser resolution are added to the finer ones. It derives the expected count
    of each threshold, its variance and its peak from the pixels' maps; two connected layers turn
    these into the logit of each count. With width 16 and 4 thresholds it has 150,656 parameters,
    with depth 3 194,576.

    Args:
        model: `width` is the number of maps of the first layer; `depth` the number of halvings.
        tiles: the tiles' size, margin and thresholds.
        seed: of the weights, which are normal with a variance of 2 over the number of inputs.
    """
    import keras

    layers, number = keras.layers, iter(range(1, 16))

    def start() -> Any:
        return keras.initializers.HeNormal(seed=(seed * 16 + next(number)) % 2**63)

    def convolution(maps: Any, width: int, side: int, name: str, **words: Any) -> Any:
        words = {"padding": "same", "activation": "relu", **words}
        return layers.Conv2D(width, side, name=name, kernel_initializer=start(), **words)(maps)

    def connected(vector: Any, units: int, name: str, activation: str | None = "relu") -> Any:
        words = {"activation": activation, "kernel_initializer": start()}
        return layers.Dense(units, name=name, **words)(vector)

    def mean(maps: Any, name: str) -> Any:
        return layers.GlobalAveragePooling2D(name=name)(maps)

    def logarithm(shares: Any, name: str) -> Any:
        count = layers.Rescaling(tiles.size**2, offset=0.5, name=name)(shares)
        return keras.ops.log(count)

    width = model.width
    tile = keras.Input((tiles.window, tiles.window, 1), name="tile")
    maps = convolution(tile, width, 3, "conv1")
    maps = layers.AveragePooling2D(2, name="pool1")(maps)
    half = convolution(maps, 2 * width, 3, "conv2")
    maps = layers.AveragePooling2D(2, name="pool2")(half)
    maps = convolution(maps, 3 * width, 3, "conv3")
    maps = convolution(maps, 3 * width, 3, "conv4")
    if model.depth > 2:
        quarter = maps
        maps = layers.AveragePooling2D(2, name="pool3")(maps)
        maps = convolution(maps, 3 * width, 3, "deep1")
        maps = convolution(maps, 3 * width, 3, "deep2")
        maps = convolution(maps, 3 * width, 1, "deep3", activation=None)
        maps = layers.UpSampling2D(2, name="raised")(maps)
        maps = layers.Add(name="deepened")([maps, quarter])
        maps = layers.Activation("relu", name="quarter")(maps)
    maps = convolution(maps, 2 * width, 1, "conv5", activation=None)
    maps = layers.UpSampling2D(2, name="wide")(maps)
    maps = layers.Add(name="both")([maps, half])
    padding = "same"
    if tiles.margin:  # keep one pixel of surroundings: the last convolution needs no zeros
        maps = layers.Cropping2D(tiles.margin // 2 - 1, name="inner")(maps)
        padding = "valid"
    maps = layers.Activation("relu", name="sum")(maps)
    maps = convolution(maps, 2 * width, 3, "conv6", padding=padding)
    thresholds = len(tiles.thresholds)
    logits = convolution(maps, thresholds, 1, "pixel_logits", activation=None)
    features = mean(convolution(maps, FEATURES, 1, "features"), "features_mean")
    pixels = layers.Activation("sigmoid", name="pixels")(logits)
    share = mean(pixels, "share")
    square = mean(layers.Multiply(name="squares")([pixels, pixels]), "square")
    variance = layers.Subtract(name="variance")([share, square])
    bright = mean(layers.Activation("relu", name="bright")(logits), "brightness")
    peak = layers.GlobalMaxPooling2D(name="peak")(logits)
    expected = logarithm(share, "count")
    seen = [share, expected, logarithm(variance, "count_variance"), bright, peak, features]
    units = connected(layers.Concatenate(name="seen")(seen), UNITS, "hidden1")
    units = connected(units, UNITS, "hidden2")
    units = layers.Concatenate(name="hidden")([units, expected])
    steps = levels(tiles.size)
    counts = connected(units, thresholds * len(steps), "counted", activation=None)
    counts = layers.Reshape((thresholds, len(steps)), name="count_logits")(counts)
    counts = layers.Activation("sigmoid", name="counts")(counts)
    return keras.Model(tile, [counts, pixels], name=NAME)


def is_counts(network: Any) -> bool:
    """Return whether a Keras model has the outputs of `build`, not those of the paper's network."""
    return isinstance(network.output, list)


def in_precision(network: Any, precision: str) -> Any:
    """Return a copy of the network that computes its convolutions in float16 or bfloat16.

    The copy has its own variables. They stay float32, and so does what follows the maps.
    """
    import keras

    if precision == "float32":
        return network

    def same(layer: Any) -> Any:
        described = layer.get_config()
        if layer.name in MAPS:
            described["dtype"] = f"mixed_{precision}"
        return type(layer).from_config(described)

    return keras.models.clone_model(network, clone_function=same)


def before_sigmoid(network: Any) -> Any:
    """Return the same network, on the same variables, with logits as outputs."""
    import keras

    outputs = [network.get_layer(name).output for name in ("count_logits", "pixel_logits")]
    return keras.Model(network.input, outputs)
