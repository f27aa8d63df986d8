"""The stage on simulations of others: their boxes, halos and fields, real ones and made by hand."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from support.fields import contents
from support.heard import heard
from support.simulations import cube

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.sky import Instrument, Sky
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky import mock

CONFIG = Config(
    sky=Sky(z_far=0.1, efficiency=0.05, faintest=0.0),
    instrument=Instrument(pixels=120, pixel_scale=120.0, beam=120.0),
)
ENZO = Path(os.environ.get("REAL_GRIDS", Path(__file__).parents[3] / "shared" / "data" / "enzo"))


@pytest.mark.skipif(not ENZO.is_dir(), reason=f"no simulations in {ENZO}")
def test_the_real_cubes_make_a_sky(tmp_path, world):
    """Three sides, of one three snapshots; light stands where the halos are."""
    sky = Sky(z_far=0.25, efficiency=0.05, faintest=0.0)
    config = Config(sky=sky, instrument=Instrument(pixels=200, pixel_scale=96.0, beam=96.0))
    mock.run(config, tmp_path, 1, world, simulation=sorted(ENZO.glob("*.h5")))
    boxes = sorted(path.name for path in (tmp_path / "boxes").iterdir())
    assert boxes == [f"simulation-{side}-0.h5" for side in (100, 200, 50)]
    with h5py.File(tmp_path / "boxes" / "simulation-50-0.h5") as file:
        assert [round(file[name].attrs["redshift"], 2) for name in file] == [0.05, 0.2, 0.5]
        # a seed of 1 nG, compressed: far below what the options would give
        assert np.nanmax(file["snapshot-0/field"]) < 0.5
    image, halos = (
        fits.getdata(tmp_path / "sky-00000.fits"),
        Table.read(tmp_path / "halos-00000.fits"),
    )
    assert image.max() > 0 and len(halos) > 50
    row, column = np.mgrid[1:201, 1:201]
    light = []
    for x in (halos["X"], 201 - halos["X"]):  # as they are, and mirrored
        discs = np.zeros(image.shape, bool)
        for place in zip(x[:30], halos["Y"], halos["THETA100"], strict=False):
            discs |= np.hypot(column - place[0], row - place[1]) * 96 < place[2]
        light.append(image[discs].mean() / image.mean())
    assert light[0] > 2 and light[0] > 3 * light[1]


@pytest.mark.parametrize("test, split", [(False, "train"), (True, "test")])
def test_a_simulation_of_the_users_own(tmp_path, world, test, split):
    """Boxes and halos of the cube; tested on, it is turned otherwise and has other noise."""
    path = cube(tmp_path / "mine.h5", 40, 0.05, magnetic=1e-6, attributes={"OmegaM": 0.25})
    calls = []
    out = tmp_path / "out"
    with heard() as notes:
        mock.run(CONFIG, out, 2, world, progress=lambda *call: calls.append(call), test=test,
                 simulation=[path])  # fmt: skip
    assert [p.name for p in (out / "boxes").iterdir()] == ["simulation-40-0.h5"]
    assert len(notes) == 1 and "mine.h5: another cosmology: Omega_m = 0.25" in notes[0]
    assert calls[0][:2] == (0, 1) and calls[-1][:2] == (2, 2)
    assert all(done < total for done, total, *_ in calls[:-1])  # a bar that is full says no more
    for index in (0, 1):
        sky, header = fits.getdata(out / f"sky-{index:05d}.fits", header=True)
        assert (sky >= 0).all() and sky.max() > 0
        assert (header["SPLIT"], header["INDEX"], header["BUNIT"]) == (split, index, "Jy/arcsec2")
        halos = Table.read(out / f"halos-{index:05d}.fits")
        assert len(halos) > 3 and set(halos["BOX"]) == {"simulation-40-0.h5"}
    before = contents(out)
    mock.run(CONFIG, out, 2, world, test=test, simulation=[path])
    assert contents(out) == before


def test_a_simulation_in_the_folder_of_another_sky_is_refused(tmp_path, world):
    one, other = (cube(tmp_path / f"{name}.h5", 40, 0.05) for name in ("one", "other"))
    mock.run(CONFIG, tmp_path / "out", 1, world, simulation=[one])
    before = contents(tmp_path / "out")
    for simulation in ([], [other]):
        with pytest.raises(InputError, match="made by another configuration"):
            mock.run(CONFIG, tmp_path / "out", 1, world, simulation=simulation)
    assert contents(tmp_path / "out") == before


def test_a_test_sky_of_a_simulation_shares_no_noise_with_the_other(tmp_path, world):
    path = cube(tmp_path / "mine.h5", 40, 0.05)
    for test in (False, True):
        mock.run(CONFIG, tmp_path / str(test), 1, world, test=test, simulation=[path])
    skies, noises = (
        [fits.getdata(tmp_path / str(test) / f"{kind}-00000.fits") for test in (False, True)]
        for kind in ("sky", "noise")
    )
    assert not np.array_equal(*skies)
    rest = [noises[i] - Beam(120, 120).convolve(skies[i].astype(np.float32), 120.0) for i in (0, 1)]
    assert abs(np.corrcoef(rest[0].ravel(), rest[1].ravel())[0, 1]) < 6 / 120
