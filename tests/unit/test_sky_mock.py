"""The stage on a small box: files, headers, seeds, going on after a stop, and refusals."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from support.fields import contents

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.sky import Instrument, Sky
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky import mock

SKY = Sky(
    mesh=24,
    sides=(40.0, 60.0),
    reach=6.0,
    seeds=(1, 2),
    test_seeds=(3,),
    steps=6,
    snapshots=(0.05, 0.1),
    z_far=0.1,
    efficiency=0.05,
    faintest=0.0,
)
CONFIG = Config(sky=SKY, instrument=Instrument(pixels=120, pixel_scale=120.0, beam=120.0))


@pytest.fixture(scope="module")
def made(tmp_path_factory, world):
    out = tmp_path_factory.mktemp("mock")
    mock.run(CONFIG, out, 2, world)
    return out


@pytest.fixture(scope="module")
def tested(tmp_path_factory, world):
    """A sky to test on, of the same configuration."""
    out = tmp_path_factory.mktemp("tested")
    mock.run(CONFIG, out, 2, world, test=True)
    return out


def changed(section, **options):
    """The configuration with other options in a section."""
    return dataclasses.replace(
        CONFIG, **{section: dataclasses.replace(getattr(CONFIG, section), **options)}
    )


def test_files(made):
    images = [name for name in contents(made) if name.endswith((".h5", ".fits", "config.json"))]
    assert images == [
        "boxes/box-40-1.h5",
        "boxes/box-40-2.h5",
        "boxes/box-60-1.h5",
        "boxes/box-60-2.h5",
        "config.json",
        "halos-00000.fits",
        "halos-00001.fits",
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
    assert header["SEED"] == 1 and header["INDEX"] == 1 and header["SPLIT"] == "train"
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


def test_halos_stand_beside_their_pair(made):
    """In the table, on the sky and in the image they are at one place."""
    for index in (0, 1):
        path = made / f"halos-{index:05d}.fits"
        header, halos = fits.getheader(path), Table.read(path)
        image = fits.getheader(made / f"sky-{index:05d}.fits")
        for key in ("OBJECT", "SPLIT", "SEED", "INDEX", "CONFIG", "CREATOR"):
            assert header[key] == image[key]
        assert len(halos) > 3
        x, y = WCS(image).all_world2pix(halos["RA"], halos["DEC"], 1)
        np.testing.assert_allclose(np.stack([x, y]), [halos["X"], halos["Y"]], atol=1e-6)
        reach = halos["THETA100"] / 120
        for place in (halos["X"], halos["Y"]):
            assert (place > 0.5 - reach).all() and (place < 120.5 + reach).all()
        boxes = {f"box-{side}-{seed}.h5" for side in (40, 60) for seed in (1, 2)}
        assert set(halos["BOX"]) <= boxes
        assert not any(str(made) in str(card) for card in header.cards)


def test_all_is_repeated_to_the_byte(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)


def test_a_stopped_run_goes_on_and_keeps_what_is_there(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world)
    kept = (tmp_path / "sky-00000.fits").stat().st_mtime_ns
    box_time = (tmp_path / "boxes" / "box-40-1.h5").stat().st_mtime_ns
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)
    assert (tmp_path / "sky-00000.fits").stat().st_mtime_ns == kept
    assert (tmp_path / "boxes" / "box-40-1.h5").stat().st_mtime_ns == box_time
    for part in ("noise-00001.fits", "halos-00000.fits"):  # half a pair is made again, whole
        (tmp_path / part).unlink()
        mock.run(CONFIG, tmp_path, 2, world)
        assert contents(tmp_path) == contents(made)


LEAVES_ITS_LOCK = """
import os, sys
from pathlib import Path
from cosmodeep_hpc.parallel import locks
with locks.locked(Path(sys.argv[1])) as mine:
    assert mine
    os._exit(0)
"""


def test_a_lock_of_a_killed_process_does_not_stay(made, tmp_path, world):
    """It had made the box, and was killed before it gave the lock back."""
    mock.run(CONFIG, tmp_path, 2, world)
    path = tmp_path / "boxes" / "box-40-1.h5"
    subprocess.run([sys.executable, "-c", LEAVES_ITS_LOCK, path], check=True, timeout=60)
    assert (tmp_path / "boxes" / "box-40-1.h5.lock").exists()
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)


def test_first_gives_the_same_image_alone(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world, first=1)
    assert not (tmp_path / "sky-00000.fits").exists()
    for name in ("sky-00001.fits", "noise-00001.fits", "halos-00001.fits"):
        assert contents(tmp_path)[name] == contents(made)[name]


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(path.read_bytes()[:1000]),
    lambda path: path.write_text("not HDF5"),
    lambda path: path.unlink(),
])  # fmt: skip
def test_a_spoilt_box_is_made_again(made, tmp_path, world, spoil):
    mock.run(CONFIG, tmp_path, 1, world)
    spoil(tmp_path / "boxes" / "box-40-1.h5")
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)


def test_boxes_alone(made, tmp_path, world):
    calls = []
    mock.run(CONFIG, tmp_path, 0, world, progress=lambda *call: calls.append(call))
    kept = [f"boxes/box-{side}-{seed}.h5" for side in (40, 60) for seed in (1, 2)]
    assert contents(tmp_path) == {name: contents(made)[name] for name in [*kept, "config.json"]}
    assert calls[-1][:2] == (4, 4) and all(call[:2] < (4, 4) for call in calls[:-1])
    assert any("box 4 of 4 (box-60-2)" in call[2] for call in calls[:-1])
    mock.run(CONFIG, tmp_path, 2, world)
    assert contents(tmp_path) == contents(made)


def test_a_box_that_vanishes_meanwhile_is_named(tmp_path, world):
    """Another process cleaned up while boxes were made."""
    mock.run(CONFIG, tmp_path, 0, world)
    first = tmp_path / "boxes" / "box-40-1.h5"
    last = tmp_path / "boxes" / "box-60-2.h5"
    last.unlink()

    def clean(done, total, note=""):
        if "box-60-2" in note:
            first.unlink(missing_ok=True)

    message = "box-40-1.h5: no such box; run the same command again, which makes it"
    with pytest.raises(InputError, match=message):
        mock.run(CONFIG, tmp_path, 1, world, progress=clean)
    assert not list(tmp_path.glob("*.fits"))
    mock.run(CONFIG, tmp_path, 1, world)
    assert (tmp_path / "noise-00000.fits").exists()


def test_skies_to_test_on_share_no_box_and_no_noise(made, tested):
    """Other boxes, other fields, other noise, of the same seed and configuration."""
    assert sorted(p.name for p in (tested / "boxes").iterdir()) == ["box-40-3.h5", "box-60-3.h5"]
    rests, centres = [], []
    for folder, split in ((made, "train"), (tested, "test")):
        boxes = {path.name for path in (folder / "boxes").iterdir()}
        for index in (0, 1):
            header = fits.getheader(folder / f"noise-{index:05d}.fits")
            assert (header["SPLIT"], header["INDEX"]) == (split, index)
            assert set(Table.read(folder / f"halos-{index:05d}.fits")["BOX"]) <= boxes
            centres.append((header["CRVAL1"], header["CRVAL2"]))
            sky = fits.getdata(folder / f"sky-{index:05d}.fits").astype(np.float32)
            noise = fits.getdata(folder / f"noise-{index:05d}.fits")
            rests.append((noise - Beam(120, 120).convolve(sky, 120.0)).ravel())
    assert len(set(centres)) == 4
    alike = np.corrcoef(rests) - np.eye(4)
    # neighbouring pixels are alike a little: fewer independent ones than 120^2
    assert np.abs(alike).max() < 6 / 120


def test_a_sky_to_test_on_in_a_folder_to_train_on_is_refused(made, world):
    before = contents(made)
    with pytest.raises(InputError, match="made by another configuration: the same options, but"):
        mock.run(CONFIG, made, 1, world, first=7, test=True)
    assert contents(made) == before


@pytest.mark.parametrize("images, first", [(2, 0), (1, 2), (0, 0)])
@pytest.mark.parametrize(
    "section, options",
    [
        ("sky", {"seed": 2}),
        ("sky", {"efficiency": 0.01}),
        ("sky", {"field": 2.0}),
        ("instrument", {"noise_rms": 5.0}),
        ("effects", {"noise_edge": 2.0}),
        ("effects", {"point_sources": True}),
    ],
)
def test_other_options_in_the_same_folder_are_refused(made, world, section, options, images, first):
    """Whichever images are asked for, and boxes alone: a folder is of one configuration."""
    before = contents(made)
    ((name, value),) = options.items()
    earlier = getattr(getattr(CONFIG, section), name)
    message = rf"sky-0000\d.fits: made by another configuration: {section}.{name} {earlier}, now "
    with pytest.raises(InputError, match=f"{message}{value}; choose another --out"):
        mock.run(changed(section, **options), made, images, world, first=first)
    assert contents(made) == before


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "which one .*config.json does not say"),
        ({"effects": {"haze": 1}}, "effects.haze 1, now without"),  # an option of another version
        ([], "which one .*config.json does not say"),
    ],
)
def test_a_refused_folder_says_what_is_known_of_its_options(made, tmp_path, world, content, said):
    for path in made.glob("*-00000.fits"):
        shutil.copy(path, tmp_path)
    if content is not None:
        (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"made by another configuration: .*{said}"):
        mock.run(changed("sky", seed=2), tmp_path, 1, world)


def test_an_effect_leaves_the_sky_as_it_is_and_names_itself(made, tmp_path, world):
    mock.run(changed("effects", noise_edge=2.0), tmp_path, 1, world)
    skies, headers = zip(
        *(fits.getdata(f / "sky-00000.fits", header=True) for f in (made, tmp_path)), strict=True
    )
    np.testing.assert_array_equal(*skies)
    assert headers[0]["CONFIG"] != headers[1]["CONFIG"]
    noises = [fits.open(f / "noise-00000.fits")[0] for f in (made, tmp_path)]
    assert "NOISEEDG" not in noises[0].header and noises[1].header["NOISEEDG"] == 2
    assert noises[1].data[0].std() > 1.5 * noises[0].data[0].std()


def test_an_effect_that_cannot_be_is_refused_before_anything_is_made(tmp_path, world):
    config = changed("effects", dirty_beam=True)
    config = dataclasses.replace(config, instrument=Instrument(frequency=0.1))
    with pytest.raises(InputError, match=re.escape("instrument.frequency = 0.1 GHz")):
        mock.run(config, tmp_path / "out", 1, world)
    assert not (tmp_path / "out").exists()


def test_options_of_other_stages_do_not_matter(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world)
    mock.run(changed("train", epochs=3), tmp_path, 1, world)
    assert contents(tmp_path)["sky-00000.fits"] == contents(made)["sky-00000.fits"]


def test_seeds_give_other_images(made, tmp_path, world):
    mock.run(changed("sky", seed=2), tmp_path / "turned", 1, world)
    mock.run(changed("sky", seeds=(4, 5)), tmp_path / "boxes", 1, world)
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
    assert any("box 1 of 4" in call[2] for call in calls if len(call) > 2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mesh": 33}, "sky.mesh = 33: expected an even number"),
        ({"z_near": 0.5}, "sky.z_near = 0.5"),
        ({"seeds": ()}, "sky.seeds"),
        ({"seeds": (1, 1)}, "sky.seeds"),
        ({"seeds": (1, 101)}, r"sky.test_seeds .* \(found 101 in both\)"),
        ({"test_seeds": ()}, "sky.test_seeds"),
        ({"sides": ()}, "sky.sides"),
        ({"sides": (50.0, 50.0)}, "sky.sides"),
        ({"sides": (0.0,)}, "sky.sides"),
        ({"reach": 0.0}, "sky.reach"),
        ({"snapshots": ()}, "sky.snapshots"),
        ({"snapshots": (60.0,)}, "sky.snapshots"),
        ({"efficiency": 0.0}, "sky.efficiency"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Sky(**options)
