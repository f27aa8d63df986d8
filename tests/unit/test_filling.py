"""What the network sees where there is no data."""

import numpy as np
import pytest

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.survey.filling import ShownLevel, fill


@pytest.mark.parametrize("beam", [None, Beam(1.0, 1.0), Beam(4.0, 2.5, 30.0)])
def test_gaps_are_filled_with_noise_as_the_beam_correlates_it(beam):
    pixels = np.full((400, 500), np.nan, np.float32)
    fill(pixels, (0, 0), 3.0, beam)
    assert pixels.std() == pytest.approx(3.0, rel=0.01)
    assert abs(pixels.mean()) < 0.1
    for row, col in ((1, 0), (0, 1), (2, 2)):
        shifted = np.roll(pixels[:256, :256], (row, col), (0, 1))
        alike = (pixels[:256, :256] * shifted).mean() / pixels[:256, :256].var()
        expected = 0.0 if beam is None else beam.noise_correlation(float(col), float(row))
        assert alike == pytest.approx(expected, abs=0.06)


def test_what_has_data_stays():
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    before = pixels.copy()
    fill(pixels, (0, 0), 1.0, None)
    np.testing.assert_array_equal(pixels, before)
    pixels[1, 2] = np.nan
    fill(pixels, (0, 0), 1.0, None)
    assert np.argwhere(pixels != before).tolist() == [[1, 2]]


def test_a_pixels_noise_depends_on_its_place_alone():
    whole = np.full((120, 90), np.nan, np.float32)
    fill(whole, (-16, -16), 1.0, Beam(2.0, 2.0))
    part = np.full((30, 20), np.nan, np.float32)
    fill(part, (24, 34), 1.0, Beam(2.0, 2.0))
    np.testing.assert_array_equal(part, whole[40:70, 50:70])


def test_noise_stands_on_the_level_that_is_given():
    """Linear between the centres of cells, level beyond the outermost: here of 10 x 10 pixels."""
    mesh = np.array([[0.0, 4.0], [2.0, 6.0]], np.float32)
    first = -6, -7
    pixels, plain = (np.full((32, 34), np.nan, np.float32) for _ in range(2))
    fill(pixels, first, 1.0, None, ShownLevel(mesh, 10, 0))
    fill(plain, first, 1.0, None)
    y, x = (np.arange(n) + at for n, at in zip(pixels.shape, first, strict=True))
    up, across = (np.clip((at + 0.5) / 10 - 0.5, 0, 1) for at in (y, x))
    np.testing.assert_allclose(pixels - plain, 2 * up[:, None] + 4 * across, atol=1e-6)


def test_rows_of_a_level_are_a_part_of_all():
    """The mesh of a stripe begins with another row of cells."""
    mesh = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    whole, part = (np.full((rows, 40), np.nan, np.float32) for rows in (90, 25))
    fill(whole, (0, 0), 1.0, None, ShownLevel(mesh, 10, 0))
    fill(part, (35, 0), 1.0, None, ShownLevel(mesh[2:7], 10, 2))
    np.testing.assert_array_equal(part, whole[35:60])
