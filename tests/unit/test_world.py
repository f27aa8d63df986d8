"""How work is divided, and what one rank's error means for all."""

import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.world import rank_range


@pytest.mark.parametrize(
    "n, rank, size, rows",
    [
        (9, 0, 2, range(0, 5)),  # the first rank takes the extra row
        (9, 1, 2, range(5, 9)),
        (10, 2, 4, range(6, 8)),  # 3, 3, 2, 2
        (1, 3, 4, range(1, 1)),  # more ranks than rows: nothing, and no error
        (0, 0, 1, range(0, 0)),
    ],
)
def test_rank_range(n, rank, size, rows):
    assert rank_range(n, rank, size) == rows


@pytest.mark.parametrize("n", [0, 1, 5, 7, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_ranks_divide_all_rows(n, size):
    parts = [rank_range(n, rank, size) for rank in range(size)]
    assert [row for part in parts for row in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_rank_draws_all_work_in_order(world):
    assert list(world.queue(3)) == [0, 1, 2]


def test_node_array_is_zeros(world):
    array = world.node_array((2, 3), np.float32)
    assert array.dtype == np.float32 and array.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert world.node_array((0, 3), np.float32).shape == (0, 3)


def test_errors_of_all_ranks_are_marked(world):
    """The command prints such an error once, and no rank needs to end the others."""
    with pytest.raises(InputError) as caught:
        world.agree(InputError("x"))
    assert caught.value.known_to_all

    def fail():
        raise ValueError("y")

    with pytest.raises(ValueError, match="y") as caught:
        world.on_root(fail)
    assert caught.value.known_to_all
    world.agree(None)
    assert world.on_root(lambda: 3) == 3
