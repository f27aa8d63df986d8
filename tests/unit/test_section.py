"""Options refuse what they cannot be, and say what they can."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from cosmodeep_hpc.config.section import Section, option
from cosmodeep_hpc.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Toy(Section):
    share: float = option(0.5, "a share", above=0, high=1)
    count: int = option(3, "a count", low=2, below=10)
    on: bool = option(False, "a switch")
    word: Literal["red", "green"] = option("red", "a word")
    values: tuple[float, ...] = option((1.0,), "values", above=0)
    words: tuple[Literal["red", "green"], ...] = option(("red",), "words")


@pytest.mark.parametrize(
    "values",
    [
        {"share": 1},  # a whole number is a number
        {"share": 1.0},  # `high` is allowed itself
        {"share": 5e-324},
        {"count": 2},  # `low` too
        {"count": 9},
        {"on": True},
        {"word": "green"},
        {"values": [1, 2.5]},
        {"values": []},
        {"count": np.int64(3), "share": np.float32(0.5)},  # NumPy's numbers are numbers
    ],
)
def test_allowed(values):
    assert Toy(**values) == Toy(**values)


@pytest.mark.parametrize(
    "values, line",
    [
        ({"share": 0.0}, "toy.share = 0.0: expected a value of more than 0 and at most 1"),
        ({"share": 1.0001}, "toy.share = 1.0001: expected a value of more than 0 and at most 1"),
        ({"share": float("nan")}, "toy.share = nan: expected a finite number"),
        ({"values": [float("inf")]}, "toy.values[0] = inf: expected a finite number"),
        ({"share": "1"}, "toy.share = '1': expected a number"),
        ({"share": True}, "toy.share = True: expected a number"),
        ({"count": 1}, "toy.count = 1: expected a value of at least 2 and less than 10"),
        ({"count": 10}, "toy.count = 10: expected a value of at least 2 and less than 10"),
        ({"count": 2.0}, "toy.count = 2.0: expected a whole number"),
        ({"count": True}, "toy.count = True: expected a whole number"),
        ({"on": 1}, "toy.on = 1: expected true or false"),
        ({"word": "gren"}, "expected one of 'red', 'green' (did you mean 'green'?)"),
        ({"word": ["red"]}, "expected one of 'red', 'green'"),
        ({"values": 1.0}, "toy.values = 1.0: expected a list such as [1, 2]"),
        ({"words": "red"}, 'toy.words = \'red\': expected a list such as ["red", "green"]'),
        ({"count": np.float64(2.0)}, "toy.count = np.float64(2.0): expected a whole number"),
        ({"values": "1"}, "toy.values = '1': expected a list such as [1, 2]"),
        ({"values": [1.0, -1.0]}, "toy.values = -1.0: expected a value of more than 0"),
        ({"values": [1.0, "x"]}, "toy.values[1] = 'x': expected a number"),
    ],
)
def test_refused(values, line):
    with pytest.raises(InputError) as caught:
        Toy(**values)
    assert line in str(caught.value)


def test_numbers_take_the_type_of_the_option():
    toy = Toy(share=1, values=[1, 2])
    assert (type(toy.share), toy.values) == (float, (1.0, 2.0))
    assert all(type(value) is float for value in toy.values)
