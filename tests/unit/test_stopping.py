"""Early stopping and the best model: decided by the sequence of As alone."""

import numpy as np
import pytest

from cosmodeep_hpc.learn.stopping import Standing

NAN = float("nan")


def after(scores):
    """The standing after validations with these As, with the epoch's number as weights."""
    standing = Standing()
    for epoch, score in enumerate(scores):
        weights = [np.array([epoch])]
        standing = standing.after(epoch, score, weights)
    return standing


@pytest.mark.parametrize(
    "scores, best, since",
    [
        ([0.5], 0, 0),
        ([0.5, 0.6, 0.7], 2, 0),
        ([0.5, 0.7, 0.6], 1, 1),
        ([0.7, 0.7, 0.7], 0, 2),  # an equal one is no better: the earliest is kept
        ([0.0, 0.0], 0, 1),  # nothing found at all is a first best, too
        ([0.5, 0.4, 0.6, 0.1, 0.2], 2, 2),
    ],
)
def test_the_best(scores, best, since):
    found = after(scores)
    assert (found.best, found.best_epoch, found.since) == (scores[best], best, since)
    assert found.best_weights[0].tolist() == [best]
    assert found.epoch == len(scores) - 1


def test_as_of_no_signal_tile_is_never_the_best():
    found = after([NAN, 0.0, NAN])
    assert (found.best, found.best_epoch, found.since) == (0.0, 1, 1)
    assert after([NAN]).best_weights == ()


@pytest.mark.parametrize(
    "patience, scores, over",
    [
        (0, [0.9] + 100 * [0.1], False),
        (1, [0.5, 0.5], True),
        (1, [0.5], False),
        (2, [0.5, 0.4], False),
        (2, [0.5, 0.4, 0.3], True),
        (2, [0.5, 0.4, 0.6, 0.5], False),  # a better one starts the count anew
        (2, [0.5, 0.4, 0.6, 0.5, 0.6], True),
    ],
)
def test_when_training_stops(patience, scores, over):
    assert after(scores).is_over(patience) == over
    assert not Standing().is_over(patience)
