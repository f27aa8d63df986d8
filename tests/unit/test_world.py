"""How work is divided, and what one rank's error means for all."""

import subprocess
import sys

import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import alone, is_collective, rank_range


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


def test_parts_give_their_results_in_order_and_tell_their_progress(world):
    told = []
    assert world.map(lambda number: number**2, 3, lambda *parts: told.append(parts)) == [0, 1, 4]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert world.map(lambda number: number, 0, lambda *parts: told.append(parts)) == []
    assert told[4:] == []


def test_after_bad_input_no_further_part_is_done(world):
    begun = []

    def work(number):
        begun.append(number)
        if number == 1:
            raise InputError("bad.fits: x")

    with pytest.raises(InputError, match="bad.fits") as caught:
        world.map(work, 4)
    assert is_collective(caught.value) and begun == [0, 1]


def test_a_fault_in_a_part_is_its_rank_s_alone(world):
    with pytest.raises(ZeroDivisionError) as caught:
        world.map(lambda number: 1 // number, 2)
    assert not is_collective(caught.value)


def test_node_array_is_zeros(world):
    array = world.node_array((2, 3), np.float32)
    assert array.dtype == np.float32 and array.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert world.node_array((0, 3), np.float32).shape == (0, 3)


def test_errors_of_all_ranks_are_marked(world):
    """The command prints such an error once, and no rank needs to end the others."""
    with pytest.raises(InputError) as caught:
        world.agree(InputError("x"))
    assert is_collective(caught.value)

    def fail():
        raise ValueError("y")

    with pytest.raises(ValueError, match="y") as caught:
        world.on_root(fail)
    assert is_collective(caught.value)
    assert not is_collective(InputError("x"))
    world.agree(None)
    assert world.on_root(lambda: 3) == 3


def test_a_world_alone_answers_every_call_by_itself():
    world = alone()
    assert (world.rank, world.size, world.local_rank, world.local_size) == (0, 1, 0, 1)
    assert world.is_root and world.share(5) == range(5)
    assert world.comm.allgather("a") == world.comm.gather("a") == ["a"]
    assert world.comm.bcast("a") == "a"
    assert world.any(True) and not world.any(False)
    world.comm.Barrier()
    with pytest.raises(SystemExit) as end:
        world.abort(3)
    assert end.value.code == 3


ALONE = """
import sys
sys.modules["mpi4py"] = None  # an import of it fails
from cosmodeep_hpc.parallel import runtime, workpool, world

class Tasks:
    left, made = [1, 2, 3], []
    def draw(self):
        return self.left.pop() if self.left else workpool.Idle.END
    def take(self, task, result):
        self.made.append(result)

one = world.alone()
assert runtime.cores_of_rank(one) >= 1
assert list(one.queue(2)) == [0, 1] and not one.node_array((2,), float).any()
workpool.work(one, Tasks(), lambda task: task, lambda task, prepared: 10 * prepared)
assert Tasks.made == [30, 20, 10]
"""


def test_a_world_alone_needs_no_mpi():
    subprocess.run([sys.executable, "-c", ALONE], check=True)
