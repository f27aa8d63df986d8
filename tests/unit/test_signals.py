"""When a checkpoint is due by time, and what a signal does."""

import os
import signal

import pytest

from cosmodeep_hpc.parallel import signals
from cosmodeep_hpc.parallel.signals import StopRequest, Timer


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set: `clock[0]` in seconds."""
    now = [1000.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
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


def test_a_stop_is_requested_by_signal(clock):
    timer = Timer(10)
    earlier = signal.getsignal(signal.SIGUSR1)
    with StopRequest() as stop_request:
        assert stop_request.flags(timer) == (False, False) and not stop_request.given
        os.kill(os.getpid(), signal.SIGUSR1)  # Python's handler runs before the next line
        clock[0] += 600
        for _ in range(2):  # it stays
            assert stop_request.flags(timer) == (True, True) and stop_request.given
    assert signal.getsignal(signal.SIGUSR1) == earlier
