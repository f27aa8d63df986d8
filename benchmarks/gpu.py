"""`python -m benchmarks.gpu`: the Keras model on a GPU by JAX, training step and inference.

    pip install 'jax[cuda13]' keras numpy
    python -m benchmarks.gpu                  # about three minutes, of which compiling is most

The network is `network.build`'s, run as Keras describes it, on tiles held on the GPU. A step is
forward, backward and Adam; the paper's batch is 100 tiles. Times are the median of a few rounds of
many steps, each round waited for. Precision: float32 throughout; TF32, a GPU's short
multiplication; bfloat16, Keras' mixed precision. `--platform cpu` tries it without a GPU.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZE = 40
IMAGE = 2500  # tiles of 2000 x 2000 pixels
EPOCH = 35_000  # tiles of the paper's training
PRECISIONS = ("float32", "tf32", "bfloat16")


def median(action: Callable[[], Any], calls: int, rounds: int) -> float:
    """Return the seconds of a call: the median over rounds of `calls` calls, to their end."""
    import jax

    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        for _ in range(calls):
            last = action()
        jax.block_until_ready(last)
        taken.append((time.perf_counter() - start) / calls)
    return statistics.median(taken[1:])  # the first round compiles


class Training:
    """Training steps of the Keras model, with weights and optimizer kept on the GPU."""

    def __init__(self, net: Any, batch: int) -> None:
        """Draw a batch; the first step compiles."""
        import jax
        import jax.numpy as jnp
        import keras

        optimizer = keras.optimizers.Adam(7e-5)
        optimizer.build(net.trainable_variables)
        entropy = keras.losses.SparseCategoricalCrossentropy()

        def loss(trained: Any, fixed: Any, tiles: Any, labels: Any) -> Any:
            found, fixed = net.stateless_call(trained, fixed, tiles, training=True)
            return entropy(labels, found), fixed

        def step(state: Any, tiles: Any, labels: Any) -> Any:
            trained, fixed, moments = state
            (value, fixed), slopes = jax.value_and_grad(loss, has_aux=True)(
                trained, fixed, tiles, labels
            )
            trained, moments = optimizer.stateless_apply(moments, slopes, trained)
            return (trained, fixed, moments), value

        random = np.random.default_rng(1)
        self._step = jax.jit(step, donate_argnums=0)
        self._state: Any = tuple(
            [jnp.array(v.value) for v in part]
            for part in (net.trainable_variables, net.non_trainable_variables, optimizer.variables)
        )
        self._tiles = jnp.asarray(random.normal(size=(batch, SIZE, SIZE, 1)).astype(np.float32))
        self._labels = jnp.asarray(random.integers(0, 2, batch))

    def __call__(self) -> Any:
        """Do one step and return its loss."""
        self._state, value = self._step(self._state, self._tiles, self._labels)
        return value


def inference(net: Any, batch: int) -> Callable[[], Any]:
    """Return a function for the probabilities of a batch held on the GPU."""
    import jax
    import jax.numpy as jnp

    tiles = np.random.default_rng(1).normal(size=(batch, SIZE, SIZE, 1)).astype(np.float32)
    held = jnp.asarray(tiles)
    weights = (
        [v.value for v in net.trainable_variables],
        [v.value for v in net.non_trainable_variables],
    )
    forward = jax.jit(lambda w, x: net.stateless_call(*w, x, training=False)[0][:, 1])
    return lambda: forward(weights, held)


def main() -> None:
    """Time all precisions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--platform", default="", help="cpu, cuda; default: JAX's choice")
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--calls", type=int, default=100, help="calls of a round")
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    if words.platform:
        jax.config.update("jax_platforms", words.platform)
    import keras

    from cosmodeep_hpc.config.configuration import load
    from cosmodeep_hpc.learn import network

    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, Keras {keras.__version__}")
    print(f"{'precision':10} {'batch':>6} {'step':>10} {'tiles/s':>11} {'35,000 x 50':>12}", end="")
    print(f" {'inference':>10} {'tiles/s':>11} {'images/s':>9}", flush=True)
    for precision in words.precisions:
        short = precision == "tf32"
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if short else "float32")
        mixed = precision == "bfloat16"
        keras.mixed_precision.set_global_policy("mixed_bfloat16" if mixed else "float32")
        for batch in words.batches:
            net = network.build(load(None, []).model, SIZE, 1)
            found = median(inference(net, batch), words.calls, words.rounds)
            step = median(Training(net, batch), words.calls, words.rounds)
            whole = EPOCH * 50 / batch * step
            print(
                f"{precision:10} {batch:6d} {step * 1e3:7.3f} ms {batch / step:11,.0f} "
                f"{whole:10.1f} s {found * 1e3:7.3f} ms {batch / found:11,.0f} "
                f"{batch / found / IMAGE:9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
