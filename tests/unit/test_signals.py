"""When a checkpoint is due by time, and what a signal does."""

import os
import signal

import pytest

from cosmodeep_hpc.parallel.locks import on_sigterm
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


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_asks_to_stop(number):
    clock = [1000.0]
    timer = Timer(10, lambda: clock[0])
    earlier = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.flags(timer) == (False, False) and not stop.given
        os.kill(os.getpid(), number)  # Python's handler runs before the next line
        clock[0] += 600
        for _ in range(2):  # it stays
            assert stop.flags(timer) == (True, True) and stop.given
    assert signal.getsignal(number) == earlier


def test_a_second_sigterm_does_what_the_first_would_have_done():
    told = []
    earlier = signal.signal(signal.SIGTERM, lambda *_: told.append("before"))
    try:
        with StopRequest() as stop, on_sigterm(lambda: told.append("given back")):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.given and not told
            os.kill(os.getpid(), signal.SIGTERM)
            assert told == ["given back", "before"]
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_without_a_run_that_listens_a_sigterm_is_no_warning():
    told = []
    earlier = signal.signal(signal.SIGTERM, lambda *_: told.append("before"))
    try:
        with on_sigterm(lambda: told.append("given back")):
            os.kill(os.getpid(), signal.SIGTERM)
        assert told == ["given back", "before"]
    finally:
        signal.signal(signal.SIGTERM, earlier)
