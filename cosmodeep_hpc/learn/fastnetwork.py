"""The network of `network.build` in fewer operations, on the variables of the Keras model.

The Keras model is the definition: it is what is stored, and what this one is tested equal to.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from cosmodeep_hpc.learn import fastbackward


class FastNetwork:
    """The logits of tiles, for training on TensorFlow.

    Maxima are taken before bias and ReLU, which both rise monotonically: the same numbers, from a
    quarter (pyramid: a fortieth) of the pixels.

    Where several pixels of a bin are equally bright the gradient of their maximum is not unique.
    This network gives it to the first of them in row order, a bin at a time; the whole map's
    maximum shares it equally between the bins that reach it, where Keras shares it between all
    pixels that do. Both are subgradients. Pixels that are equal because the tile is flat around
    them have the same neighbours, so that the gradient with respect to the weights is the same.
    """

    def __init__(
        self, tf: Any, net: Any, *, precision: str = "float32", sparse: bool = False
    ) -> None:
        """Take the variables of a Keras model of `network.build`.

        Args:
            tf: the module `tensorflow`.
            net: the Keras model.
            precision: of the computation; the last layer is always float32.
            sparse: whether the pyramid's backward pass visits the maxima only: on CPUs, in
                float32, not under XLA. Ignored for the other head.
        """
        self._tf = tf
        self._type = tf.as_dtype(precision)
        self._pyramid = any(layer.name == "pool2_3x3" for layer in net.layers)
        self._sparse = sparse
        layers = [net.get_layer(name) for name in ("conv1", "conv2", "hidden", "logits")]
        self._parameters = [(layer.kernel.value, layer.bias.value) for layer in layers]
        self.variables = [variable for pair in self._parameters for variable in pair]
        """Kernel and bias of each layer in turn, as in the Keras model."""

    def logits(self, tiles: Any, keep: Any) -> Any:
        """Tiles (n, size, size) and the dropout mask (n, 1024) to float32 (n, 2)."""
        tf, kind = self._tf, self._type
        kernel, bias = self._of_layer(0)
        maps = tf.nn.conv2d(tf.cast(tiles, kind)[..., tf.newaxis], kernel, 1, "SAME")
        maps = tf.nn.relu(tf.nn.max_pool2d(maps, 2, 2, "SAME") + bias)
        return self.outputs(self.features(maps), keep)

    def features(self, maps: Any) -> Any:
        """The pooled maps of the first layer (n, i, j, 32) to what the dense layers see (n, m)."""
        tf = self._tf
        kernel, bias = self._of_layer(1)
        pooled = self._pooled(maps, kernel)
        if self._pyramid:
            whole = tf.reduce_max(pooled, axis=(1, 2), keepdims=True)
            cells = math.prod(pooled.shape[1:3])
            pooled = tf.reshape(pooled, (-1, cells, pooled.shape[3]))
            pooled = tf.concat([pooled, whole[:, 0]], axis=1)
        maps = tf.nn.relu(pooled + bias)
        return tf.reshape(maps, (-1, math.prod(maps.shape[1:])))

    def outputs(self, features: Any, keep: Any = None) -> Any:
        """Features (n, m) to logits, float32 (n, 2); without a dropout mask every unit is kept."""
        tf = self._tf
        kernel, bias = self._of_layer(2)
        units = tf.cast(tf.nn.relu(features @ kernel + bias), tf.float32)
        kernel, bias = self._parameters[3]
        return (units if keep is None else units * keep) @ kernel + bias

    def _of_layer(self, number: int) -> Any:
        """Kernel and bias of a layer in the precision of the computation."""
        return [self._tf.cast(variable, self._type) for variable in self._parameters[number]]

    def _pooled(self, maps: Any, kernel: Any) -> Any:
        """The second convolution without its bias, and its maxima (n, i, j, 64)."""
        tf = self._tf
        if not self._pyramid:
            return tf.nn.max_pool2d(tf.nn.conv2d(maps, kernel, 1, "SAME"), 2, 2, "SAME")
        side = math.ceil(maps.shape[1] / 3)
        if not self._sparse:
            return tf.nn.max_pool2d(tf.nn.conv2d(maps, kernel, 1, "SAME"), side, side, "SAME")

        threads = max(1, tf.config.threading.get_intra_op_parallelism_threads())

        @tf.custom_gradient
        def pooled(maps: Any, kernel: Any) -> Any:
            found = tf.nn.conv2d(maps, kernel, 1, "SAME")
            bins = tf.nn.max_pool2d(found, side, side, "SAME")

            def backward(d_bins: Any) -> tuple[Any, Any]:
                d_maps, d_kernel = tf.numpy_function(
                    partial(fastbackward.gradients, threads=threads),
                    [maps, kernel, found, bins, d_bins],
                    [tf.float32, tf.float32],
                    stateful=False,
                )
                return tf.ensure_shape(d_maps, maps.shape), tf.ensure_shape(d_kernel, kernel.shape)

            return bins, backward

        return pooled(maps, kernel)
