"""The models of the package can be listed and read about, and are what their cards say."""

import hashlib

import pytest

from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.config import survey
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import modelfile, shipped


def test_all_are_listed(capsys):
    assert cli.main(["models"]) == 0
    listed = capsys.readouterr().out.splitlines()[1:-1]
    assert [line.split()[0] for line in listed] == shipped.names() != []
    for line in listed:
        card = modelfile.read_card(modelfile.find(line.split()[0]))
        assert (int(line.split()[1]), float(line.split()[2])) == (card.n_pix, card.f_th)


@pytest.mark.parametrize("name", shipped.names())
def test_a_card_says_what_a_user_must_know(name, capsys):
    assert cli.main(["models", name]) == 0
    told = capsys.readouterr().out
    digest = hashlib.sha256((modelfile.MODELS / f"{name}.keras").read_bytes()).hexdigest()
    assert digest in told
    for word in ("Data:", "Made by:", "Scores:", "Limits:", "seed"):
        assert word in told
    readings = modelfile.read_card(modelfile.find(name)).readings
    assert ("reads  " in told) == (readings is not None)
    for line in told.splitlines():  # each with its command
        if line.startswith("    bash slurm/"):
            assert (modelfile.MODELS.parents[1] / line.split()[1]).exists()


def test_no_such_model(capsys):
    with pytest.raises(InputError, match="nothing: no such model; expected .*npix40"):
        shipped.describe("nothing")
    assert cli.main(["models", "nothing"]) == 2


def test_the_card_of_a_model_of_ones_own(tmp_path, capsys):
    """Without the text of one that ships; with the table of its map."""
    path = tmp_path / "mine.keras"
    path.write_bytes(modelfile.find("robust").read_bytes())
    assert cli.main(["models", str(path)]) == 0
    told = capsys.readouterr().out
    assert "mine.keras" in told and "Data:" not in told
    points = modelfile.read_card(path).pixels.points[0]
    given, bright, _ = points.reliability[-1]
    assert f"{points.threshold:.4f}" in told and f"{given:.2f} {bright:.2f}" in told


def test_the_models_that_are_taken_unless_told_otherwise_ship():
    assert {survey.DEFAULT_MODEL, survey.PAPERS_MODEL} <= set(shipped.names())
