"""What is made once, whoever asks."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cosmodeep_hpc.parallel.once import Once


def test_threads_that_ask_at_the_same_time_have_the_same_thing_made_once():
    together, made = threading.Barrier(4, timeout=10), []
    once = Once(lambda: made.append(1) or object())

    def ask(_):
        together.wait()
        return once()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert len(made) == 1 and len({id(each) for each in found}) == 1


def test_what_could_not_be_made_is_tried_again():
    left = [ValueError("not yet")]

    def make():
        if left:
            raise left.pop()
        return 3

    once = Once(make)
    with pytest.raises(ValueError, match="not yet"):
        once()
    assert once() == once() == 3
