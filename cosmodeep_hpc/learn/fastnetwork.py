"""The network of `network.build` in fewer operations, on the variables of the Keras model.

The Keras model is the definition: it is what is stored, and tests hold this network against it.
"""

from __future__ import annotations

import math
from typing import Any

from cosmodeep_hpc.engine.convolutions import Convolutions, Weights


class FastNetwork:
    """The logits of tiles in TensorFlow's operations, and the parts that run on cores.

    Maxima are taken before bias and ReLU, which both rise monotonically: this gives the same
    numbers from a quarter (pyramid: a fortieth) of the pixels.

    If several pixels of a bin are equally bright, the gradient of their maximum is not unique. This
    network gives it to one pixel of each bin - on cores to the first in row order, as far as
    rounding leaves them equal. The maximum of the whole map shares it equally between the bins that
    reach it, where Keras shares it between all pixels that do. Both are subgradients. Pixels that
    are equal because the tile is flat around them have the same neighbours, so the gradient with
    respect to the weights is the same.
    """

    def __init__(self, tf: Any, net: Any, *, precision: str = "float32") -> None:
        """Take the variables of a Keras model of `network.build`.

        Args:
            tf: the module `tensorflow`.
            net: the Keras model.
            precision: of the computation; the last layer is always float32.
        """
        self._tf = tf
        self._type = tf.as_dtype(precision)
        self._pyramid = any(layer.name == "pool2_3x3" for layer in net.layers)
        self._size = int(net.input_shape[1])
        layers = [net.get_layer(name) for name in ("conv1", "conv2", "hidden", "logits")]
        self._parameters = [(layer.kernel.value, layer.bias.value) for layer in layers]
        self.variables = [variable for pair in self._parameters for variable in pair]
        """Kernel and bias of each layer in turn, as in the Keras model."""

    def logits(self, tiles: Any, keep: Any = None) -> Any:
        """Return logits float32 (n, 2) of tiles (n, size, size) with a dropout mask (n, 1024)."""
        tf, kind = self._tf, self._type
        kernel, bias = self._of_layer(0)
        maps = tf.nn.conv2d(tf.cast(tiles, kind)[..., tf.newaxis], kernel, 1, "SAME")
        maps = tf.nn.relu(tf.nn.max_pool2d(maps, 2, 2, "SAME") + bias)
        kernel, _ = self._of_layer(1)
        side = math.ceil(maps.shape[1] / 3) if self._pyramid else 2
        maxima = tf.nn.max_pool2d(tf.nn.conv2d(maps, kernel, 1, "SAME"), side, side, "SAME")
        return self.of_maxima(maxima, keep)

    def of_maxima(self, maxima: Any, keep: Any = None) -> Any:
        """Return logits float32 (n, 2) of the second layer's maxima (n, i, i, 64) without bias.

        Without a dropout mask every unit is kept.
        """
        tf = self._tf
        _, bias = self._of_layer(1)
        features = tf.reshape(maxima, (-1, math.prod(maxima.shape[1:3]), maxima.shape[3]))
        if self._pyramid:
            whole = tf.reduce_max(features, axis=1, keepdims=True)
            features = tf.concat([features, whole], axis=1)
        features = tf.nn.relu(features + bias)
        features = tf.reshape(features, (-1, math.prod(features.shape[1:])))
        kernel, bias = self._of_layer(2)
        units = tf.cast(tf.nn.relu(features @ kernel + bias), tf.float32)
        kernel, bias = self._parameters[3]
        return (units if keep is None else units * keep) @ kernel + bias

    def convolutions(self) -> Convolutions:
        """Return the convolutions that compute the maxima on this process's cores, in float32."""
        threads = max(1, self._tf.config.threading.get_intra_op_parallelism_threads())
        return Convolutions(self._size, pyramid=self._pyramid, threads=threads)

    def weights(self) -> Weights:
        """Return the current weights of the convolutions."""
        (first, bias), (second, _) = self._parameters[:2]
        return Weights.of(first.numpy(), bias.numpy(), second.numpy())

    def _of_layer(self, number: int) -> Any:
        """Return kernel and bias of a layer in the precision of the computation."""
        return [self._tf.cast(variable, self._type) for variable in self._parameters[number]]
