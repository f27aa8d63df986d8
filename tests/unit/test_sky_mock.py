"""The stage on a small box: files, headers, seeds, going on after a stop, and refusals."""

import dataclasses
import hashlib

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cosmodeep_hpc.config import Config, Instrument, Sky
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky import box, mock
from cosmodeep_hpc.sky.beam import Beam
from cosmodeep_hpc.world import open_world

SKY = Sky(
    mesh=24,
    box=60.0,
    seeds=(1, 2),
    steps=6,
    snapshots=(0.1,),
    smoothing=1.0,
    z_far=0.08,
    efficiency=0.05,
    faintest=0.0,
)
CONFIG = Config(sky=SKY, instrument=Instrument(pixels=120, pixel_scale=120.0, beam=120.0))


@pytest.fixture(scope="module")
def world():
    return open_world()


@pytest.fixture(scope="module")
def made(tmp_path_factory, world):
    out = tmp_path_factory.mktemp("mock")
    mock.run(CONFIG, out, 2, world)
    return out


def contents(folder):
    """Digests of all files of a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changed(section, **options):
    """The configuration with other options in a section."""
    return dataclasses.replace(
        CONFIG, **{section: dataclasses.replace(getattr(CONFIG, section), **options)}
    )


def test_files(made):
    assert list(contents(made)) == [
        "boxes/box-1.h5",
        "boxes/box-2.h5",
        "config.json",
        "noise-00000.fits",
        "noise-00001.fits",
        "sky-00000.fits",
        "sky-00001.fits",
    ]


@pytest.mark.parametrize("name", ["sky", "noise"])
def test_headers(made, name):
    header = fits.getheader(made / f"{name}-00001.fits")
    assert header["BITPIX"] == -32 and (header["NAXIS1"], header["NAXIS2"]) == (120, 120)
    assert header["BUNIT"] == "Jy/arcsec2"
    assert (header["CTYPE1"], header["CTYPE2"]) == ("RA---SIN", "DEC--SIN")
    assert header["CDELT1"] == pytest.approx(-120 / 3600, rel=1e-12)
    assert header["CRPIX1"] == header["CRPIX2"] == 60.5
    assert header["RADESYS"] == "ICRS" and header["EQUINOX"] == 2000
    assert header["FREQ"] == header["RESTFRQ"] == 1.4e9
    assert header["SEED"] == 1 and header["INDEX"] == 1
    assert ("BMAJ" in header) == (name == "noise")
    if name == "noise":
        assert header["BMAJ"] * 3600 == header["BMIN"] * 3600 == pytest.approx(120)
        assert header["BPA"] == 0
    assert not any(str(made) in str(card) for card in header.cards)
    assert "DATE" not in header


def test_a_pair_shares_its_coordinates_and_pairs_do_not(made):
    centres = {
        (name, index): tuple(WCS(fits.getheader(made / f"{name}-{index:05d}.fits")).wcs.crval)
        for name in ("sky", "noise")
        for index in (0, 1)
    }
    assert centres["sky", 0] == centres["noise", 0] != centres["sky", 1] == centres["noise", 1]


def test_the_noise_image_is_the_sky_seen_by_the_telescope(made):
    for index in (0, 1):
        sky = fits.getdata(made / f"sky-{index:05d}.fits").astype(np.float32)
        noise = fits.getdata(made / f"noise-{index:05d}.fits")
        assert (sky >= 0).all() and sky.max() > 0
        beam = Beam(120, 120)
        rest = noise - beam.convolve(sky, 120.0)
        assert rest.std() * beam.area == pytest.approx(10e-6, rel=0.03)


def test_boxes_say_their_units_and_seed(made):
    with h5py.File(made / "boxes" / "box-2.h5") as file:
        assert file.attrs["seed"] == 2 and file.attrs["side"] == 60
        group = file["snapshot-0"]
        assert group.attrs["redshift"] == 0.1
        assert group["position"].attrs["unit"] == "Mpc (comoving)"
        assert group["temperature"].attrs["unit"] == "keV"
        assert group["position"].shape == (len(group["mach"]), 3)
        assert group["mach"].dtype == np.float32


def test_all_is_repeated_to_the_byte(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)


def test_a_stopped_run_goes_on_and_keeps_what_is_there(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world)
    kept = (tmp_path / "sky-00000.fits").stat().st_mtime_ns
    box_time = (tmp_path / "boxes" / "box-1.h5").stat().st_mtime_ns
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)
    assert (tmp_path / "sky-00000.fits").stat().st_mtime_ns == kept
    assert (tmp_path / "boxes" / "box-1.h5").stat().st_mtime_ns == box_time
    (tmp_path / "noise-00001.fits").unlink()  # half a pair is made again, whole
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)


def test_first_gives_the_same_image_alone(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world, first=1)
    assert not (tmp_path / "sky-00000.fits").exists()
    assert contents(tmp_path)["sky-00001.fits"] == contents(made)["sky-00001.fits"]


def test_a_cut_box_is_made_again(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world)
    path = tmp_path / "boxes" / "box-1.h5"
    path.write_bytes(path.read_bytes()[:1000])
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)


@pytest.mark.parametrize("section, options", [("sky", {"seed": 2}), ("sky", {"efficiency": 0.01}),
                                              ("instrument", {"noise_rms": 5.0})])  # fmt: skip
def test_other_options_in_the_same_folder_are_refused(made, world, section, options):
    before = contents(made)
    with pytest.raises(InputError, match="sky-00000.fits: made by another configuration"):
        mock.run(changed(section, **options), made, 2, world)
    assert contents(made) == before


def test_options_of_other_stages_do_not_matter(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world)
    mock.run(changed("train", epochs=3), tmp_path, 1, world)
    assert contents(tmp_path)["sky-00000.fits"] == contents(made)["sky-00000.fits"]


def test_seeds_give_other_images(made, tmp_path, world):
    mock.run(changed("sky", seed=2), tmp_path / "turned", 1, world)
    mock.run(changed("sky", seeds=(3, 4)), tmp_path / "boxes", 1, world)
    skies = [
        fits.getdata(folder / "sky-00000.fits")
        for folder in (made, tmp_path / "turned", tmp_path / "boxes")
    ]
    assert not np.array_equal(skies[0], skies[1])
    assert not np.array_equal(skies[0], skies[2])


def test_a_file_in_place_of_the_folder_is_named(tmp_path, world):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        mock.run(CONFIG, tmp_path / "taken", 1, world)


def test_progress_ends_with_all(tmp_path, world):
    calls = []
    mock.run(CONFIG, tmp_path, 2, world, progress=lambda *call: calls.append(call))
    assert calls[-1][:2] == (2, 2)
    assert all(done <= total == 2 for done, total, *_ in calls)
    assert any("box 1 of 2" in call[2] for call in calls if len(call) > 2)


def test_a_recipe_tells_boxes_apart():
    every = [box.recipes(s)[0].digest for s in (SKY, dataclasses.replace(SKY, mesh=18))]
    assert len(set(every + [box.recipes(SKY)[1].digest])) == 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mesh": 33}, "sky.mesh = 33: expected an even number"),
        ({"z_near": 0.3}, "sky.z_near = 0.3"),
        ({"seeds": ()}, "sky.seeds"),
        ({"seeds": (1, 1)}, "sky.seeds"),
        ({"snapshots": (60.0,)}, "sky.snapshots"),
        ({"efficiency": 0.0}, "sky.efficiency"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Sky(**options)
