"""Every kind of file through the whole sweep: swept, or refused by name and nothing left."""

import json
import math

import numpy as np
import pytest
from astropy.io import fits
from support import sweeping
from support.fields import NOISE, write
from support.models import brightest_pixel_model
from support.sweeping import sweep_with
from support.zoo import BAD, GOOD

from cosmodeep_hpc.config.survey import ALL_PRODUCTS
from cosmodeep_hpc.images.mosaic import open_mosaic
from cosmodeep_hpc.survey.plan import SweepRequest

# By what the products must follow: axes and their order, HDU, packing, the sky.
WRITTEN = [
    "axes-dec-freq-ra",
    "axes-freq-stokes-ra-dec",
    "axes-ra-dec-stokes-freq",
    "axes-ra-stokes-dec-of-one",
    "compressed-cube",
    "galactic",
    "named-hdu",
    "packed-cube",
    "zero-border",
]


@pytest.fixture(scope="module")
def model():
    return brightest_pixel_model()


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_swept(name, model, tmp_path):
    case = GOOD[name]
    path = case.make(tmp_path)
    swept = sweeping.swept(path, model, SweepRequest(hdu=case.hdu), any_scale=True)
    assert len(swept.planes) == case.planes
    for number, plane in enumerate(swept.planes):
        with_data = np.isfinite(case.expected(number)) & (case.expected(number) != 0)
        rows, cols = (range(0, n, 40) for n in with_data.shape)
        share = [[with_data[y : y + 40, x : x + 40].mean() for x in cols] for y in rows]
        np.testing.assert_allclose(plane.tiles.coverage, share, rtol=1e-6)
        assert (np.isnan(plane.probability) == (np.array(share) < 0.5)).all()
    assert not [p for p in (tmp_path / "out").iterdir()]  # what was unpacked is gone


@pytest.mark.parametrize("name", WRITTEN)
def test_products_keep_the_axes_of_the_file(name, model, tmp_path):
    case, out = GOOD[name], tmp_path / "out"
    path = case.make(tmp_path)
    options = {"any_scale": True, "products": ALL_PRODUCTS}
    (outcome,) = sweep_with(model, [path], out, SweepRequest(hdu=case.hdu), **options)
    assert outcome.state == "done", outcome.notes
    assert len(list(out.iterdir())) == len(ALL_PRODUCTS) + 1 and outcome.mask.exists()  # the record
    axes = open_mosaic(path, hdu=case.hdu).axes
    with fits.open(outcome.mask) as file:
        assert file[0].data.shape == axes
        assert set(np.unique(file[0].data)) <= {0, 1, 255}
    record = json.loads((out / f"{outcome.mask.name.split('.')[0]}.json").read_text())
    assert math.prod(record["grid"]["shape"]) * case.planes == outcome.cells


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["padded", "no BPA", "nebula", "only sources"])
def test_what_other_finders_fail_or_hang_on_simply_finishes(kind, model, tmp_path):
    """A padded circle of data, a beam without BPA, a nebula over all of it, and no empty sky."""
    y, x = np.mgrid[:600, :600]
    pixels = np.random.default_rng(2).normal(0, NOISE, (600, 600))
    cards = {}
    if kind == "padded":
        pixels[np.hypot(y - 300, x - 300) > 250] = 0
    elif kind == "no BPA":
        cards["BPA"] = None
    elif kind == "nebula":
        pixels += 1e4 * NOISE * np.exp(-((y - 300) ** 2 + (x - 300) ** 2) / (2 * 200.0**2))
    else:
        pixels += 1e3 * NOISE * (np.sin(x / 3) * np.sin(y / 3)) ** 2
    path = write(tmp_path / "image.fits", pixels.astype(np.float32), **cards)
    (outcome,) = sweep_with(model, [path], tmp_path / "out", SweepRequest())
    assert outcome.state == "done", outcome.notes
    mask = fits.getdata(outcome.mask)
    assert (mask[280:320, 280:320] == 255).sum() == 0
    assert (mask[:40, :40] == 255).all() == (kind == "padded")


def test_bad_files_are_refused_by_name_and_leave_nothing(model, tmp_path):
    paths = [case.make(tmp_path) for case in BAD.values()]
    for hdu in {case.hdu for case in BAD.values()}:
        chosen = [p for p, case in zip(paths, BAD.values(), strict=True) if case.hdu == hdu]
        outcomes = sweep_with(model, chosen, tmp_path / "out", SweepRequest(hdu=hdu))
        for path, outcome in zip(chosen, outcomes, strict=True):
            assert outcome.state == "failed", path
            assert outcome.notes[0].startswith(str(path)), outcome.notes
            assert "\n" not in outcome.notes[0]
    assert not list((tmp_path / "out").iterdir())
