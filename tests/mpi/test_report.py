"""Figures and tables are the same files on 1 and on 2 ranks; an error ends all of them."""

import pytest
from astropy.table import Table
from support.fields import contents, write_pairs
from support.launch import mpirun
from support.models import write_untrained


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pairs with halos, and a model, in a folder of all that a report is made from."""
    made = tmp_path_factory.mktemp("report")
    write_pairs(made / "images", 2, (200, 200))
    table = {"RA": [150.0], "DEC": [-35.0], "M100": [3e14], "THETA100": [300.0]}
    Table(table).write(made / "images" / "halos-00000.fits")
    write_untrained(made / "mine.keras", threshold=0.3)
    return made


def test_two_ranks_make_the_files_of_one(folder, tmp_path):
    given = ("--model", folder / "mine.keras", "--images", folder / "images")
    done = mpirun(2, "evaluate", *given, "--out", tmp_path / "evaluations" / "one")
    assert done.returncode == 0, done.stdout
    words = (*given, "--evaluations", tmp_path / "evaluations")
    for ranks in (1, 2):
        done = mpirun(ranks, "report", *words, "--out", tmp_path / f"on{ranks}", timeout=250)
        assert done.returncode == 0, done.stdout
    made = contents(tmp_path / "on1")
    assert len(made) == 12 and made == contents(tmp_path / "on2")


def test_a_damaged_result_ends_all_ranks_with_one_line(folder, tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    words = ("--model", folder / "mine.keras", "--evaluations", tmp_path)
    done = mpirun(2, "report", *words, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stdout.count("not a result of `cosmodeep evaluate`") == 1


def test_a_missing_model_ends_all_ranks_with_one_line(tmp_path):
    done = mpirun(2, "report", "--model", tmp_path / "none", "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stdout.count("no such model") == 1
