"""Injections give the same bytes on any number of ranks, and end on all of them with one error."""

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter
from support.findings import sky
from support.launch import mpirun

SOURCES = ("--inject.sizes", "[45,60]", "--inject.fluxes", "[1,5]", "--inject.count", "3")


@pytest.fixture
def image(tmp_path):
    noise = gaussian_filter(np.random.default_rng(5).normal(size=(240, 240)), 1.3, mode="wrap")
    header = sky((240, 240), pixel=5.0, BMAJ=15 / 3600, BMIN=15 / 3600)
    pixels = (1e-5 * noise / noise.std()).astype(np.float32)
    fits.writeto(tmp_path / "field.fits", pixels, header)
    return tmp_path / "field.fits"


def test_the_same_bytes_on_any_ranks(image, tmp_path):
    found = []
    for ranks in (1, 3):
        out = tmp_path / str(ranks)
        job = mpirun(ranks, "inject", image, "--out", out, *SOURCES, "--quiet")
        assert job.returncode == 0, job.stdout
        found.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(found[0]) == 5 and found[0] == found[1]


def test_bad_usage_ends_all_ranks_with_one_line(image, tmp_path):
    job = mpirun(2, "inject", image, "--out", tmp_path / "out", "--at", "10 +80")
    assert job.returncode == 2
    assert job.stdout.count("lies outside of it") == 1
