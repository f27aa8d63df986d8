"""A search: which runs there are, what their records say, how they are ranked and drawn."""

import csv
import json
import shlex
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import kstest

from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.cli.parser import build_parser
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.tune import Tune
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.tune import figures, results, summary
from cosmodeep_hpc.learn.tune.grid import config_of, count, tune_run
from cosmodeep_hpc.learn.tune.results import Result, ranking, read_record
from cosmodeep_hpc.learn.tune.summary import array_of

SMALL = Tune(learning_rates=(1e-4, 1e-3), batches=(10, 20), epochs=(1, 3))


@pytest.mark.parametrize(
    "test, rate, batch, epochs",
    [
        (1, 1e-6, 15, 10),
        (9, 1e-3, 15, 10),  # the learning rate changes fastest,
        (10, 1e-6, 15, 20),  # then the epochs,
        (36, 1e-3, 15, 100),
        (37, 1e-6, 30, 10),  # then the batch
        (168, 7e-5, 100, 50),  # table 1: the paper's choice
        (180, 1e-3, 100, 100),
    ],
)
def test_the_default_is_the_papers_grid(test, rate, batch, epochs):
    """180 combinations of 9 learning rates, 5 batches and 4 numbers of epochs (figure 5)."""
    tune = Tune()
    found = {
        number: (run.learning_rate, run.batch, n)
        for run in (tune_run(tune, k) for k in range(count(tune)))
        for number, n in zip(run.tests, run.epochs, strict=True)
    }
    assert sorted(found) == list(range(1, 181)) and len(set(found.values())) == 180
    assert found[test] == (rate, batch, epochs)


def test_combinations_that_differ_in_epochs_are_one_run():
    tune = Tune()
    assert count(tune) == 45
    assert sum(max(tune_run(tune, k).epochs) for k in range(45)) == 4500


@pytest.mark.parametrize("number", [-1, 45])
def test_no_such_run(number):
    with pytest.raises(InputError, match=rf"run {number}: expected 0 to 44, as in --array=0-44"):
        tune_run(Tune(), number)


def test_a_random_search_is_even_in_the_logarithm():
    tune = Tune(search="random", learning_rates=(1e-6, 1e-3), batches=(15, 100), runs=600)
    runs = [tune_run(tune, k) for k in range(600)]
    rates = np.log10([run.learning_rate for run in runs])
    batches = np.log([run.batch for run in runs])
    assert kstest((rates + 6) / 3, "uniform").pvalue > 0.01
    low, high = np.log(15), np.log(100)
    assert kstest((batches - low) / (high - low), "uniform").statistic < 0.07  # whole numbers
    assert abs(np.corrcoef(rates, batches)[0, 1]) < 0.1
    assert sorted(t for run in runs for t in run.tests) == list(range(1, 2401))


def test_a_random_search_can_be_made_longer():
    short = Tune(search="random", runs=5)
    runs = [tune_run(short, k) for k in range(5)]
    assert runs == [tune_run(replace(short, runs=50), k) for k in range(5)]
    assert runs != [tune_run(replace(short, seed=2), k) for k in range(5)]
    assert len({run.learning_rate for run in runs}) == 5


def test_a_range_of_one_value_is_that_value():
    tune = Tune(search="random", learning_rates=(3.3333e-5,), batches=(64,))
    assert tune_run(tune, 3).learning_rate == pytest.approx(3.33e-5)
    assert tune_run(tune, 3).batch == 64


@pytest.mark.parametrize(
    "asked, epochs, found",
    [(1, (10, 20, 50, 100), 1), (5, (10, 20, 50, 100), 5), (20, (10, 50), 10), (4, (3, 9), 1)],
)
def test_a_run_is_validated_at_each_of_its_epochs(asked, epochs, found):
    options = configuration.load(None, [("train.validate_epochs", str(asked)), ("train.seed", "7")])
    run = tune_run(replace(SMALL, epochs=epochs), 3)
    own = config_of(options, run)
    assert own.train == replace(
        options.train, learning_rate=1e-3, batch=20, epochs=max(epochs), validate_epochs=found
    )
    assert replace(own, train=options.train) == options


@pytest.mark.parametrize(
    "name, value, line",
    [
        ("learning_rates", "[]", "tune.learning_rates = []: expected distinct values"),
        ("batches", "[10, 10]", "tune.batches = [10, 10]: expected distinct values"),
        ("epochs", "[0]", "tune.epochs = 0: expected a value of at least 1"),
        ("learning_rates", "[0.0]", "tune.learning_rates = 0.0: expected a value of more than 0"),
        ("batches", "[1.5]", "tune.batches[0] = 1.5: expected a whole number"),
        ("search", "grd", "tune.search = 'grd': expected one of 'grid', 'random'"),
    ],
)
def test_bad_options(name, value, line):
    with pytest.raises(InputError) as error:
        configuration.load(None, [(f"tune.{name}", value)])
    assert line in str(error.value)


@pytest.mark.parametrize("word, found", [("7", (7, None)), ("0/4", (0, 4)), ("3/4", (3, 4))])
def test_task(word, found):
    words = ["tune", "--tiles", "t", "--out", "o", "--task", word]
    assert build_parser().parse_args(words).task == found


@pytest.mark.parametrize("word", ["4/4", "-1", "1/", "x", "1.5", ""])
def test_no_task(word):
    with pytest.raises(InputError, match="expected K"):
        build_parser().parse_args(["tune", "--out", "o", f"--task={word}"])


@pytest.mark.parametrize(
    "words, line",
    [
        ((), "tune: expected --tiles DIR, or --summary"),
        (("--summary",), "no search in it"),
        (("--tiles", "none"), "none/index.json: no such file"),
    ],
)
def test_refused_in_a_line(words, line, tmp_path, capfd):
    assert main(["tune", "--out", str(tmp_path), *words]) == 2
    said = capfd.readouterr().err
    assert line in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "numbers, words",
    [
        ([3], "3"),
        ([42, 3, 17], "3,17,42"),
        ([0, 1], "0,1"),
        ([0, 1, 2, 5, 7, 8, 9], "0-2,5,7-9"),
        (range(45), "0-44"),
    ],
)
def test_array_of(numbers, words):
    assert array_of(list(numbers)) == words


def accuracy(Nsc, Nsw, Nvc, Nvw):  # noqa: N803
    As = Nsc / (Nsc + Nsw + Nvw) if Nsc + Nsw + Nvw else None
    ratios = {"As": As, "Ws": Nsc / (Nsc + Nsw) if Nsc + Nsw else None, "Wv": Nvc / (Nvc + Nvw)}
    counts = {"Ns": Nsc + Nsw, "Nv": Nvc + Nvw, "Nsc": Nsc, "Nsw": Nsw, "Nvc": Nvc, "Nvw": Nvw}
    return {**ratios, **counts, "threshold": 0.5}


def record(folder, lines):
    """Write a run's record: validations as (epoch, step, accuracy), paces as (step, tiles/s)."""
    folder.mkdir(parents=True)
    with (folder / "metrics.jsonl").open("w") as file:
        for line in lines:
            if isinstance(line, str):
                file.write(line)
            elif len(line) == 2:
                values = dict(zip(("step", "tiles_per_second"), line, strict=True))
                file.write(json.dumps({"kind": "train", **values}) + "\n")
            else:
                epoch, step, found = line
                values = {"kind": "validation", "step": step, "epoch": epoch, **found}
                file.write(json.dumps(values) + "\n")


def test_what_the_record_of_a_run_says(tmp_path):
    """Batches of 10: 10 steps at 50 tiles/s are 2 s, 20 more at 100 tiles/s are 2 s."""
    run = tune_run(SMALL, 1)
    early, late = accuracy(6, 4, 90, 0), accuracy(9, 1, 89, 1)
    lines = [
        (10, 50.0),
        (0, 20, accuracy(0, 10, 90, 0)),  # done again after a crash: the later line counts
        (0, 20, early),
        (30, 100.0),
        (1, 40, accuracy(8, 2, 90, 0)),
        (60, 100.0),
        (2, 60, late),
        '{"kind": "train", "ste',  # cut short by a crash
    ]
    record(tmp_path / "run", lines)
    points, validation = read_record(tmp_path / "run", run)
    assert [v["epochs"] for v in validation] == [1, 2, 3]
    first, last = points
    assert (first["test"], first["epochs"], first["As"], first["Nsw"]) == (2, 1, 0.6, 4)
    assert (last["test"], last["epochs"], last["of_epoch"]) == (4, 3, 3)
    assert last["As"] == 9 / 11
    assert (first["seconds"], last["seconds"]) == pytest.approx((3, 7))
    assert last["tiles_per_second"] == pytest.approx(600 / 7)


def test_a_run_that_failed_keeps_the_points_it_reached(tmp_path):
    record(tmp_path / "run", [(10, 50.0), (0, 10, accuracy(6, 4, 90, 0))])
    (point,), _ = read_record(tmp_path / "run", tune_run(SMALL, 0), ended=False)
    assert (point["epochs"], point["test"]) == (1, 1)


def test_a_run_that_stopped_early_is_its_last_or_best_validation(tmp_path):
    found = [accuracy(n, 10 - n, 90, 0) for n in (8, 9, 9, 7)]
    lines = [line for e in range(4) for line in ((10 * e + 10, 50.0), (e, 10 * e + 10, found[e]))]
    record(tmp_path / "run", lines)
    run = tune_run(replace(SMALL, epochs=(1, 3, 50)), 0)
    judged = {"last": [(1, 0.8), (3, 0.9), (4, 0.7)], "best": [(1, 0.8), (2, 0.9), (2, 0.9)]}
    for keep, expected in judged.items():
        points, _ = read_record(tmp_path / "run", run, keep=keep)
        assert [(p["of_epoch"], p["As"]) for p in points] == expected
        assert [p["epochs"] for p in points] == [1, 3, 50]
        assert points[-1]["seconds"] == pytest.approx(40 * 10 / 50)


def result(run, points, error=None):
    made = [
        {"test": test, "epochs": n, "of_epoch": n, **point, "seconds": 10.0 * n}
        | {"tiles_per_second": 9.0}
        for test, n, point in zip(run.tests, run.epochs, points, strict=False)
    ]
    validation = [{"epochs": n, **point} for n, point in zip(run.epochs, points, strict=False)]
    return Result(run=run, error=error, points=tuple(made), validation=tuple(validation), ranks=1)


def test_ranking_by_as_then_ws_with_ties():
    best = accuracy(9, 1, 89, 1)  # As 9/11, Ws 0.9
    same_as = accuracy(18, 4, 90, 0)  # As 9/11, Ws 9/11
    none = accuracy(0, 0, 90, 0)  # no signal tile: As is not defined
    results = [
        result(tune_run(SMALL, 0), [same_as, best]),  # tests 1, 3
        result(tune_run(SMALL, 1), [none, best]),  # tests 2, 4
        result(tune_run(SMALL, 2), [accuracy(5, 5, 90, 0), accuracy(10, 0, 90, 0)]),  # 5, 7
    ]
    found = [(row["place"], row["test"]) for row in ranking(results)]
    assert found == [(1, 7), (2, 3), (2, 4), (4, 1), (5, 5), (6, 2)]


def test_a_result_reads_back(tmp_path):
    (tmp_path / "results").mkdir()
    written = result(tune_run(SMALL, 2), [accuracy(9, 1, 89, 1)], error="it is full")
    written.write(tmp_path)
    assert results.read(tmp_path, tune_run(SMALL, 2)) == written
    assert results.read(tmp_path, tune_run(SMALL, 1)) is None
    text = (tmp_path / "results/0002.json").read_text()
    for other in (replace(SMALL, learning_rates=(1e-5, 1e-3)), replace(SMALL, epochs=(1, 4))):
        with pytest.raises(InputError, match="results/0002.json: .* the result of another search"):
            results.read(tmp_path, tune_run(other, 2))
    for damaged in (text[:-9], "[]", text.replace('"points"', '"point"')):
        (tmp_path / "results/0002.json").write_text(damaged)
        with pytest.raises(InputError, match="results/0002.json: not "):
            results.read(tmp_path, tune_run(SMALL, 2))


@pytest.fixture
def searched(tmp_path):
    """A search of four runs: two done, one failed on its way, one missing."""
    out, tiles = tmp_path / "a search", tmp_path / "tiles"
    (out / "results").mkdir(parents=True)
    tiles.mkdir()
    (out / "tiles.json").write_text(json.dumps({"tiles": str(tiles), "index_sha256": "0"}))
    settings = replace(configuration.Config(), tune=SMALL)
    settings.write(out / "config.json")
    result(tune_run(SMALL, 0), [accuracy(6, 4, 90, 0), accuracy(9, 1, 89, 1)]).write(out)
    result(tune_run(SMALL, 3), [accuracy(7, 3, 90, 0), accuracy(10, 0, 90, 0)]).write(out)
    result(tune_run(SMALL, 1), [accuracy(1, 9, 90, 0)], error="the loss\nis nan").write(out)
    return out


def test_the_summary_lists_all_runs(searched, tmp_path, capfd):
    assert main(["tune", "--summary", "--out", str(searched)]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith("2 of 4 runs done, 1 failed, 1 missing; 5 of 8 combinations")
    places = [line.split()[:7] for line in said[2:7]]
    assert places[0] == ["1", "8", "3", "0.001", "20", "3", "1.0000"]
    assert [row[1] for row in places] == ["8", "3", "6", "1", "2"]
    assert "failed: run 1: the loss is nan" in said and "missing: 2" in said
    command = next(line for line in said if "sbatch" in line).partition(": ")[2]
    folder, tiles = str(searched), str(tmp_path / "tiles")
    options = ["--config", f"{folder}/config.json", "--tiles", tiles, "--out", folder]
    assert shlex.split(command) == ["sbatch", "--array=1,2", "slurm/tune.sh", *options]
    table = list(csv.DictReader((searched / "summary.csv").open()))
    assert [row["test"] for row in table] == ["8", "3", "6", "1", "2"]
    assert (table[0]["As"], table[0]["batch"], table[0]["seconds"]) == ("1.0", "20", "30.0")
    content = json.loads((searched / "summary.json").read_text())
    assert (content["failed"], content["missing"]) == ({"1": "the loss\nis nan"}, [2])
    assert content["again"] == command and content["ranking"][0]["test"] == 8
    for picture in (summary.FIGURE_5, summary.FIGURE_6):
        assert (searched / picture).read_bytes().startswith(b"\x89PNG")


def test_a_summary_before_the_first_result(searched, capfd):
    for path in (searched / "results").iterdir():
        path.unlink()
    assert main(["tune", "--summary", "--out", str(searched)]) == 0
    said = capfd.readouterr().out
    assert "0 of 4 runs done, 0 failed, 4 missing" in said and "--array=0-3 slurm" in said


def test_the_place_of_a_tile_set_that_is_gone_is_left_to_fill_in(searched, tmp_path):
    (tmp_path / "tiles").rmdir()
    assert "--tiles DIR " in summary.command_for([1], searched)
    assert f"--tiles {searched.parent} " in summary.command_for([1], searched, searched.parent)


def test_more_runs_than_an_array_does_at_once(searched):
    assert "--array=0-8%8 " in summary.command_for(range(9), searched)
    assert "--array=0-7 " in summary.command_for(range(8), searched)


def test_figure_5(searched):
    """As above, Ws (diamonds) and Wv (triangles) below, over TestID, coloured by learning rate."""
    found, _ = results.read_all(searched, SMALL)
    upper, lower, bar = figures.accuracy(SMALL, ranking(found)).axes
    points = {tuple(p) for p in upper.collections[0].get_offsets().tolist()}
    assert points == {(1, 0.6), (3, 9 / 11), (6, 0.7), (8, 1.0), (2, 0.1)}
    ws, wv = (axes.get_offsets().tolist() for axes in lower.collections[:2])
    assert sorted(ws) == [[1, 0.6], [2, 0.1], [3, 0.9], [6, 0.7], [8, 1.0]]
    assert sorted(wv) == [[1, 1.0], [2, 1.0], [3, 89 / 90], [6, 1.0], [8, 1.0]]
    tests = [test for test, _ in ws]
    rates = dict(zip(tests, lower.collections[0].get_array().tolist(), strict=True))
    assert rates[1] == rates[3] == 1e-4 and rates[6] == rates[8] == 1e-3
    said = [text.get_text() for text in lower.get_legend().get_texts()]
    assert said == ["Ws, tiles with signal", "Wv, tiles without"]
    assert [text.get_text() for text in upper.texts] == ["N$_b$ 10", "N$_b$ 20"]
    labels = upper.get_ylabel(), lower.get_ylabel(), lower.get_xlabel(), bar.get_ylabel()
    for label, name in zip(labels, ("As", "Wv", "TestID", "learning rate"), strict=True):
        assert name in label
    assert bar.get_yscale() == "log"


def test_figure_6(searched):
    """The share of tiles classified correctly over epochs, where 0.5 is guessing."""
    found, _ = results.read_all(searched, SMALL)
    axes, _ = figures.convergence(found).axes
    curves = sorted((list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines[:3])
    expected = [([1], [0.55]), ([1, 3], [0.8, (0.9 + 89 / 90) / 2]), ([1, 3], [0.85, 1.0])]
    for (x, y), (at, share) in zip(curves, expected, strict=True):
        assert x == at and y == pytest.approx(share)
    assert list(axes.lines[3].get_ydata()) == [0.5, 0.5]
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert said == ["guessing", "N$_b$ 10", "N$_b$ 20"]
    assert "(Ws + Wv) / 2" in axes.get_ylabel() and "epochs" in axes.get_xlabel()


def test_options_of_a_search_are_in_the_configuration():
    assert configuration.from_dict({"tune": asdict(SMALL)}, "test").tune == SMALL
