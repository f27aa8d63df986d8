"""The fit to the paper's signal tiles, and what it says of clusters."""

import dataclasses
import json

import numpy as np
import pytest

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.sky import Instrument, Sky
from cosmodeep_hpc.parallel.world import open_world
from cosmodeep_hpc.sky import box, calibrate, clusters, mock
from cosmodeep_hpc.sky.emission import element_power
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.shocks import Elements

SKY = Sky(
    mesh=24,
    sides=(60.0,),
    seeds=(1, 2),
    steps=6,
    snapshots=(0.1,),
    z_far=0.08,
    efficiency=0.01,
)
CONFIG = Config(sky=SKY, instrument=Instrument(pixels=400, pixel_scale=60.0, beam=60.0))


def levels_like_the_paper(gain):
    """Levels of one image that has the paper's signal tiles once it is `gain` times as bright."""
    levels = np.zeros((1, 2, calibrate.IMAGE_TILES), np.float32)
    for row, numbers in enumerate(calibrate.PAPER.astype(int)):
        done = 0
        for number, threshold in zip(numbers, calibrate.THRESHOLDS, strict=True):
            levels[0, row, done:number] = 1.02 * threshold / gain
            done = number
    return levels


@pytest.mark.parametrize("gain", [0.02, 1.0, 37.0])
def test_the_gain_that_makes_the_papers_tiles_is_found(gain):
    found, misfit = calibrate.best_gain(levels_like_the_paper(gain))
    assert found == pytest.approx(gain, rel=0.02)
    assert misfit == 0


def test_the_misfit_is_the_rms_of_the_logarithm():
    assert calibrate.misfit(calibrate.PAPER * 1.1) == pytest.approx(np.log(1.1))
    assert calibrate.misfit(calibrate.PAPER / 1.1) == pytest.approx(np.log(1.1))
    off = calibrate.PAPER.copy()
    off[0, 0] *= np.e
    assert calibrate.misfit(off) == pytest.approx(np.sqrt(1 / 8))


def test_a_smaller_image_counts_as_a_share_of_a_field():
    levels = levels_like_the_paper(1.0)[:, :, ::5]  # every fifth tile of a field
    assert calibrate.best_gain(levels)[1] < 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("calibration")
    mock.run(CONFIG, out, 0, open_world())
    return out


def boxes_of(out):
    recipes = calibrate.particle_meshes(SKY, test=False)
    return [box.opened(out / "boxes" / f"{r.name}.h5", r.digest) for r in recipes]


def test_the_efficiency_found_does_not_depend_on_where_the_search_begins(folder):
    found = [
        calibrate.try_out(calibrate.changed(CONFIG, efficiency=start), boxes_of(folder), 2,
                          open_world()).config.sky.efficiency
        for start in (0.001, 0.01)
    ]  # fmt: skip
    # Of 200 tiles a dozen are signal: the misfit goes in steps of a few of them. The starts differ
    # by ten.
    assert found[0] == pytest.approx(found[1], rel=0.5)


def test_what_was_fitted_is_written(folder):
    calls = []
    calibrate.run(CONFIG, folder, 2, open_world(), lambda *call: calls.append(call))
    written = json.loads((folder / "calibration.json").read_text())
    assert set(written["fitted"]) == set(calibrate.FITTED)
    misfits = [trial["misfit"] for trial in written["trials"]]
    assert len(misfits) == len(calibrate.MACH_CUTS) * len(calibrate.EXPONENTS)
    best = written["trials"][int(np.argmin(misfits))]
    assert best["mach_cut"] == written["fitted"]["mach_cut"]
    assert best["field_density"] == written["fitted"]["field_density"]
    assert calls[-1][0] == calls[-1][1]
    assert "[sky]" in (folder / "calibration.txt").read_text()


def test_the_field_of_a_trial_is_the_trials(folder):
    sky = dataclasses.replace(SKY, field=2.0, field_density=0.0, field_temperature=0.0)
    (whole, _) = boxes_of(folder)
    assert whole.elements(0.1).field.std() > 0
    elements = calibrate.refilled(whole, Config(sky=sky)).elements(0.1)
    assert elements.field == pytest.approx(2.0)


class _Made(box.Box):
    """A box in memory."""

    def elements(self, redshift):
        del redshift
        position = np.full((3, 3), 10, np.float32)
        side = np.zeros((3, 3), np.float32)
        first, second = side.copy(), side.copy()
        first[:, 0] = second[:, 1] = [1.0, 2.0, 0.5]
        numbers = np.array([3, 4, 5], np.float32)
        return Elements(
            position,
            first,
            second,
            numbers,
            np.array([200, 300, 10], np.float32),
            numbers,
            np.array([1, 2, 0.03], np.float32),
            np.array([1, 1, -1], np.int32),
        )

    def halos(self, redshift):
        del redshift
        mass = np.array([3e14, 1e14])
        return Halos(np.zeros((2, 3), np.float32), mass, np.ones(2, np.float32))


def two_elements_box():
    """A box of two elements in its second halo, and one in a filament."""
    return _Made("made.h5", 60.0, (0.1,))


def test_a_halo_has_the_power_of_its_elements():
    found = clusters.measure(CONFIG, [two_elements_box()])
    amplitude = calibrate.amplitude_of(SKY)
    power = element_power(two_elements_box().elements(0.1), 0.1, 1.4, amplitude) * 1e-7
    assert found.power == pytest.approx([0, power[0] + power[1]])
    assert found.filament_field == pytest.approx(0.03)
    assert found.filament_power == pytest.approx(power[2] / 60**3)
    assert found.halo_power == pytest.approx((power[0] + power[1]) / 60**3)
    # All in one slab at one distance and nearly one slope: light is shared as the power is.
    share = (power[0] + power[1]) / power.sum()
    assert found.share == pytest.approx(share, abs=1e-3)


def test_the_slope_of_a_power_law_is_found():
    mass = np.geomspace(1e13, 2e15, 40)
    found = clusters.Clusters(mass, clusters.relic_power(mass), 1.0, 0.0, 0.0, 0.0)
    assert found.slope() == pytest.approx(clusters.RELIC_SLOPE)
    for row in found.bins():
        assert row["p16"] <= row["median"] <= row["p84"]
        assert row["median"] == pytest.approx(row["relics"], rel=1.0)
    assert clusters.relic_power(10**14.5) == pytest.approx(4e23, rel=0.1)
