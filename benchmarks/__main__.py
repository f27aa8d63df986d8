"""`python -m benchmarks`: images to tiles, and a sweep, each beside another way in the same run.

`make bench` goes on with `benchmarks.tile_store` and `benchmarks.training`.

Machines are noisy and differ; the ratio of two timings taken one after the other carries over.
Each timing is the best of a few repetitions.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.images import write_pair
from cosmodeep_hpc import runtime
from cosmodeep_hpc.config import Config, load
from cosmodeep_hpc.learn import modelfile, network
from cosmodeep_hpc.survey import sweep
from cosmodeep_hpc.tiles.fits.image import open_image
from cosmodeep_hpc.tiles.preprocessing import Preprocessing
from cosmodeep_hpc.world import World, open_world


def best(*actions: Callable[[], object], repetitions: int = 5) -> list[float]:
    """The shortest of a few timings of each action [s], taken in turn."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repetitions):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def report(what: str, value: str, against: str, ratio: float) -> None:
    """One line of the table."""
    print(f"{what:42} {value:>22}   {against:30} {ratio:6.2f}", flush=True)


def preprocessing(folder: Path) -> None:
    """Scaling a 2000 x 2000 image, against the formula written down in float64."""
    image = open_image(folder / "noise-00000.fits")
    pixels = image.pixels()
    for scaling in ("minmax", "asinh"):
        ours = Preprocessing(scaling=scaling, floor=1e-11, ceiling=1e-2, tile_size=40)
        level = ours.measure(image, pixels)
        wide = pixels.astype(np.float64)

        def formula(wide: np.ndarray = wide, scaling: str = scaling, level=level) -> np.ndarray:
            if scaling == "asinh":
                return np.arcsinh(wide / level.sigma)
            logs = np.log10(np.where(wide < 1e-11, 1e-11, wide))
            return (logs - logs.min()) / (logs.max() - logs.min())

        mine, plain = best(lambda o=ours, x=level: o.apply(pixels.copy(), x), formula)
        report(
            f"preprocessing, {scaling}", f"{mine * 1e3:.0f} ms an image", "float64", plain / mine
        )


def classifying(folder: Path, config: Config, world: World) -> None:
    """A sweep of one image, file to products, against the bare network on as many tiles."""
    net = network.build(config.model, 40, 1)
    card = modelfile.Card(
        preprocessing=Preprocessing.of(config.tiles),
        f_th=1e-7,
        n_pix=40,
        threshold=0.5,
        pixel_scale=9.6,
        noise_rms=0.88e-7,
        trained_on=(),
        seed=1,
    )
    modelfile.save(folder / "model.keras", net, card)
    image = open_image(folder / "noise-00000.fits")
    trained = modelfile.load(folder / "model.keras")
    level = card.preprocessing.measure(image)
    plan = sweep.stripes(image, trained, config.classify.batch)
    shape = (config.classify.batch, 40, 40, 1)
    tiles = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    count = (image.shape[0] // 40) * (image.shape[1] // 40)
    batches = -(-count // len(tiles))
    ours, bare = best(
        lambda: sweep.sweep(trained, image, level, plan, config.classify, world),
        lambda: [net.predict_on_batch(tiles) for _ in range(batches)],
    )
    report("classifying", f"{count / ours:.0f} tiles/s", "bare network, same batches", bare / ours)


def main() -> None:
    """Run all of them."""
    config = load(None, [("tiles.images_per_shard", "2"), ("tiles.validation", "0")])
    world = open_world()
    print(f"{'what':42} {'here':>22}   {'ratio to':30} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pair(folder, 0, 2000)
        preprocessing(folder)
        runtime.start_tensorflow(world)
        classifying(folder, config, world)


if __name__ == "__main__":
    main()
