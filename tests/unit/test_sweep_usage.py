"""What users give a sweep: lists, noises, beams, and folders that hold files of their own."""

import csv
import json
import logging
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.fields import NOISE, write
from support.models import brightest_pixel_model, write_counts
from support.sweeping import sweep_with

from cosmodeep_hpc.cli.classify import request_of
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.cli.parser import build_parser
from cosmodeep_hpc.config.configuration import Config, from_dict
from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.parallel.world import alone
from cosmodeep_hpc.products import summary
from cosmodeep_hpc.products.folder import ProductFolder, classify_into
from cosmodeep_hpc.survey.imagelist import distinct, read_list
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.survey.task import MosaicOutcome


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).normal(0, NOISE, (40, 40))
    return write(tmp_path / "a.fits", pixels.astype(np.float32))


@pytest.mark.parametrize(
    "content",
    [
        b"a.fits\n\n # no image\n b c.fits \n#d\n",
        b"a.fits\r\nb c.fits\r\n",
        b"\xef\xbb\xbfa.fits\nb c.fits",
    ],
)
def test_a_list_of_images(tmp_path, content):
    """As editors of all systems write it, a mark at its beginning included."""
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    assert [str(name) for name in read_list(path)] == ["a.fits", "b c.fits"]


def test_an_image_in_place_of_a_list_is_refused(image):
    with pytest.raises(InputError, match=r"a\.fits: not a text file; expected paths of images"):
        read_list(image)


def test_an_image_is_swept_once_however_it_is_spelled(image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.fits").symlink_to(image)
    words = ["a.fits", "./a.fits", str(image), "x/../a.fits", "link.fits"]
    args = build_parser().parse_args(["classify", *words, "--out", "o"])
    assert [str(path) for path in distinct(args.image)] == ["a.fits", "link.fits"]


@pytest.mark.parametrize("rms", [0.0, -1.0, math.inf, math.nan])
def test_a_noise_that_is_none_is_refused(image, tmp_path, rms):
    with pytest.raises(InputError, match=r"^rms .*: expected a noise above 0, or a map of it"):
        SweepPlan.of([image], Config(), SweepRequest(rms=rms), alone())


@pytest.fixture(scope="module")
def counts(tf, tmp_path_factory):
    return write_counts(tmp_path_factory.mktemp("model") / "counts.keras")


def test_tiles_that_overlap_are_refused_for_a_map(image, counts):
    config = Config(classify=Classify(stride=20))
    said = r"classify\.stride = 0, or the tiles' side, 40 pixels; found 20"
    for model in (counts, modelfile.load(counts)):
        with pytest.raises(InputError, match=rf"counts\.keras: gives a map of pixels, .*{said}"):
            SweepPlan.of([image], config, SweepRequest(model=model), alone())


@pytest.mark.parametrize("stride", [0, 40])
def test_tiles_side_by_side_may_be_asked_for(image, counts, stride):
    config = Config(classify=Classify(stride=stride))
    plan = SweepPlan.of([image], config, SweepRequest(model=counts), alone())
    assert plan.model.blocks is not None


@pytest.mark.parametrize("beam", ["0 5 0", "nan 5 0", "inf inf 0", "5 5 nan", "5 -5 0"])
def test_a_beam_that_is_none_is_refused(beam):
    words = ["classify", "a.fits", "--out", "o", "--beam", *beam.split()]
    with pytest.raises(InputError, match="expected widths above 0, and finite numbers"):
        request_of(build_parser().parse_args(words))


@pytest.mark.parametrize(
    "content", [b'{"observer": "me"}', b'{"products": [1]}', b"[]", b"[[1, 2]]", b"no JSON", b""]
)
def test_a_record_that_no_sweep_has_left_is_not_written_over(image, tmp_path, content):
    own = tmp_path / "a.json"
    own.write_bytes(content)
    (outcome,) = sweep_with(brightest_pixel_model(), [image], tmp_path, restart=False)
    assert outcome.state == "failed" and outcome.notes[0].startswith(f"{own}: already exists")
    assert own.read_bytes() == content and set(os.listdir(tmp_path)) == {"a.fits", "a.json"}
    (outcome,) = sweep_with(brightest_pixel_model(), [image], tmp_path, restart=True)
    assert outcome.state == "done" and json.loads(own.read_text())["image"]["name"] == "a.fits"


def test_a_table_that_no_sweep_has_left_is_not_written_over(image, tmp_path):
    own = tmp_path / summary.NAME
    usual = [image], SweepRequest(model="paper-npix40"), alone()
    own.write_text("source,flux\n")
    with pytest.raises(InputError, match=r"summary\.csv: already exists and was not written by"):
        classify_into(ProductFolder(tmp_path, Config()), *usual)
    assert own.read_text() == "source,flux\n" and set(os.listdir(tmp_path)) == {"a.fits", own.name}
    for restart, state in ((True, "done"), (False, "kept")):  # its own it writes anew
        folder = ProductFolder(tmp_path, Config(), restart=restart)
        assert [outcome.state for outcome in classify_into(folder, *usual)] == [state]
        assert own.read_text().startswith("image,state,")


def states(folder):
    with (folder / "summary.csv").open(newline="", errors="surrogateescape") as file:
        return {Path(row["image"]).name: row["state"] for row in csv.DictReader(file)}


def test_the_summary_keeps_the_lines_of_other_commands(image, tmp_path, caplog):
    """Failures too, and names of any bytes; an image that is swept again has one line, the new."""
    caplog.set_level(logging.CRITICAL)  # pytest's workers cannot send such names on
    out, bad = tmp_path / "out", tmp_path / "b\udcff,\nc.fits"
    bad.write_bytes(b"no FITS")
    sweeps = (([bad], {}), ([image], {}), ([image], {}), ([image], {"restart": True}))
    found = []
    for images, how in sweeps:
        folder = ProductFolder(out, Config(), **how)
        classify_into(folder, images, SweepRequest(model="paper-npix40"), alone())
        found.append(states(out))
    failed = {bad.name: "failed"}
    assert found == [failed, *({**failed, "a.fits": state} for state in ("done", "kept", "done"))]
    bad.unlink()
    write(bad, np.ones((40, 40), np.float32))
    classify_into(ProductFolder(out, Config()), [bad], SweepRequest(model="paper-npix40"), alone())
    assert list(states(out)) == [bad.name, "a.fits"]


def test_jobs_that_end_together_write_the_summary_in_turn(tmp_path):
    """Each of them rewrites the file of all."""
    names = [f"{number}.fits" for number in range(12)]
    outcomes = [MosaicOutcome(path=tmp_path / name, state="done") for name in names]
    with ThreadPoolExecutor(4) as jobs:
        list(jobs.map(lambda one: summary.write(tmp_path, [one], lambda note: None), outcomes))
    assert sorted(states(tmp_path)) == sorted(names)


def test_another_rule_than_that_of_the_model_is_refused(image, tmp_path):
    """A network of one rule would give the same for all."""
    world, file = alone(), SweepRequest(model="paper-npix40")
    for words, said in (({"n_pix": 9}, "n_pix = 9; expected 40"), ({"f_th": 1e-8}, "f_th = 1e-08")):
        with pytest.raises(InputError, match=rf"npix40\.keras: was not trained for label\.{said}"):
            SweepPlan.of([image], from_dict({"label": words}, "test"), file, world)
    config = from_dict({"label": {"n_pix": 40, "f_th": 1e-7}}, "test")
    assert SweepPlan.of([image], config, file, world).card.n_pix == 40


def test_a_folder_in_a_place_that_was_removed_is_told(image, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InputError, match="^products: cannot make it: No such file"):
        ProductFolder(Path("products"), Config()).prepare([image])


@pytest.mark.timeout(30)
def test_pipes_and_devices_are_refused(image, tmp_path):
    """Their checksum would never be there."""
    os.mkfifo(tmp_path / "pipe.fits")
    odd = [tmp_path / "pipe.fits", Path("/dev/zero")]
    model = brightest_pixel_model()
    outcomes = sweep_with(model, [*odd, image], tmp_path / "out")
    assert [outcome.state for outcome in outcomes] == ["failed", "failed", "done"]
    for path, outcome in zip(odd, outcomes, strict=False):
        assert outcome.notes[0].startswith(f"{path}: cannot read it: not a file, but a pipe")
    (outcome,) = sweep_with(model, [image], tmp_path / "out", SweepRequest(rms=odd[0]))
    assert "pipe.fits, the map of the noise: cannot read it: not a file, but" in outcome.notes[0]


def test_an_image_that_failed_is_an_error_where_the_user_wants_it_quiet(image, tmp_path, capfd):
    bad = write(tmp_path / "bad.fits", np.zeros((40, 40), np.float32), BUNIT=None)
    words = ["classify", str(image), str(bad), "--model", "paper-npix40", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"cosmodeep: {bad}: no BUNIT")


def test_a_log_says_what_became_of_each_image(tmp_path, capfd):
    """With its islands, its seconds and its notes; the terminal is told no more than before."""
    pixels = np.random.default_rng(0).normal(0, 9 * NOISE, (40, 40))
    image = write(tmp_path / "a.fits", pixels.astype(np.float32))
    bad = write(tmp_path / "bad.fits", np.zeros((40, 40), np.float32), BUNIT=None)
    log, words = tmp_path / "log", ["--model", "paper-npix40", "--out", str(tmp_path / "out")]
    notes = None
    for more, state, status in (([], "done", 0), ([str(bad)], "kept", 2)):
        log.unlink(missing_ok=True)
        assert main(["classify", str(image), *more, *words, "--log", str(log)]) == status
        lines = [line.partition(": ")[2] for line in log.read_text().splitlines()]
        assert "model " in lines[1] and "paper-npix40.keras: N_pix 40, F_th 1e-07" in lines[1]
        (told,) = [line for line in lines if line.startswith(f"{image}: ")]
        expected = (
            rf"{image}: {state} after \d+\.\d s: cells 1, signal 0, no data 0, islands 0(; .+)"
        )
        found = re.fullmatch(expected, told)
        assert found and notes in (None, found[1])  # the same ones
        notes = found[1]
        assert lines[-1].startswith(f"classify ended with status {status} after ")
    assert lines[3].startswith(f"{bad}: no BUNIT") and lines[4].startswith(f"{bad}: failed after ")
    assert " after " not in capfd.readouterr().err
