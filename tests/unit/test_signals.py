"""When a checkpoint is due by time, and what a signal does."""

import os
import signal

import pytest

from cosmodeep_hpc.parallel.signals import StopRequest, Timer


@pytest.mark.parametrize("minutes, after", [(0, []), (10, [600, 700]), (0.5, [30, 599, 600, 700])])
def test_a_checkpoint_is_due_by_time(minutes, after):
    clock = [1000.0]  # stands until it is set
    timer = Timer(minutes, lambda: clock[0])
    due = []
    for seconds in (0, 29, 30, 599, 600, 700):
        clock[0] = 1000.0 + seconds
        if timer.is_due:
            due.append(seconds)
            if seconds == 30:
                timer.set()  # there was a checkpoint: it runs anew
    assert due == after


def test_a_signal_asks_to_stop():
    clock = [1000.0]
    timer = Timer(10, lambda: clock[0])
    earlier = signal.getsignal(signal.SIGUSR1)
    with StopRequest() as stop:
        assert stop.flags(timer) == (False, False) and not stop.given
        os.kill(os.getpid(), signal.SIGUSR1)  # Python's handler runs before the next line
        clock[0] += 600
        for _ in range(2):  # it stays
            assert stop.flags(timer) == (True, True) and stop.given
    assert signal.getsignal(signal.SIGUSR1) == earlier
