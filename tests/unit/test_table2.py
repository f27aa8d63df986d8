"""Table 2: means and errors over runs by hand, beside the numbers of the paper."""

import json

import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.paper import evaluations, table2
from cosmodeep_hpc.paper.published import TABLE_2
from cosmodeep_hpc.paper.table2 import rows
from cosmodeep_hpc.sky.occupancy import PAPER


def write(folder, name, As=0.9, n_pix=40, f_th=1e-7, images=("a", "b"), **changes):  # noqa: N803
    """A metrics.json of these accuracies, as `evaluate` writes it."""
    seed = sum(name.encode())  # every run has another one
    content = {
        "model": {"name": f"{name}.keras", "sha256": name, "seed": seed, "images_seen": 203},
        "f_th": f_th,
        "n_pix": n_pix,
        "total": {"As": As, "Ws": 0.98, "Wv": 0.997, "Ns": 150},
        "mean": {ratio: {"mean": 0.5, "standard_error": 0.02} for ratio in ("As", "Ws", "Wv")},
        "an_image": {image: {} for image in images},
        **changes,
    }
    path = folder / name / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return path


def test_two_runs_by_hand(tmp_path):
    """0.90 and 0.92: 0.91 +- 0.01. The paper: 0.9088 +- 0.0090."""
    write(tmp_path, "x/run1", 0.90)
    write(tmp_path, "x/y/run2", 0.92)
    [row] = rows(evaluations.read_all(tmp_path))
    cell = row.cells["As"]
    assert cell.ours.value == pytest.approx(0.91) and cell.ours.error == pytest.approx(0.01)
    assert cell.difference == pytest.approx(0.91 - 0.9088)
    assert cell.in_errors == pytest.approx((0.91 - 0.9088) / (0.01**2 + 0.009**2) ** 0.5)
    assert row.cells["Ws"].ours.error == 0  # both runs the same
    assert row.cells["Ws"].in_errors == pytest.approx((0.98 - 0.9827) / 0.0003)
    assert row.signal_tiles.value == 75 and row.paper_signal_tiles == 75
    text = table2.text([row])
    assert "0.9100 +- 0.0100" in text and "0.9088 +- 0.0090" in text and "+0.1" in text
    assert "CAREFUL" not in text and "N_pix 9, F_th 1e-08" in text.splitlines()[-1]


def test_a_single_run_has_the_error_over_its_images(tmp_path):
    write(tmp_path, "run")
    [row] = rows(evaluations.read_all(tmp_path))
    assert row.cells["As"].ours.error == 0.02  # of mean, As
    assert "0.9000 +- 0.0200*" in table2.text([row])


def test_rules_stand_in_the_order_of_the_paper(tmp_path):
    for number, (n_pix, f_th) in enumerate(reversed(TABLE_2)):
        # as a sum of powers of two may come out
        write(tmp_path, f"run{number}", n_pix=n_pix, f_th=f_th * (1 + 1e-12))
    found = rows(evaluations.read_all(tmp_path))
    assert [row.rule for row in found] == list(TABLE_2) == list(PAPER)
    assert "not evaluated" not in table2.text(found)


def test_what_the_paper_has_not_is_left_open(tmp_path):
    write(tmp_path, "run", n_pix=20, f_th=2e-7)
    write(tmp_path, "empty", n_pix=9, total={"As": None, "Ws": None, "Wv": 1.0, "Ns": 0})
    twenty, nine = rows(evaluations.read_all(tmp_path))
    assert twenty.cells["As"].paper is None and twenty.cells["As"].in_errors is None
    assert nine.cells["As"].ours is None and nine.cells["As"].difference is None
    assert "None" not in table2.text([twenty, nine])
    assert "nan" not in table2.markdown([twenty, nine])


def test_runs_on_different_images_are_named(tmp_path):
    write(tmp_path, "one")
    write(tmp_path, "two", images=("a", "b", "c"))
    [row] = rows(evaluations.read_all(tmp_path))
    text = table2.text([row])
    assert not row.same_images and "CAREFUL" in text and " 2-3 " in text


def test_runs_of_one_seed_are_named(tmp_path):
    """As of two different networks, whose mean is that of neither."""
    model = {"name": "model.keras", "seed": 1, "images_seen": 203}
    write(tmp_path, "one", model={**model, "sha256": "one"})
    write(tmp_path, "two", model={**model, "sha256": "two"})
    [row] = rows(evaluations.read_all(tmp_path))
    assert row.same_seed and "CAREFUL: runs of N_pix 40, F_th 1e-07" in table2.text([row])


def test_the_error_of_the_images_is_said_beside_that_of_the_runs(tmp_path):
    write(tmp_path, "run1", 0.90)
    [row] = rows(evaluations.read_all(tmp_path))
    assert row.over_images is None  # it stands in the table
    write(tmp_path, "run2", 0.92)
    [row] = rows(evaluations.read_all(tmp_path))
    assert row.over_images == 0.02 and "of As, up to 0.0200" in table2.text([row])


@pytest.mark.parametrize(
    "points, told",
    [
        (("accuracy", "accuracy"), ""),
        (("accuracy", None), ""),  # of an older version, which did not say
        (("purity", "accuracy"), "are of the points accuracy and purity"),
    ],
)
def test_runs_at_different_operating_points_are_named(tmp_path, points, told):
    for number, point in enumerate(points):
        write(tmp_path, f"run{number}", **({} if point is None else {"point": point}))
    [row] = rows(evaluations.read_all(tmp_path))
    text = table2.text([row])
    assert told in text and ("CAREFUL" in text) == bool(told)
    runs = table2.as_dict([row], tmp_path)["rows"][0]["runs"]
    assert [run["point"] for run in runs] == list(points)


def test_three_files_say_the_same(tmp_path):
    write(tmp_path / "in", "run1", 0.90)
    write(tmp_path / "in", "run2", 0.92)
    (tmp_path / "out").mkdir()
    found = evaluations.read_all(tmp_path / "in")
    text = table2.write(found, tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "table2.txt").read_text() == text + "\n"
    assert (
        "| 0.9100 ± 0.0100 (0.9088 ± 0.0090) +0.1 |" in (tmp_path / "out" / "table2.md").read_text()
    )
    [row] = json.loads((tmp_path / "out" / "table2.json").read_text())["rows"]
    assert row["As"]["ours"]["value"] == pytest.approx(0.91) and row["error_over"] == "runs"
    assert [run["seed"] for run in row["runs"]] == [sum(b"run1"), sum(b"run2")]
    assert [run["path"] for run in row["runs"]] == ["run1/metrics.json", "run2/metrics.json"]


def test_a_model_does_not_count_twice(tmp_path):
    write(tmp_path, "a")
    path = write(tmp_path, "b", model={"name": "copy.keras", "sha256": "a"})
    with pytest.raises(InputError, match=f"{path}: of the same model as .*a/metrics.json"):
        evaluations.read_all(tmp_path)


def test_a_model_of_many_rules_has_a_row_for_each(tmp_path):
    model = {"name": "counts.keras", "sha256": "one", "seed": 1}
    write(tmp_path, "by-40", model=model)
    write(tmp_path, "by-9", n_pix=9, model=model)
    assert [row.rule[0] for row in rows(evaluations.read_all(tmp_path))] == [40, 9]


@pytest.mark.parametrize(
    "changes",
    [
        {"images": ()},
        {"reliability": {"edges": [0, 1], "tiles": [2], "signal": [1], "probability": [0.5]}},
    ],
)
def test_results_that_cannot_be_used_are_named(tmp_path, changes):
    """Of no image, or counted in bins of another version."""
    path = write(tmp_path, "run", **changes)
    with pytest.raises(InputError, match=f"{path}: not a result of `cosmodeep evaluate`"):
        evaluations.read_all(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{}", "not a result of `cosmodeep evaluate`"),
        ("[1]", "not a result of `cosmodeep evaluate`"),
        ('{"kind": "train"}\n{"kind": "train"}', "not a JSON file"),
    ],
)
def test_other_files_of_that_name_are_named(tmp_path, content, message):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=f"metrics.json: {message}"):
        evaluations.read_all(tmp_path)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(InputError, match="no metrics.json in it"):
        evaluations.read_all(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        evaluations.read_all(tmp_path / "nowhere")


def test_results_of_an_older_version_are_read(tmp_path):
    """They say neither seed nor operating point nor counts by probability."""
    write(tmp_path, "old", model={"name": "m.keras", "sha256": "x"})
    [one] = evaluations.read_all(tmp_path)
    assert (one.seed, one.images_seen, one.point, one.reliability) == (None,) * 4


@pytest.mark.parametrize(
    "rule, missed, false",
    [
        # section 5: "around 1 to 2 tiles with signal", "around 6 pure noise tiles per image"
        ((40, 1e-7), (1, 2), (6, 7)),
        # "around 2 to 3 tiles misclassified as 1F and around 10 as 0F"
        ((9, 1e-7), (2, 3), (10, 11)),
        # "around 0.5 and 3 false negatives and 6 and 7 false positives" for the two models
        ((40, 7.5e-8), (0.4, 0.6), (6, 7.1)),
        ((9, 7.5e-8), (2.5, 3.5), (7, 8)),
    ],
)
def test_the_papers_table_agrees_with_its_text(rule, missed, false):
    values = {name: cell.value for name, cell in TABLE_2[rule].items()}
    assert missed[0] <= PAPER[rule] * (1 - values["Ws"]) <= missed[1]
    assert false[0] <= 2500 * (1 - values["Wv"]) <= false[1]
