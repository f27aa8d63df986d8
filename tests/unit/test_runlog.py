"""What a run records of its steps."""

import json

import pytest

from cosmodeep_hpc.learn.runlog import BOARD, METRICS, Meter, RunLog


def test_means_and_times_of_steps():
    clock = [1000.0]  # stands until it is set
    meter = Meter(lambda: clock[0])
    for loss, correct, tiles, seconds in ((10.0, 4, 8, 2.0), (8.0, 1, 2, 6.0)):
        clock[0] += 1.0  # something else
        with meter.timing("step"):
            clock[0] += seconds
        meter.add(loss, correct, tiles)
    assert meter.last_loss == 4.0
    assert meter.read(3, {"allreduce": 3.0}) == {
        "epoch": 3,
        "loss": 1.8,
        "accuracy": 0.5,
        "tiles_per_second": 1.0,
        "step_seconds": 4.0,
        "allreduce_seconds": 1.5,
    }
    meter.add(6.0, 1, 2)
    clock[0] += 1.0
    with meter.timing("data"):
        clock[0] += 1.0
    assert meter.share("step") == 8.0 / 12.0 and meter.share("data") == 1.0 / 12.0
    assert meter.share("sleep") == 0
    again = meter.read(4, {})  # it begins anew
    assert again["loss"] == 3.0 and again["data_seconds"] == 1.0
    assert "step_seconds" not in again


def shown(run):
    """The steps and values of a scalar that TensorBoard shows, in the order of its files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    board = EventAccumulator(str(run / BOARD))
    board.Reload()
    return [
        (event.step, pytest.approx(float(make_ndarray(event.tensor_proto))))
        for event in board.Tensors("train/loss")
    ]


def test_a_resumed_run_has_one_line_a_step(tf, tmp_path):
    """Steps after the last checkpoint are done again: in both records they are there once."""
    log = RunLog(tmp_path, tf, after_step=0)
    for step in range(1, 6):
        log.write("train", step, {"epoch": 0, "loss": 1.0 / step})
    log.close()
    again = RunLog(tmp_path, tf, after_step=3)
    for step in (4, 5, 6):
        again.write("train", step, {"epoch": 0, "loss": 10.0 / step})
    again.close()
    expected = [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 10 / 4), (5, 2.0), (6, 10 / 6)]
    lines = map(json.loads, (tmp_path / METRICS).read_text().splitlines())
    assert [(line["step"], line["loss"]) for line in lines] == expected
    assert shown(tmp_path) == expected
    assert len(list((tmp_path / BOARD).glob("events.*"))) == 1
