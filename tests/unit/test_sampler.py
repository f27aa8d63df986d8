"""Which tile is seen when is a pure function of seed, epoch and step, whoever asks."""

from dataclasses import replace

import numpy as np
import pytest

from cosmodeep_hpc.learn.sampler import Sampler, keep_mask, noise_pool

SIGNAL, NOISE = np.arange(0, 37), np.arange(100, 300)
SAMPLER = Sampler(signal=SIGNAL, noise=NOISE, batch=10, noise_per_signal=1.0, seed=5)


@pytest.mark.parametrize("per_signal, drawn", [(1.0, 37), (2.0, 74), (0.5, 19), (100.0, 200)])
def test_every_signal_tile_once_an_epoch(per_signal, drawn):
    sampler = replace(SAMPLER, noise_per_signal=per_signal)
    for epoch in range(3):
        order = sampler.order(epoch)
        assert len(order) == sampler.epoch_size == 37 + drawn
        assert sorted(order[order < 100]) == list(SIGNAL)
        noise = order[order >= 100]
        assert len(set(noise)) == drawn and set(noise) <= set(NOISE)  # without repetition


@pytest.mark.parametrize(
    "most, per_signal, signal, noise",
    [
        (0, 1.0, 37, 37),
        (74, 1.0, 37, 37),  # as many as there are
        (30, 1.0, 15, 15),
        (40, 3.0, 10, 30),
        (1, 1.0, 1, 1),  # at least one of each kind
    ],
)
def test_tiles_of_an_epoch_at_most(most, per_signal, signal, noise):
    sampler = replace(SAMPLER, epoch_tiles=most, noise_per_signal=per_signal)
    seen = set()
    for epoch in range(60):
        order = sampler.order(epoch)
        assert len(set(order)) == len(order) == sampler.epoch_size
        assert (np.sum(order < 100), np.sum(order >= 100)) == (signal, noise)
        seen |= set(order[order < 100])
    if signal > 1:
        assert seen == set(SIGNAL)  # signal tiles left out of one epoch are in another


def test_noise_is_drawn_anew_each_epoch():
    """Over many epochs each of 200 noise tiles is drawn in 37 / 200 of them."""
    seen = np.concatenate([SAMPLER.order(epoch) for epoch in range(1000)])
    counts = np.bincount(seen, minlength=300)[100:]
    # binomial: 185 +- 12.3; five sigma for 200 tiles
    assert abs(counts - 185).max() < 5 * 12.3 and counts.std() == pytest.approx(12.3, rel=0.2)


def test_signal_and_noise_are_mixed():
    """The mean place of the signal tiles in an epoch is its middle."""
    places = [np.flatnonzero(SAMPLER.order(e) < 100).mean() for e in range(200)]
    assert np.mean(places) == pytest.approx(36.5, abs=5 * 21.4 / np.sqrt(2 * 37 * 200))


def test_order_is_a_pure_function():
    first = SAMPLER.order(3)
    SAMPLER.order(4)
    np.testing.assert_array_equal(SAMPLER.order(3), first)
    for other in (SAMPLER.order(4), replace(SAMPLER, seed=6).order(3)):
        assert not np.array_equal(other, first)


def test_the_last_batch_holds_the_remainder():
    batches = [SAMPLER.batch_rows(k) for k in range(SAMPLER.steps)]
    assert [len(b) for b in batches] == [10] * 7 + [4]
    assert [row for b in batches for row in b] == list(range(74))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("batch", [1, 4, 10, 100])
def test_parts_of_the_ranks_make_the_global_batch(size, batch):
    sampler = replace(SAMPLER, batch=batch)
    for step in range(sampler.steps):
        parts = [sampler.local_rows(step, rank, size) for rank in range(size)]
        assert [row for part in parts for row in part] == list(sampler.batch_rows(step))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("start, stop", [(0, 1), (3, 9), (9, 10), (4, 4)])
def test_a_tiles_dropout_does_not_depend_on_its_rank(start, stop):
    mask = keep_mask(1024, 0.25, seed=1, epoch=2, rows=range(50, 60))
    part = keep_mask(1024, 0.25, seed=1, epoch=2, rows=range(50 + start, 50 + stop))
    np.testing.assert_array_equal(part, mask[start:stop])


def test_dropout_keeps_its_share_and_the_mean():
    mask = keep_mask(1000, 0.25, seed=1, epoch=0, rows=range(1000))
    assert mask.dtype == np.float32 and set(np.unique(mask)) == {0, np.float32(4 / 3)}
    kept = (mask > 0).mean()
    assert kept == pytest.approx(0.75, abs=5 * np.sqrt(0.75 * 0.25 / 1e6))
    assert mask.mean() == pytest.approx(1, abs=0.005)
    # neither units nor tiles share their fate
    assert np.corrcoef(mask[0], mask[1])[0, 1] == pytest.approx(0, abs=5 / np.sqrt(1000))
    assert np.corrcoef(mask[:, 0], mask[:, 1])[0, 1] == pytest.approx(0, abs=5 / np.sqrt(1000))


def test_dropout_differs_by_epoch_and_seed():
    masks = [
        keep_mask(64, 0.5, seed=seed, epoch=epoch, rows=range(4))
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert not np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


def test_no_dropout():
    assert (keep_mask(100, 0.0, seed=1, epoch=0, rows=range(5)) == 1).all()


def test_noise_pool():
    pool = noise_pool(NOISE, 10, 4.0, seed=1)
    assert len(pool) == 40 == len(set(pool)) and set(pool) <= set(NOISE)
    assert list(pool) == sorted(pool)
    np.testing.assert_array_equal(noise_pool(NOISE, 10, 4.0, seed=1), pool)
    assert not np.array_equal(noise_pool(NOISE, 10, 4.0, seed=2), pool)
    np.testing.assert_array_equal(noise_pool(NOISE, 100, 4.0, seed=1), NOISE)  # all there are


def test_the_largest_seed():
    sampler = replace(SAMPLER, seed=2**63 - 1)
    assert len(sampler.order(0)) == 74
    keep_mask(10, 0.5, seed=2**63 - 1, epoch=0, rows=range(2))
