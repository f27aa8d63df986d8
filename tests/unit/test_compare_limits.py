"""The ideal limit against closed forms, a dense calculation, and draws of noise."""

import numpy as np
import pytest
from scipy.special import ndtr

from cosmodeep_hpc.comparison import limits
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky import instrument

SCALE, BEAM = 9.6, Beam(10.0, 10.0)  # the paper's
ORIGIN = np.zeros(1, np.int32)


def gaussian(side, width, peak=1.0, centre=None):
    at = (side - 1) / 2 if centre is None else centre
    y, x = np.mgrid[:side, :side]
    return (peak * np.exp(-((x - at) ** 2 + (y - at) ** 2) / (2 * width**2))).astype(np.float32)


def covariance(side, beam, scale):
    """Of all pixels of a square with each other, from the beam."""
    y, x = (axis.ravel() * scale for axis in np.mgrid[:side, :side])
    return beam.noise_correlation(np.subtract.outer(x, x), np.subtract.outer(y, y))


def test_in_white_noise_all_pixels_add_in_quadrature():
    template = np.zeros((8, 12), np.float32)
    template[1, 2], template[3, 4] = 3, 4
    row, col = np.array([0, 1, 0], np.int32), np.array([0, 1, 1], np.int32)
    found = limits.tile_snr(template, row, col, 4, 0, None, SCALE)
    assert found == pytest.approx([3, 0, 4])
    assert limits.tile_snr(template, row, col, 4, 1, None, SCALE)[0] == pytest.approx(5)


@pytest.mark.parametrize("beam", [BEAM, Beam(18.0, 10.0, 0.0), Beam(18.0, 10.0, 90.0)])
def test_in_the_noise_of_a_beam_against_a_dense_matrix(beam):
    """SNR^2 = T C^-1 T, with all pixels' correlations."""
    random = np.random.default_rng(1)
    template = random.normal(size=(9, 9)).astype(np.float32)
    flat = template.ravel().astype(np.float64)
    right = np.sqrt(flat @ np.linalg.solve(covariance(9, beam, SCALE), flat))
    found = limits.tile_snr(template, ORIGIN, ORIGIN, 9, 0, beam, SCALE)
    assert found == pytest.approx([right], rel=1e-3)


def test_wide_sources_see_less_than_in_white_noise():
    """By the root of the sum of all correlations, 2 beam areas over a pixel's: 1.57."""
    lag = np.arange(-10, 11) * SCALE
    loss = np.sqrt(BEAM.noise_correlation(lag, lag[:, None]).sum())
    assert loss == pytest.approx(np.sqrt(2 * BEAM.area) / SCALE, rel=0.002)
    template = gaussian(40, 5.0)
    white, real = (
        limits.tile_snr(template, ORIGIN, ORIGIN, 40, 0, beam, SCALE)[0] for beam in (None, BEAM)
    )
    assert white / real == pytest.approx(loss, rel=0.02)
    assert white == pytest.approx(np.sqrt(np.pi) * 5, rel=1e-3)  # the sum of a Gaussian's squares


def test_a_well_sampled_beam_can_be_whitened():
    """Its correlation is singular to rounding; what is seen through it is finite all the same."""
    beam = Beam(60.0, 60.0)
    sky = np.zeros((40, 40), np.float32)
    sky[20, 20] = 1
    template = beam.convolve(sky, SCALE)
    assert np.isfinite(limits.tile_snr(template, ORIGIN, ORIGIN, 40, 0, beam, SCALE)).all()


@pytest.mark.parametrize(
    "level, snr, shift, called",
    [
        (2e-7, 2.0, 1.0, ndtr(1.0)),  # half the amplitude is enough: one deviation below
        (0.5e-7, 1.0, 1.0, ndtr(-1.0)),  # twice the amplitude is needed: one deviation above
        (1e-7, 30.0, 1.0, 0.5),  # on the edge of the label
        (2e-7, 2.0, 2.0, 0.5),  # asked for twice as much
        (0.0, 50.0, 1.0, 0.0),  # no such pixels at all
        (2e-7, 0.0, 1.0, 0.5),  # nothing to see: a coin
    ],
)
def test_probability_of_calling_a_tile_signal(level, snr, shift, called):
    found = limits.probability(np.array([level], np.float32), np.array([snr]), 1e-7, shift)
    assert found == pytest.approx([called], abs=1e-5)


def test_expected_accuracy_by_hand():
    """Two signal tiles found by 0.8413 each, one noise tile called signal by 0.1587, one dark."""
    level = np.array([2e-7, 2e-7, 0.5e-7, 0], np.float32)
    one = limits.expected(level, np.array([2.0, 2, 1, 9]), 1e-7)
    p, q = ndtr(1.0), ndtr(-1.0)
    assert (one.signal, one.noise) == (2, 2)
    assert one.Ws == pytest.approx(p, abs=1e-5)
    assert one.Wv == pytest.approx(1 - q / 2, abs=1e-5)
    assert one.As == pytest.approx(2 * p / (2 + q), abs=1e-5)
    assert one.purity == pytest.approx(2 * p / (2 * p + q), abs=1e-5)


def test_asking_for_more_pays_where_faint_tiles_are_many():
    """One tile just above the label's edge among ten just below: the best shift is above 1."""
    level = np.array([1.3e-7] + [0.8e-7] * 10, np.float32)
    snr = np.full(11, 4.0)
    shift, best = limits.Trade.of(level, snr, 1e-7).best_common()
    assert shift > 1.05
    assert best.As > limits.expected(level, snr, 1e-7).As
    # by hand: found by Phi((1 - s / 1.3) 4), the others by Phi((1 - s / 0.8) 4)
    p, q = ndtr((1 - shift / 1.3) * 4), ndtr((1 - shift / 0.8) * 4)
    assert best.As == pytest.approx(p / (1 + 10 * q), rel=1e-5)


def test_classes_of_tiles_that_are_measured_worse_are_asked_for_more():
    """Two populations alike but for their noise: together no other shifts do better."""
    random = np.random.default_rng(0)
    level = (1e-7 * np.exp(random.normal(-1, 1, 800))).astype(np.float32)
    well = np.arange(800) < 400
    snr = np.where(well, 50.0, 2.0) * level / 1e-7 * random.uniform(0.8, 1.2, 800)
    trade = limits.Trade.of(level, snr, 1e-7)
    shifts, best = trade.best_classes()
    assert len(shifts) == limits.CLASSES and shifts[-1] > 1.2
    assert max(abs(s - 1) for s in shifts[:2]) < 0.1
    assert best.As > trade.best_common()[1].As
    assert trade.best_common()[1].As >= limits.expected(level, snr, 1e-7).As - 1e-9
    chosen = np.array([limits.SHIFTS.index(shift) for shift in shifts])
    assert trade.at(chosen) == best
    for of in range(len(shifts)):
        for other in range(len(limits.SHIFTS)):
            changed = np.where(np.arange(len(shifts)) == of, other, chosen)
            assert trade.at(changed).As <= best.As + 1e-12


def test_no_signal_at_all():
    dark = limits.Trade.of(np.zeros(5, np.float32), np.zeros(5), 1e-7)
    assert dark.best_classes()[1].Wv == 1 and np.isnan(dark.best_common()[1].Ws)


@pytest.mark.parametrize("f_th", [0.8e-7, 1.2e-7])
def test_limit_against_draws_of_noise(f_th):
    """The oracle played out: drawn noise, a dense best fit of the amplitude, pixels counted."""
    side, n_pix, rms, draws = 20, 40, 1e-7, 2000
    sky = gaussian(side, 4.0, 2e-7) * 0.75
    seen = BEAM.convolve(sky, SCALE) / np.float32(rms)
    weight = np.linalg.solve(covariance(side, BEAM, SCALE), seen.ravel().astype(np.float64))
    weight /= weight @ seen.ravel()
    stream = np.random.default_rng(7)
    called = 0
    for _ in range(draws):
        image = seen + instrument.noise(stream, side, SCALE, BEAM)
        amplitude = weight @ image.ravel()
        called += (amplitude * sky > f_th).sum() > n_pix
    level = np.sort(sky.ravel())[-n_pix - 1 : -n_pix]
    snr = limits.tile_snr(seen, ORIGIN, ORIGIN, side, 0, BEAM, SCALE)
    p = float(limits.probability(level, snr, f_th)[0])
    assert 0.05 < p < 0.95
    assert called / draws == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / draws))
