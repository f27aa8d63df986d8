"""The command: one line and status 2 for bad usage, configuration or input."""

import errno
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.fields import two_sources, write, write_pairs
from support.launch import environment, unlaunched
from support.simulations import cube

from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.cli.main import main, overrides
from cosmodeep_hpc.cli.words import counted
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError


@pytest.fixture
def refused(capfd):
    """Run the command; its one line on standard error."""

    def run(*words):
        capfd.readouterr()
        assert main([str(word) for word in words]) == 2
        out, err = capfd.readouterr()
        lines = err.splitlines()
        assert len(lines) == 1 and out == "", err
        assert lines[0].startswith("cosmodeep: ")
        return lines[0]

    return run


@pytest.fixture
def pair(tmp_path):
    """A folder with one pair, to be spoiled."""
    return write_pairs(tmp_path / "images", 1, (80, 80))


def keep(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


PIXELS = np.ones((80, 80), np.float32)


@pytest.mark.parametrize(
    "spoil, line",
    [
        (lambda f: (f / "sky-00000.fits").unlink(), "has no partner sky-00000.fits"),
        (lambda f: (f / "noise-00000.fits").unlink(), "has no partner noise-00000.fits"),
        (
            lambda f: write(f / "noise-00000.fits", PIXELS[:, :70]),
            "noise-00000.fits: 70 x 80 pixels but sky-00000.fits has 80 x 80",
        ),
        (lambda f: write(f / "noise-00000.fits", PIXELS, CRPIX1=1.0), "expected a pair of one WCS"),
        (lambda f: write(f / "noise-00000.fits", PIXELS, BUNIT=None), "noise-00000.fits: no BUNIT"),
        (
            lambda f: write(f / "sky-00000.fits", PIXELS, BUNIT="Jy/beam", BMAJ=None),
            "sky-00000.fits: BUNIT is Jy/beam but there is no beam",
        ),
        (lambda f: (f / "sky-00000.fits").write_text("hello"), "sky-00000.fits: not a FITS file"),
        (lambda f: keep(f / "noise-00000.fits", 0.7), "noise-00000.fits: truncated: "),
        (lambda f: write(f / "noise-00000.fits", PIXELS * np.nan), "no pixel with data"),
    ],
)
def test_bad_pairs(pair, tmp_path, refused, spoil, line):
    spoil(pair)
    assert line in refused("tiles", "--images", pair, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()


def test_empty_folder(tmp_path, refused):
    assert "no image in it" in refused("tiles", "--images", tmp_path, "--out", tmp_path / "out")


def test_no_folder(tmp_path, refused):
    line = refused("tiles", "--images", tmp_path / "no", "--out", tmp_path / "out")
    assert f"{tmp_path / 'no'}: no such folder" in line


@pytest.mark.parametrize("command", ["tiles", "train"])
def test_unwritable_output(pairs, tiles, tmp_path, refused, command):
    (tmp_path / "file").write_text("")
    given = ("--images", pairs) if command == "tiles" else ("--tiles", tiles)
    line = refused(command, *given, "--out", tmp_path / "file" / "out")
    assert f"{tmp_path / 'file' / 'out'}: cannot make it: Not a directory" in line
    assert "cannot" in refused(command, *given, "--out", "/proc/out")


def copied(tiles, tmp_path):
    return shutil.copytree(tiles, tmp_path / "tiles")


def train(refused, tiles, tmp_path, *words):
    return refused("train", "--tiles", tiles, "--out", tmp_path / "run", *words)


def test_a_shard_of_another_tile_size(tiles, pairs, tmp_path, refused):
    mixed = copied(tiles, tmp_path)
    other = tmp_path / "other"
    words = ["--images", str(pairs), "--out", str(other), "--tiles.size", "20"]
    assert main(["tiles", *words, "--tiles.images_per_shard", "2"]) == 0
    shutil.copy(other / "shard-00001.h5", mixed / "shard-00001.h5")
    line = train(refused, mixed, tmp_path)
    assert "shard-00001.h5: rows 200; expected 50 as in the index" in line


@pytest.mark.parametrize(
    "name, value, line",
    [
        ("scaling", "minmax", "scaling minmax; expected asinh as in the index"),
        ("floor", 1e-9, "floor 1e-09; expected 1e-11 as in the index"),
        ("thresholds", [1e-7], "thresholds [1e-07]; expected [1e-07, 7.5e-08, 5e-08, 1e-08]"),
    ],
)
def test_a_shard_of_another_tile_set(tiles, tmp_path, refused, name, value, line):
    mixed = copied(tiles, tmp_path)
    with h5py.File(mixed / "shard-00001.h5", "a") as file:
        file.attrs[name] = value
    assert f"shard-00001.h5: {line}" in train(refused, mixed, tmp_path)


def test_tiles_of_another_size_under_the_right_name(tiles, tmp_path, refused):
    """The number of rows is right and the attribute says 40, but the tiles are not."""
    mixed = copied(tiles, tmp_path)
    with h5py.File(mixed / "shard-00001.h5", "a") as file:
        del file["tiles"]
        file["tiles"] = np.zeros((50, 20, 20), np.float32)
        assert file.attrs["tile_size"] == 40
    assert "shard-00001.h5: window 20; expected 40" in train(refused, mixed, tmp_path)


def test_missing_and_truncated_shards(tiles, tmp_path, refused):
    broken = copied(tiles, tmp_path)
    keep(broken / "shard-00001.h5", 0.9)
    assert "shard-00001.h5: not a whole HDF5 file" in train(refused, broken, tmp_path)
    (broken / "shard-00001.h5").unlink()
    assert "shard-00001.h5: no such file" in train(refused, broken, tmp_path)


def test_tiles_without_an_index(tmp_path, refused):
    assert "index.json: no such file" in train(refused, tmp_path, tmp_path)


def test_labels_that_leave_nothing_to_learn(tiles, tmp_path, refused):
    line = train(refused, tiles, tmp_path, "--label.n_pix", "1600")
    assert "no signal tile among 100 training tiles at F_th = 1e-07 Jy/arcsec^2" in line


def test_a_threshold_that_was_not_counted(tiles, tmp_path, refused):
    words = ("--tiles.thresholds", "[2e-7]", "--label.f_th", "2e-7")
    assert "no counts at F_th = 2e-07" in train(refused, tiles, tmp_path, *words)


def test_an_existing_tile_set(tiles, pairs, refused):
    assert "holds a tile set already" in refused("tiles", "--images", pairs, "--out", tiles)


@pytest.mark.parametrize("stage", ["classify", "evaluate"])
def test_a_model_that_is_not_ours(tmp_path, pair, refused, tf, stage):
    (tmp_path / "model.keras").write_text("hello")
    images = ["--images", pair] if stage == "evaluate" else [pair / "noise-00000.fits"]
    line = refused(stage, *images, "--model", tmp_path / "model.keras", "--out", tmp_path / "out")
    assert "model.keras: not a .keras file" in line


@pytest.mark.parametrize(
    "words, line",
    [
        ([], "the following arguments are required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "the following arguments are required: --tiles, --out"),
        (["train", "--tiles", "x", "--out", ""], "argument --out: an empty name; expected that of"),
        (["tiles"], "expected --images DIR and --out DIR, or --show SHARD"),
        (
            ["config", "--epochs", "3"],
            "arguments: --epochs 3 (did you mean '--train.epochs'?); see cosmodeep config --help",
        ),
        (
            ["classify", "a.fits", "--out", "o", "--min-coverage=.5"],
            "(did you mean '--classify.min_coverage'?); see cosmodeep classify --help",
        ),
        (["tiles", "--seed", "2"], "--seed 2 (did you mean '--tiles.seed'?)"),
        (["tiles", "--trane.seed2", "2"], "command line: no section 'trane' (did you mean 'train'"),
        (["classify", "", "--out", "o"], "argument IMAGE: an empty name; expected that of a file"),
        (["classify", "--list", "", "--out", "o"], "argument --list: an empty name"),
        (["classify", "a.fits", "--out", "o", "--model", ""], "argument --model: an empty word"),
        (["tiles", "--show", ""], "argument --show: an empty name; expected that of a file"),
        (["tiles", "--images", "x", "--out", ""], "argument --out: an empty name"),
        (["config", "--log", ""], "argument --log: an empty name"),
        (["mock", "--out", "o", "--simulation", ""], "argument --simulation: an empty name"),
        (["config", "--train.epoch", "3"], "no option train.epoch (did you mean 'epochs'?)"),
        (["config", "--train.epochs"], "--train.epochs: expected a value after it"),
        (["config", "--train.epochs", "--debug"], "--train.epochs: expected a value after it"),
        (["config", "--train.epochs=0"], "train.epochs = 0: expected a value of at least 1"),
        (["config", "--config", "no.toml"], "no.toml: cannot read it: No such file"),
        (["mock", "--out", "x", "--images", "-1"], "argument --images: -1: expected at least 0"),
        (["mock", "--out", "x", "--first", "-1"], "argument --first: -1: expected at least 0"),
        (["mock", "--out", "x", "--simulation"], "argument --simulation: expected at least one"),
        (
            ["mock", "--out", "x", "--sky.seeds", "[1, 101]"],
            "sky.test_seeds = (101, 102): expected none of sky.seeds",
        ),
    ],
)
def test_bad_usage(refused, words, line):
    assert line in refused(*words)


@pytest.mark.parametrize(
    "given, line",
    [
        ({"spoil": {"temperature": None}}, "no field temperature; a shock finder needs density, "),
        ({"spoil": {"density": "Jy"}}, "dataset density is in 'Jy', which is not a unit of den"),
        ({"spoil": {"velocity_x": "parsec"}}, "which is not a unit of velocity_x; expected 'cm/s'"),
        ({"spoil": {"density": "kg/m**3"}}, "the mean gas density is 0.001 times that of all"),
        ({"attributes": {"redshift": None}}, "no redshift, so not a cosmological box; expected an"),
        ({"attributes": {"box_comoving_Mpc": None}}, "no size of the box; expected an attribute"),
        ({"spoil": {"density": float("nan")}}, "density, planes 0 to 23 along x: 1 of 13824 val"),
        ({"spoil": {"velocity_z": float("nan")}}, "1 of 13824 values are NaN or infinite"),
        (None, "neither an HDF5 cube with a dataset 'density' nor a file that yt loads"),
    ],
)
def test_a_simulation_that_cannot_be_used(tmp_path, refused, given, line):
    path = tmp_path / "bad.h5"
    if given is None:
        path.write_text("hello")
    else:
        cube(path, 40, 0.1, **given)
    words = ("mock", "--simulation", path, "--out", tmp_path / "out", "--instrument.pixels", "50")
    told = refused(*words)
    assert told.startswith(f"cosmodeep: {path}: ") and line in told
    assert not list(tmp_path.glob("out/**/*.fits")) and not list(tmp_path.glob("out/**/*.h5"))


def test_a_simulation_that_is_not_there(tmp_path, refused):
    line = refused("mock", "--simulation", tmp_path / "no.h5", "--out", tmp_path / "out")
    assert f"{tmp_path / 'no.h5'}: no such file; expected an HDF5 cube or a dump" in line


def test_an_effect_that_the_telescope_cannot_have(tmp_path, refused):
    words = ("--effects.dirty_beam", "true", "--instrument.frequency", "0.1")
    line = refused("mock", "--out", tmp_path / "out", *words)
    assert "instrument.frequency = 0.1 GHz: effects.dirty_beam and stripes are ASKAP's" in line
    assert not (tmp_path / "out").exists()


def test_overrides_are_taken_out_of_the_command_line():
    """Their values are not given to the next free argument, such as IMAGE of `classify`."""
    words = "classify --train.batch 5 a.fits --label.f_th=1e-7 --out b.fits --sky.seed -1"
    pairs, rest = overrides(words.split())
    assert pairs == [("train.batch", "5"), ("label.f_th", "1e-7"), ("sky.seed", "-1")]
    assert rest == ["classify", "a.fits", "--out", "b.fits"]
    with pytest.raises(InputError):
        overrides(["--a.b"])


def test_config_prints_what_a_file_may_hold(tmp_path, capsys):
    assert main(["config", "--train.epochs", "7"]) == 0
    path = tmp_path / "c.toml"
    path.write_text(capsys.readouterr().out)
    assert tomllib.loads(path.read_text())["train"]["epochs"] == 7
    assert configuration.load(path) == configuration.load(None, [("train.epochs", "7")])


def test_a_sheet_without_a_name_lies_beside_its_shard(tiles, tmp_path, capfd, monkeypatch):
    """Tile sets name their shards alike: none draws over the sheet of another."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(tiles, tmp_path / name)
        assert main(["tiles", "--show", f"{name}/shard-00000.h5"]) == 0
        assert capfd.readouterr().out.endswith(f"drawn in {name}/shard-00000.png\n")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}
    assert (tmp_path / "one/shard-00000.png").exists() and (
        tmp_path / "two/shard-00000.png"
    ).exists()


def test_a_sheet_goes_with_the_tiles_that_it_shows(tiles, pairs, tmp_path):
    own = copied(tiles, tmp_path)
    assert main(["tiles", "--show", str(own / "shard-00000.h5")]) == 0
    assert main(["tiles", "--images", str(pairs), "--out", str(own), "--overwrite"]) == 0
    assert not list(own.glob("*.png"))


@pytest.mark.parametrize(
    "number, said", [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (21, "21 shards")]
)
def test_one_is_not_many(number, said):
    assert counted(number, "shard") == said


def test_a_sheet_of_tiles(tiles, tmp_path, capfd, refused):
    picture, shard = tmp_path / "sheet.png", tiles / "shard-00000.h5"
    assert main(["tiles", "--show", str(shard), "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "50 tiles, " in capfd.readouterr().out
    assert "expected the name of a picture" in refused("tiles", "--show", shard, "--out", "sheet")
    words = ("--tiles.thresholds", "[2e-7]", "--label.f_th", "2e-7", "--out", picture)
    assert "no counts at F_th = 2e-07" in refused("tiles", "--show", shard, *words)


def test_a_fault_is_one_line_and_status_1(pair, tmp_path, capfd, monkeypatch):
    from cosmodeep_hpc.tiles import make

    monkeypatch.setattr(make, "cut", lambda *_: 1 / 0)
    words = ["tiles", "--images", str(pair), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    err = capfd.readouterr().err
    assert "fault: ZeroDivisionError: division by zero (add --debug" in err
    assert "Traceback" not in err
    assert main([*words, "--debug"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_too_little_memory_is_one_line_and_status_1(pair, tmp_path, capfd, monkeypatch):
    from cosmodeep_hpc.tiles import make

    def cut(*_):
        raise MemoryError("Unable to allocate 16.5 MiB")

    monkeypatch.setattr(make, "cut", cut)
    assert main(["tiles", "--images", str(pair), "--out", str(tmp_path / "out")]) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "not enough memory (Unable to allocate 16.5 MiB); ask for more (--mem of sbatch" in line


def test_a_user_without_a_home(monkeypatch, capfd):
    """Neither HOME nor an entry of this uid, as in containers: libraries would raise."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert main(["models"]) == 0
    assert os.environ["HOME"] == "/nonexistent"
    assert "paper-npix40" in capfd.readouterr().out


def test_modules_in_the_current_folder_are_not_python_s(tmp_path):
    (tmp_path / "copy.py").write_text("raise SystemExit('a file of the user ran')\n")
    line = [sys.executable, "-m", "cosmodeep_hpc", "--version"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_that_may_not_be_looked_into(tmp_path, capfd, monkeypatch):
    """As root nothing is forbidden: the answer of the system is put in its place."""

    ask, theirs = Path.stat, tmp_path / "theirs"

    def stat(path, **how):
        if path.parent == theirs:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return ask(path, **how)

    words = ["train", "--tiles", str(theirs), "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stat)
        assert main(words) == 2
    line = f"cosmodeep: {theirs / 'index.json'}: Permission denied; ask its owner"
    assert capfd.readouterr().err.startswith(line)


def test_a_notebooks_way_of_drawing_is_not_the_commands(tmp_path):
    """`!cosmodeep classify` in a notebook, whose backend is not installed beside the command."""
    image = write(tmp_path / "field.fits", two_sources((120, 240)))
    words = ["classify", str(image), "--out", str(tmp_path / "out"), "--model", "paper-npix40"]
    job = subprocess.run(
        [sys.executable, "-m", "cosmodeep_hpc", *words],
        env=unlaunched() | {"MPLBACKEND": "one_of_another_environment"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert job.returncode == 0, job.stderr
    assert (tmp_path / "out" / "field.png").exists()


@pytest.mark.parametrize("missing", ["tensorflow", "keras"])
@pytest.mark.parametrize("stage", ["train", "tune", "bench"])
def test_training_without_tensorflow_is_refused_before_anything_is_made(
    tiles, tmp_path, refused, monkeypatch, stage, missing
):
    monkeypatch.setitem(sys.modules, missing, None)  # Python finds none
    made = tmp_path / "new" / "made"
    words = {"bench": ["--out", made]}.get(stage, ["--tiles", tiles, "--out", made])
    line = refused(stage, *words)
    assert line.endswith(f"no module {missing}: pip install 'cosmodeep_hpc[train]'")
    assert not made.parent.exists()


@pytest.mark.parametrize("stage", ["evaluate", "compare", "report"])
def test_an_engine_that_is_not_installed_is_refused_before_anything_is_made(
    pairs, tmp_path, refused, monkeypatch, stage
):
    monkeypatch.setenv("COSMODEEP_ENGINE", "keras")
    monkeypatch.setitem(sys.modules, "keras", None)
    words = ("--model", "robust", "--images", pairs, "--out", tmp_path / "out")
    extra = ("--compare.finders", "[]") if stage == "compare" else ()
    assert "Python finds no module keras" in refused(stage, *words, *extra)
    assert not (tmp_path / "out").exists()


LIGHT = """
import sys
from cosmodeep_hpc.cli.main import main
try:
    main({words!r})
except SystemExit as end:
    assert end.code == 0
heavy = "tensorflow mpi4py h5py astropy numpy scipy numba matplotlib".split()
print("loaded", *[name for name in heavy if name in sys.modules])
"""


def test_interrupted_while_mpi_starts(monkeypatch, capsys):
    def open_world():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "open_world", open_world)
    assert main(["config"]) == 130
    assert capsys.readouterr().err == "cosmodeep: interrupted\n"


@pytest.mark.parametrize("words", [["--help"], ["tiles", "--help"], ["config"]])
def test_what_computes_nothing_imports_nothing_heavy(words):
    said = subprocess.run(
        [sys.executable, "-c", LIGHT.format(words=words)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment(),
    ).stdout.splitlines()
    assert said[-1] == "loaded"


@pytest.mark.parametrize("words", [["--help"], ["classify", "--help"], ["config"]])
def test_the_command_works_without_docstrings(words):
    """`PYTHONOPTIMIZE=2` is the habit of some sites."""
    job = subprocess.run(
        [sys.executable, "-m", "cosmodeep_hpc", *words],
        env=environment(PYTHONOPTIMIZE="2"), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert job.returncode == 0 and job.stdout and not job.stderr
    assert ("Sweep mosaics" in job.stdout) == ("--help" in words)
