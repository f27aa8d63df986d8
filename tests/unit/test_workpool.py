"""The pool: each task once, the next one prepared meanwhile, errors where they belong."""

import threading

import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel import workpool
from cosmodeep_hpc.parallel.workpool import Idle
from cosmodeep_hpc.parallel.world import open_world


class Chain:
    """Tasks 0 .. n-1, where `last` is ready once all others are taken back."""

    def __init__(self, n):
        self.left, self.n = list(range(n - 1)), n
        self.drawn, self.results = set(), {}

    def draw(self):
        if not self.left and len(self.results) == self.n - 1 and not self.drawn:
            self.left.append(self.n - 1)
        if self.left:
            task = self.left.pop(0)
            self.drawn.add(task)
            return task
        return Idle.WAIT if self.drawn else Idle.END

    def take(self, task, result):
        self.drawn.remove(task)
        self.results[task] = result
        if len(self.results) == self.n:
            self.left = []

    def is_over(self):
        return len(self.results) == self.n


class Once(Chain):
    def draw(self):
        return Idle.END if self.is_over() else super().draw()


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_every_task_is_done_once_and_the_last_after_all_others(n):
    source, order = Once(n), []
    workpool.work(open_world(), source, lambda t: 10 * t, lambda t, p: order.append(t) or p + t)
    assert source.results == {task: 11 * task for task in range(n)}
    assert order == list(range(n))


def test_the_next_task_is_prepared_while_one_is_finished():
    """Each `finish` waits until the next task has been prepared: alone it would wait for ever."""
    begun = [threading.Event() for _ in range(6)]
    source = Once(6)

    def finish(task, prepared):
        if task < 4:  # the last one is ready only when this one is done
            assert begun[task + 1].wait(10)
        return prepared

    workpool.work(open_world(), source, lambda t: begun[t].set(), finish)
    assert source.is_over()


def test_several_threads_prepare_and_a_slow_task_holds_up_no_other():
    """Task 0 is prepared once all others of its kind are finished: else it would wait for ever."""
    others = threading.Semaphore(0)
    source, order = Once(8), []

    def prepare(task):
        for _ in range(6 if task == 0 else 0):
            assert others.acquire(timeout=10)
        return 10 * task

    def finish(task, prepared):
        order.append(task)
        others.release()
        return prepared + task

    workpool.work(open_world(), source, prepare, finish, threads=3)
    assert source.results == {task: 11 * task for task in range(8)}
    assert sorted(order) == list(range(8)) and order[-2:] == [0, 7]


def test_as_many_tasks_as_threads_are_prepared_at_once():
    together = threading.Barrier(3, timeout=10)

    def prepare(task):
        if task < 6:  # the last one is ready only when these are done
            together.wait()

    source = Once(7)
    workpool.work(open_world(), source, prepare, lambda task, prepared: None, threads=3)
    assert source.is_over()


@pytest.mark.parametrize("place", ["prepare", "finish"])
def test_bad_input_is_the_result_of_its_task_alone(place):
    def fail(task, prepared=None):
        if task == 1:
            raise InputError("no such image")
        return task

    functions = {"prepare": lambda t: t, "finish": lambda t, p: t} | {place: fail}
    source = Once(4)
    workpool.work(open_world(), source, functions["prepare"], functions["finish"])
    assert str(source.results.pop(1)) == "no such image"
    assert source.results == {0: 0, 2: 2, 3: 3}


@pytest.mark.parametrize("place", ["prepare", "finish", "draw", "take"])
def test_a_fault_ends_the_work(place, monkeypatch):
    def fail(*words):
        raise ZeroDivisionError(place)

    source = Once(4)
    functions = {"prepare": lambda t: t, "finish": lambda t, p: t} | {place: fail}
    if place in ("draw", "take"):
        monkeypatch.setattr(source, place, fail)
    with pytest.raises(ZeroDivisionError, match=place):
        workpool.work(open_world(), source, functions["prepare"], functions["finish"])
