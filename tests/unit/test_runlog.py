"""What a run records of its steps."""

from cosmodeep_hpc.learn.runlog import Meter


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
