"""Progress is a bar on a terminal, a line now and then in a log, and nothing on other ranks."""

import io

import pytest

from cosmodeep_hpc.io import progress
from cosmodeep_hpc.io.progress import LINE_SECONDS, ProgressBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then(clock):
    log = io.StringIO()
    show = ProgressBar("steps", stream=log)
    for done in range(1, 101):  # a step a second
        clock[0] += 1
        show(done, 100)
    lines = log.getvalue().splitlines()
    assert 100 / LINE_SECONDS <= len(lines) <= 100 / LINE_SECONDS + 1
    assert lines[0] == "steps: 15/100, 15 s, 85 s left"
    assert lines[-1] == "steps: 100/100, 100 s"


def test_time_left_is_by_the_pace_of_this_run(clock):
    """A run that goes on at step 901, a step in 10 s, after 50 s of starting up."""
    log = io.StringIO()
    show = ProgressBar("steps", stream=log)
    clock[0] += 50
    for done in range(901, 951):
        clock[0] += 10
        show(done, 1000)
    assert log.getvalue().splitlines()[-1] == "steps: 949/1000, 540 s, 510 s left"


def test_a_terminal_gets_one_bar(clock):
    terminal = Terminal()
    show = ProgressBar("images", stream=terminal)
    for done in (1, 2):
        clock[0] += 1
        show(done, 2, "note")
    text = terminal.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    assert "[" + 15 * "#" + 15 * "-" + "] images: 1/2, note" in text
    assert "[" + 30 * "#" + "] images: 2/2" in text


def test_the_end_is_told_once(clock):
    log = io.StringIO()
    show = ProgressBar("steps", stream=log)
    show(2, 2)
    show(2, 2)
    assert log.getvalue().count("\n") == 1


def test_nothing_to_do(clock):
    log = io.StringIO()
    ProgressBar("steps", stream=log)(0, 0)
    assert log.getvalue() == "steps: 0/0, 0 s\n"


def test_other_ranks_are_silent(clock):
    log = io.StringIO()
    ProgressBar("steps", speaks=False, stream=log)(2, 2)
    assert log.getvalue() == ""
