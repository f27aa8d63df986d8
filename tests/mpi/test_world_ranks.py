"""The queue, its results and the shared memory of several ranks."""

from support.launch import mpirun

QUEUE = """
import sys, time
from pathlib import Path
from cosmodeep_hpc.parallel.world import open_world

world = open_world()
for n in (20, 1, 0, 7):  # more and fewer than ranks; one queue after the other
    drawn = world.comm.allgather(list(world.queue(n)))
    assert sorted(number for part in drawn for number in part) == list(range(n)), drawn

end, mine = Path(sys.argv[1]), []
for number in world.queue(12):
    mine.append(number)
    time.sleep(0.05)
    while world.is_root and not end.exists():
        time.sleep(0.05)  # outside MPI: the others must not need it to draw all the rest
if not world.is_root:
    end.touch()
parts = world.comm.allgather(mine)
assert sorted(sum(parts, [])) == list(range(12)) and len(parts[0]) == 1, parts
print("queue ok")
"""

MAP = """
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import is_collective, open_world

world = open_world()
found = world.map(lambda number: (number, world.rank), 20)
assert [number for number, _ in found] == list(range(20))
assert all(other == found for other in world.comm.allgather(found))

def fail(number):
    if number % 7 == 5:
        raise InputError(f"part {number}")

said = ""
try:
    world.map(fail, 20)
except InputError as error:
    assert is_collective(error)
    said = str(error)
assert said and set(world.comm.allgather(said)) == {said}
print("map ok")
"""

MEMORY = """
import gc
import numpy as np
from cosmodeep_hpc.parallel.world import open_world

world = open_world()
shared = world.node_array((5, 3), np.float32)
assert shared.shape == (5, 3) and not shared.any()
world.node.Barrier()
shared[world.local_rank] = world.local_rank + 1  # each rank writes a row of its own
world.node.Barrier()
gc.collect()  # nothing but the array keeps the memory
rows = [[r + 1] * 3 for r in range(world.local_size)]
assert shared[: world.local_size].tolist() == rows
assert world.node_array((0, 3), np.float32).shape == (0, 3)
print("memory ok")
"""


def test_each_number_is_drawn_once_and_a_busy_rank_holds_nobody_up(tmp_path):
    job = mpirun(3, "-c", QUEUE, tmp_path / "end", timeout=60)
    assert job.returncode == 0 and job.stdout.count("queue ok") == 3, job.stdout


def test_results_and_bad_input_reach_every_rank():
    job = mpirun(3, "-c", MAP, timeout=60)
    assert job.returncode == 0 and job.stdout.count("map ok") == 3, job.stdout


def test_memory_of_a_node_is_one():
    job = mpirun(3, "-c", MEMORY, timeout=60)
    assert job.returncode == 0 and job.stdout.count("memory ok") == 3, job.stdout
