"""When a checkpoint is due by time, and what a signal does; what a step's times add up to."""

import os
import signal

import pytest

from cosmodeep_hpc.learn import meter as meters
from cosmodeep_hpc.learn.meter import Meter
from cosmodeep_hpc.parallel import signals as notices
from cosmodeep_hpc.parallel.signals import StopRequest, Timer


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set: `clock[0]` in seconds."""
    now = [1000.0]
    monkeypatch.setattr(notices.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize("minutes, after", [(0, []), (10, [600, 700]), (0.5, [30, 599, 600, 700])])
def test_a_checkpoint_is_due_by_time(clock, minutes, after):
    timer = Timer(minutes)
    due = []
    for seconds in (0, 29, 30, 599, 600, 700):
        clock[0] = 1000.0 + seconds
        if timer.is_due:
            due.append(seconds)
            if seconds == 30:
                timer.set()  # there was a checkpoint: it runs anew
    assert due == after


def test_notice_by_signal(clock):
    timer = Timer(10)
    earlier = signal.getsignal(signal.SIGUSR1)
    with StopRequest() as notice:
        assert notice.flags(timer) == (False, False) and not notice.given
        os.kill(os.getpid(), signal.SIGUSR1)  # Python's handler runs before the next line
        clock[0] += 600
        for _ in range(2):  # it stays
            assert notice.flags(timer) == (True, True) and notice.given
    assert signal.getsignal(signal.SIGUSR1) == earlier


def test_means_and_times_of_steps(clock):
    meter = Meter()
    for loss, correct, tiles, seconds in ((10.0, 4, 8, 2.0), (8.0, 1, 2, 6.0)):
        clock[0] += 1.0  # something else
        with meter.timing("step"):
            clock[0] += seconds
        meter.add(loss, correct, tiles)
    assert meter.last_loss == 4.0
    assert meter.read(3, {"allreduce": 3.0}) == {
        "epoch": 3,
        "loss": 1.8,
        "accuracy": 0.5,
        "tiles_per_second": 1.0,
        "step_seconds": 4.0,
        "allreduce_seconds": 1.5,
    }
    meter.add(6.0, 1, 2)
    clock[0] += 1.0
    again = meter.read(4, {})  # it begins anew
    assert again["loss"] == 3.0 and "step_seconds" not in again
