"""The stage mock under mpirun: any number of ranks writes the same bytes, a killed run goes on."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.fields import contents
from support.launch import end, mpirun, start, told
from support.simulations import cube

OPTIONS = {
    "sky.mesh": 24,
    "sky.sides": "[40, 60]",
    "sky.reach": 6,
    "sky.steps": 6,
    "sky.seeds": "[1, 2, 3]",
    "sky.snapshots": "[0.05, 0.1]",
    "sky.z_far": 0.1,
    "sky.efficiency": 0.05,
    "instrument.pixels": 150,
    "instrument.pixel_scale": 100,
    "instrument.beam": 100,
}
IMAGES = 4
TIMEOUT = 280  # seconds; 15 on idle cores
ENZO = Path(os.environ.get("REAL_GRIDS", Path(__file__).parents[3] / "shared" / "data" / "enzo"))

pytestmark = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun")


def words(out, *more, images=IMAGES):
    changes = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    return ["mock", "--out", out, "--images", images, *changes, *more]


def mock(ranks, out, *more, images=IMAGES):
    """Run `cosmodeep mock` on a number of ranks to its end."""
    done = mpirun(ranks, *words(out, *more, images=images), timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one rank makes; not to be changed."""
    out = tmp_path_factory.mktemp("alone")
    mock(1, out)
    return out


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_write_the_bytes_of_one(alone, tmp_path, ranks):
    mock(ranks, tmp_path)
    found = contents(tmp_path)
    assert sum(name.startswith("boxes/") for name in found) == 6
    for kind in ("sky", "noise", "halos"):
        assert sum(name.startswith(f"{kind}-") for name in found) == IMAGES
    assert found == contents(alone)


def test_ranks_finish_what_one_began(alone, tmp_path):
    (tmp_path / "boxes").mkdir()
    names = ("boxes/box-40-2.h5", "sky-00001.fits", "noise-00001.fits", "halos-00002.fits")
    for name in names:
        shutil.copy(alone / name, tmp_path / name)
    mock(2, tmp_path)
    assert contents(tmp_path) == contents(alone)


def killed(ranks, folder, sign):
    """Start a run, send SIGKILL to all of its processes once a file is there; whether it hit."""
    job = start(ranks, *words(folder))
    deadline = time.monotonic() + 100
    while not list(folder.glob(sign)):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    end(job)
    job.communicate()
    return job.returncode != 0 and len(list(folder.glob("noise-*.fits"))) < IMAGES


@pytest.mark.parametrize("ranks, sign", [(2, "boxes/box-*.h5"), (1, "sky-*.fits")])
def test_a_killed_run_goes_on_to_the_same_bytes(alone, tmp_path, ranks, sign):
    """SIGKILL to all of its processes when the first box, or the first image, is there."""
    for attempt in range(5):  # on a busy machine a run may end before it is hit
        folder = tmp_path / str(attempt)
        folder.mkdir()
        if killed(ranks, folder, sign):
            break
    else:
        pytest.fail("no run was killed in time")
    left = contents(folder)
    assert {name: contents(alone)[name] for name in left if name.endswith((".fits", ".h5"))} == {
        name: digest for name, digest in left.items() if name.endswith((".fits", ".h5"))
    }
    whole = [*folder.glob("boxes/box-*.h5")]  # and pairs: a half one is made again
    whole += [p for p in folder.glob("sky-*.fits") if p.with_name(f"noise{p.name[3:]}").exists()]
    kept = {path: path.stat().st_mtime_ns for path in whole}
    mock(3 - ranks, folder)
    assert contents(folder) == contents(alone)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_skies_to_test_on_are_the_same_on_ranks(alone, tmp_path):
    for ranks in (1, 2):
        mock(ranks, tmp_path / str(ranks), "--test", "--sky.test_seeds", "[4]", images=2)
    found = contents(tmp_path / "1")
    assert found == contents(tmp_path / "2")
    assert not {d for d in found.values()} & {d for d in contents(alone).values()}


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cubes")
    near = [cube(folder / f"near-{z}.h5", 40, z, magnetic=1e-6) for z in (0.05, 0.1)]
    return [*near, cube(folder / "far.h5", 60, 0.1, attributes={"OmegaM": 0.25})]


def test_simulations_give_the_same_images_on_ranks(cubes, tmp_path):
    for ranks in (1, 2):
        said = mock(ranks, tmp_path / str(ranks), "--simulation", *cubes, images=2)
        notes = [line for line in said.splitlines() if "another cosmology" in line]
        assert len(notes) == 1 and "far.h5" in notes[0] and "Omega_m = 0.25" in notes[0]
    found = contents(tmp_path / "1")
    assert [name for name in found if name.startswith("boxes/")] == [
        "boxes/simulation-40-0.h5",
        "boxes/simulation-60-0.h5",
    ]
    assert found == contents(tmp_path / "2")
    assert fits.getdata(tmp_path / "1" / "sky-00000.fits").max() > 0


@pytest.mark.skipif(not ENZO.is_dir(), reason=f"no simulations in {ENZO}")
def test_an_enzo_dump_is_read_on_ranks(tmp_path):
    """An open dataset of yt cannot go from rank to rank: each opens its own."""
    pytest.importorskip("yt", reason="yt reads dumps of Enzo")
    dump = ENZO / "native_64" / "RD0002"
    mock(2, tmp_path, "--simulation", dump, images=2)
    for index in (0, 1):
        assert fits.getdata(tmp_path / f"sky-{index:05d}.fits").any()


def bare(path):
    path.write_text("not a simulation\n")
    return path


REFUSED = {
    "missing field": (
        lambda p: cube(p, 40, 0.1, spoil={"velocity_y": None}),
        "no field velocity_y",
    ),
    "wrong unit": (
        lambda p: cube(p, 40, 0.1, spoil={"density": "K"}),
        "dataset density is in 'K', which is not a unit of density",
    ),
    "comoving": (
        lambda p: cube(p, 40, 0.1, spoil={"density": "kg/m**3"}),
        "the mean gas density is 0.001 times that of all baryons",
    ),
    "not cosmological": (
        lambda p: cube(p, 40, 0.1, attributes={"redshift": None}),
        "no redshift, so not a cosmological box",
    ),
    "no size": (
        lambda p: cube(p, 40, 0.1, attributes={"box_comoving_Mpc": None}),
        "no size of the box",
    ),
    "not HDF5": (bare, "neither an HDF5 cube with a dataset 'density' nor a file that yt loads"),
    "absent": (lambda p: p, "no such file"),
    "NaN density": (lambda p: cube(p, 40, 0.1, spoil={"density": np.nan}), "density, planes "),
    # found by the rank that makes the box, not when files are looked at
    "NaN temperature": (
        lambda p: cube(p, 40, 0.1, spoil={"temperature": np.nan}),
        "temperature, planes ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_simulation_that_cannot_be_used_is_one_line_on_two_ranks(cubes, tmp_path, case):
    spoil, said = REFUSED[case]
    bad = spoil(tmp_path / "bad.h5")
    done = mpirun(2, *words(tmp_path / "out", "--simulation", cubes[0], bad, images=1))
    assert done.returncode == 2, done.stdout
    lines = told(done)
    assert len(lines) == 1 and str(bad) in lines[0] and said in lines[0], done.stdout
    assert "Traceback" not in done.stdout and "MPI_ABORT" not in done.stdout
    assert not list((tmp_path / "out").glob("**/*.fits"))


def test_a_refusal_ends_every_rank(tmp_path):
    (tmp_path / "taken").write_text("")
    done = mpirun(2, *words(tmp_path / "taken"))
    assert done.returncode == 2, done.stdout
    assert "taken" in done.stdout and "Traceback" not in done.stdout
