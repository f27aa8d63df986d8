"""A configuration is what its file and the command line say, or a line that says why not."""

import json

import pytest

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config, load
from cosmodeep_hpc.errors import InputError


def written(tmp_path, text, name="c.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_paper_values_are_the_defaults():
    """Table 1 and section 3 of the paper."""
    c = load(None)
    assert (c.train.learning_rate, c.train.batch, c.train.epochs) == (7e-5, 100, 50)
    assert (c.tiles.size, c.tiles.floor, c.label.n_pix, c.label.f_th) == (40, 1e-11, 40, 1e-7)
    assert c.tiles.thresholds == (1e-7, 0.75e-7, 0.5e-7, 0.1e-7)
    assert (c.instrument.pixels, c.instrument.noise_rms, c.instrument.beam) == (2000, 10, 10)


def test_the_sky_is_the_papers_and_its_test_boxes_are_others():
    """Section 3.1 of the paper: redshifts, sides of the boxes, the intrinsic resolution."""
    sky = load(None).sky
    assert (sky.z_near, sky.z_far, sky.sides) == (0.04, 0.5, (50, 100, 200))
    assert 25 <= sky.blur <= 35
    assert len(sky.seeds) >= 2 and len(sky.test_seeds) >= 2  # no box beside itself
    assert not set(sky.seeds) & set(sky.test_seeds)
    assert all(z < sky.z_far for z in sky.snapshots)


def test_file_then_command_line(tmp_path):
    path = written(tmp_path, "[train]\nepochs = 7\nbatch = 8\n[tiles]\nscaling = 'minmax'\n")
    c = load(path, [("train.batch", "16"), ("tiles.scaling", "range"), ("tiles.keep_sky", "true")])
    assert (c.train.epochs, c.train.batch, c.tiles.scaling) == (7, 16, "range")
    assert c.tiles.keep_sky is True


def test_last_override_wins():
    assert load(None, [("train.epochs", "2"), ("train.epochs", "3")]).train.epochs == 3


def test_lists_on_the_command_line():
    c = load(None, [("tiles.thresholds", "[1e-7, 2e-7]"), ("label.f_th", "2e-7")])
    assert (c.tiles.thresholds, c.label.f_th) == ((1e-7, 2e-7), 2e-7)


@pytest.mark.parametrize(
    "word, value",
    [
        (".5", 0.5),
        ("+.5", 0.5),
        ("1.", 1.0),
        ("5.e-1", 0.5),
        (".25e0", 0.25),
        ("0.5", 0.5),
        ("1", 1),
    ],
)
def test_a_number_may_lack_a_digit_beside_its_point(word, value):
    """As in Python, C and Fortran; TOML alone refuses it."""
    assert load(None, [("classify.min_coverage", word)]).classify.min_coverage == value
    several = load(None, [("sky.snapshots", f"[{word}, 2.]")]).sky.snapshots
    assert several == (value, 2)


@pytest.mark.parametrize("word", ["-.5", ".", "1..5", "1.5.", ".5x", "a.5"])
def test_other_points_are_no_numbers_of_an_option(word):
    with pytest.raises(InputError, match=r"classify\.min_coverage = .*: expected a"):
        load(None, [("classify.min_coverage", word)])


def test_resolved_configuration_reads_back(tmp_path):
    changes = {"train.epochs": "7", "tiles.thresholds": "[1e-7, 1e-9]", "sky.sides": "[40, 80.5]"}
    first = load(None, [*changes.items(), ("sky.test_seeds", "[5]"), ("sky.snapshots", "[0.1]")])
    first.write(tmp_path / "config.json")
    assert load(tmp_path / "config.json") == first != Config()
    assert json.loads((tmp_path / "config.json").read_text())["cosmodeep_hpc"]


@pytest.mark.parametrize(
    "text, line",
    [
        ("[trian]\nepochs = 1", "no section 'trian' (did you mean 'train'?)"),
        ("[train]\nepoch = 1", "no option train.epoch (did you mean 'epochs'?)"),
        ("train = 1", "train = 1: expected a section [train]"),
        ("[train]\nepochs = 0", "train.epochs = 0: expected a value of at least 1"),
        ("[train]\nepochs = '1'", "train.epochs = '1': expected a whole number"),
        ("[train", "not TOML"),
        ("[train]\nseed = -1", "train.seed = -1"),
        ("[train]\nseed = 9223372036854775808", "train.seed = 9223372036854775808"),
        ("[tiles]\nsize = 8", "tiles.size = 8: expected a value of at least 9"),
        ("[tiles]\nsize = 256", "tiles.size = 256"),  # its counts would not fit 16 bits
        ("[tiles]\nfloor = 1e-2", "expected less than tiles.ceiling"),
        ("[tiles]\nthresholds = []", "tiles.thresholds"),
        ("[tiles]\nthresholds = [1e-7, 1e-7]", "expected distinct values"),
        ("[label]\nf_th = 3e-7", "label.f_th = 3e-07: expected one of tiles.thresholds"),
        ("[train]\nnoise_pool = 0.5", "expected at least train.noise_per_signal = 1"),
        ("[train]\nlearning_rate = inf", "train.learning_rate = inf"),
        ("[train]\nlearning_rate = 1e39", "train.learning_rate = 1e+39: expected a value of"),
        ("[sky]\nsides = []", "sky.sides = (): expected distinct values, one at least"),
        ("[sky]\nsides = [50, 50.0]", "sky.sides = (50.0, 50.0): expected distinct values"),
        ("[sky]\nsides = [50, 0]", "sky.sides"),
        ("[sky]\nside = [50]", "no option sky.side (did you mean 'sides'?)"),
        ("[sky]\nreach = 0", "sky.reach = 0"),
        ("[sky]\nseeds = [1, 1]", "sky.seeds = (1, 1): expected distinct values"),
        ("[sky]\nseeds = []", "sky.seeds = (): expected distinct values, one at least"),
        ("[sky]\nseeds = [-1]", "sky.seeds"),
        ("[sky]\ntest_seeds = []", "sky.test_seeds = (): expected distinct values"),
        (
            "[sky]\nseeds = [1, 7, 8]\ntest_seeds = [8, 7, 9]",
            "expected none of sky.seeds, a sky to test on must not share its boxes "
            "(found 7, 8 in both)",
        ),
        ("[sky]\nsnapshots = [0.1, 0.1]", "sky.snapshots = (0.1, 0.1): expected distinct values"),
        ("[sky]\nsnapshots = [-0.1]", "sky.snapshots"),
        ("[sky]\nsnapshots = [0.1, 60]", "expected redshifts below sky.start = 49"),
        ("[sky]\nmesh = 33", "sky.mesh = 33: expected an even number"),
        ("[sky]\nz_near = 0.5", "sky.z_near = 0.5: expected less than sky.z_far = 0.5"),
        ("[sky]\nscale = 0", "sky.scale = 0"),
        ("[sky]\nmach_cut = 0.9", "sky.mach_cut = 0.9: expected a value of at least 1"),
        ("[sky]\nfield_density = 2.5", "sky.field_density = 2.5"),
        ("[sky]\nfield_temperature = -0.1", "sky.field_temperature = -0.1"),
        ("[sky]\nfield_limit = 0", "sky.field_limit = 0"),
    ],
)
def test_bad_files_are_named(tmp_path, text, line):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and line in str(caught.value)


@pytest.mark.parametrize(
    "content, line",
    [
        (b"[1, 2]", "list; expected sections"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_bad_json(tmp_path, content, line):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(InputError, match=line):
        load(tmp_path / "c.json")


@pytest.mark.parametrize(
    "name, text", [("c.toml", "train.epochs = 3"), ("c.json", '{"train": {"epochs": 3}}')]
)
def test_a_byte_order_mark_is_no_text(tmp_path, name, text):
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(tmp_path / name).train.epochs == 3


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\x89HDF\r\n\xff")
    with pytest.raises(InputError, match="not TOML"):
        load(tmp_path / "c.toml")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no\.toml: cannot read it: No such file"):
        load(tmp_path / "no.toml")


@pytest.mark.parametrize(
    "name, word, line",
    [
        ("train.epoch", "3", "no option train.epoch (did you mean 'epochs'?)"),
        ("trian.epochs", "3", "no section 'trian' (did you mean 'train'?)"),
        ("cosmodeep_hpc.x", "3", "no section 'cosmodeep_hpc'"),
        ("train", "3", "expected --section.key value"),
        ("train.epochs", "many", "train.epochs = 'many': expected a whole number"),
        ("train.epochs", "3.0", "train.epochs = 3.0: expected a whole number"),
        ("tiles.scaling", "asin", "(did you mean 'asinh'?)"),
    ],
)
def test_bad_overrides_are_named(name, word, line):
    with pytest.raises(InputError) as caught:
        load(None, [(name, word)])
    assert line in str(caught.value)


def test_every_option_says_what_it_is():
    for name, section in configuration.sections().items():
        for field in section.__dataclass_fields__.values():
            assert field.metadata["help"], f"{name}.{field.name}"
