"""Source finders of others: real ones on planted sources, and ones that fail on purpose."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label
from support.fields import NOISE, write
from support.waiting import until

from cosmodeep_hpc.comparison import finders
from cosmodeep_hpc.comparison.finders import FinderError, FinderTask
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.sky import instrument

BEAM = Beam(10.0, 10.0)
RMS = float(BEAM.per_beam(NOISE))  # Jy/beam: about 10 uJy
EIGHT = np.ones((3, 3))

needs_pybdsf = pytest.mark.skipif(
    find_spec("bdsf") is None, reason="bdsf is not installed: pip install bdsf"
)
needs_aegean = pytest.mark.skipif(
    find_spec("AegeanTools") is None, reason="AegeanTools is not installed: pip install AegeanTools"
)


@pytest.fixture
def planted(tmp_path):
    """An image of two sources, higher than wide, with a blank corner; pixels in Jy/beam."""
    y, x = np.mgrid[:200, :150]
    sky = 20 * np.exp(-((y - 150) ** 2 + (x - 40) ** 2) / (2 * 5**2))
    sky += 3 * np.exp(-((y - 60) ** 2 + (x - 100) ** 2) / (2 * 8**2))
    noise = instrument.noise(np.random.default_rng(4), 200, 9.6, BEAM)[:, :150]
    pixels = ((sky + noise) * NOISE).astype(np.float32)
    pixels[:20, :20] = np.nan
    image = open_image(write(tmp_path / "planted.fits", pixels))
    return image, np.asarray(BEAM.per_beam(image.pixels()), np.float32)


@needs_pybdsf
def test_pybdsf_finds_islands_of_nine_pixels(planted):
    """They are what scipy labels: 9 neighbours or more, none below the threshold."""
    image, pixels = planted
    thresholds = (1.5, 3.0)
    found = finders.find(
        "pybdsf", image, pixels, FinderTask(thresholds=thresholds, rms=RMS, min_pixels=9)
    )
    for threshold in thresholds:
        labels, _ = label(np.nan_to_num(pixels) / threshold >= RMS, EIGHT)
        large = np.bincount(labels.ravel()) >= 9
        large[0] = False
        mask = found.mask(threshold)
        np.testing.assert_array_equal(mask, large[labels])
        assert mask[150, 40]  # the bright source, in the right place
    assert found.mask(1.5)[58:63, 98:103].any()  # the faint one
    assert found.mask(1.5).sum() > found.mask(3.0).sum()
    assert len(found.seconds) == 2 and found.version


@needs_pybdsf
def test_pybdsf_finds_nothing_in_pure_noise(tmp_path):
    """No island, and no error: at 3 sigma nine neighbours are not expected in any image."""
    noise = instrument.noise(np.random.default_rng(9), 160, 9.6, BEAM) * np.float32(NOISE)
    image = open_image(write(tmp_path / "noise.fits", noise))
    pixels = np.asarray(BEAM.per_beam(noise), np.float32)
    found = finders.find(
        "pybdsf", image, pixels, FinderTask(thresholds=(3.0,), rms=RMS, min_pixels=9)
    )
    assert not found.mask(3.0).any()


@needs_pybdsf
def test_pybdsf_refuses_an_image_without_noise_in_one_line(tmp_path):
    blank = np.zeros((80, 80), np.float32)
    image = open_image(write(tmp_path / "blank.fits", blank))
    with pytest.raises(FinderError, match="pybdsf: .*rms") as caught:
        finders.find("pybdsf", image, blank, FinderTask(thresholds=(3.0,), rms=RMS))
    assert "\n" not in str(caught.value)


@needs_aegean
def test_aegean_finds_a_compact_source(tmp_path):
    """A source as wide as the beam; one of many beams, BANE takes for background."""
    y, x = np.mgrid[:200, :150]
    sky = 30 * np.exp(-((y - 150) ** 2 + (x - 40) ** 2) / (2 * 1.0**2))
    sky -= 30 * np.exp(-((y - 50) ** 2 + (x - 90) ** 2) / (2 * 1.0**2))  # a hole is no source
    noise = instrument.noise(np.random.default_rng(4), 200, 9.6, BEAM)[:, :150]
    pixels = ((sky + noise) * RMS).astype(np.float32)
    image = open_image(write(tmp_path / "planted.fits", pixels))
    found = finders.find(
        "aegean", image, pixels, FinderTask(thresholds=(6.0, 3.0), rms=RMS, flood=0.8)
    )
    high, low = found.mask(6.0), found.mask(3.0)
    assert high[150, 40] and not high[50, 90]
    assert label(high, EIGHT)[1] == 1
    assert (low | ~high).all()  # those of a higher threshold lie in those of a lower one


def pretending(monkeypatch, code):
    """Put Python code in the place of a finder; it finds its folder in `sys.argv[1]`."""
    monkeypatch.setattr(
        finders, "command", lambda name, folder: [sys.executable, "-c", code, str(folder)]
    )


def asked(planted, **task):
    image, pixels = planted
    return finders.find("pybdsf", image, pixels, FinderTask(thresholds=(3.0,), rms=RMS, **task))


def test_a_finder_that_hangs_is_ended_with_all_it_started(monkeypatch, planted, tmp_path):
    pid = tmp_path / "pid"
    pretending(
        monkeypatch,
        "import subprocess, time\n"
        f"open({str(pid)!r}, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))\n"
        "time.sleep(1000)",
    )
    with pytest.raises(FinderError, match="not done after 2 s; raise compare.seconds"):
        asked(planted, seconds=2.0)
    status = Path(f"/proc/{int(pid.read_text())}/stat")
    until(lambda: not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_finder_whose_parent_is_gone_ends_by_itself(planted, tmp_path):
    """An alarm of the system, which no library's loop can miss."""
    (tmp_path / finders.TASK).write_text('{"thresholds": [3], "rms": 1, "seconds": 0}')
    code = (
        "import sys, time\nfrom cosmodeep_hpc.comparison.finders import work\n"
        "work(sys.argv[1:], lambda image, task: time.sleep(1000))"
    )
    ended = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code, str(tmp_path)])
    assert ended == -14  # SIGALRM


@pytest.mark.parametrize(
    "code, said",
    [
        ("import os; os.abort()", "ended by SIGABRT"),
        ("raise RuntimeError('math domain error')", "RuntimeError: math domain error"),
        ("pass", "left no result"),
        ("import os; os.environ['OMPI_COMM_WORLD_RANK']", "KeyError: 'OMPI_COMM_WORLD_RANK'"),
    ],
)
def test_a_finder_that_fails_says_why(monkeypatch, planted, code, said):
    """The last: it does not take itself for a rank of our job."""
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    pretending(monkeypatch, code)
    with pytest.raises(FinderError, match=said):
        asked(planted)


def test_finders_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(finders, "find_spec", lambda module: None)
    said = finders.missing(["aegean"])
    assert list(said) == ["aegean"] and "pip install AegeanTools" in said["aegean"]
