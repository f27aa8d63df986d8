"""Any number of ranks makes the same tile set, byte for byte."""

import numpy as np
import pytest
from support.fields import NOISE, blobs, write
from support.launch import mpirun

from cosmodeep_hpc.tiles.tileset import read_tileset


@pytest.fixture(scope="module")
def odd_pairs(tmp_path_factory):
    """Images of odd and different sizes, some with NaN: stripes, a corner, single pixels."""
    folder = tmp_path_factory.mktemp("odd")
    for number, shape in enumerate([(127, 203), (80, 80), (201, 99), (40, 41), (163, 120)]):
        random = np.random.default_rng(number)
        sky = blobs(shape, 6, number)
        noise = sky + random.normal(0, NOISE, shape).astype(np.float32)
        if number % 2 == 0:
            noise[:7] = np.nan
            noise[-30:, -30:] = np.nan
            noise[random.integers(0, shape[0], 3), random.integers(0, shape[1], 3)] = np.nan
        write(folder / f"sky-{number}.fits", sky)
        write(folder / f"noise-{number}.fits", noise)
    return folder


def made(ranks, images, out):
    """The files of a tile set made by this many ranks, by name."""
    words = ["--tiles.images_per_shard", 1, "--tiles.keep_sky", "true"]
    job = mpirun(ranks, "tiles", "--images", images, "--out", out, *words, timeout=60)
    assert job.returncode == 0, job.stdout
    assert job.stdout.count("tiles of 5 images in 5 shards") == 1  # rank 0 alone speaks
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_the_same_bytes(odd_pairs, tmp_path):
    alone = made(1, odd_pairs, tmp_path / "1")
    assert len(alone) == 7 and "index.json" in alone  # five shards, index, configuration
    tileset = read_tileset(tmp_path / "1")
    assert tileset.n_rows > 0 and all(image.left_out for image in tileset.images[::2])
    for ranks in (2, 4):
        together = made(ranks, odd_pairs, tmp_path / str(ranks))
        assert together.keys() == alone.keys()
        for name, content in alone.items():
            assert together[name] == content, f"{name} of {ranks} ranks differs"
