"""A sweep that was stopped or killed goes on where it was."""

import json

import numpy as np
import pytest
from support.fields import write
from support.models import brightest_pixel_model
from support.sweeping import noise, sweep_with, swept

from cosmodeep_hpc.io.files import write_json
from cosmodeep_hpc.products.provenance import FORMAT
from cosmodeep_hpc.survey.journal import Journal


@pytest.mark.parametrize("stop_after", [3, 5, 9])
def test_a_stopped_sweep_goes_on_where_it_was(tmp_path, stop_after):
    """What the journal has is not done again, and the result is that of an undisturbed sweep."""
    pixels = noise((1200, 400))
    pixels[::97, ::53] = 1e-2
    path, model = write(tmp_path / "a.fits", pixels), brightest_pixel_model()
    whole = swept(path, model, batch=50).planes[0]
    seen, draws = model.network.tiles, iter(range(100))
    begun = swept(path, model, restart=True, left=lambda: next(draws) > stop_after, batch=50)
    assert begun is None
    before = model.network.tiles - seen
    again = swept(path, model, restart=False, batch=50).planes[0]
    np.testing.assert_array_equal(again.probability, whole.probability)
    np.testing.assert_array_equal(again.tiles.noise, whole.tiles.noise)
    after = model.network.tiles - seen - before
    assert before + after == seen  # not one tile twice, none left out
    assert not list((tmp_path / "out").glob(".*"))


def test_the_journal_of_a_sweep_killed_just_after_the_record_goes(tmp_path, monkeypatch):
    path, model, out = tmp_path / "a.fits", brightest_pixel_model(), tmp_path / "out"
    write(path, noise((80, 80)))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "remove", Journal.close)
        (done,) = sweep_with(model, [path], out)
    assert done.state == "done" and (out / ".a.journal").exists()
    (again,) = sweep_with(model, [path], out, restart=False)
    assert again.state == "kept" and not list(out.glob(".*"))


def test_half_products_of_a_killed_sweep_go(tmp_path):
    path, model = write(tmp_path / "a.fits", noise((1200, 400))), brightest_pixel_model()
    draws = iter(range(100))
    assert swept(path, model, left=lambda: next(draws) > 8, batch=50) is None
    out, unique = tmp_path / "out", "0123456789abcdef" * 2
    own = [out / f".a.mask.{unique}.part.fits", out / f".a.{unique}.part.json"]
    other = out / f".a.b.mask.{unique}.part.fits"  # of an image that another job sweeps
    for left in (*own, other):
        left.touch()
    swept(path, model, restart=False, batch=50)
    assert [left.name for left in out.glob(".*")] == [other.name]


@pytest.mark.parametrize("form, state", [(FORMAT, "kept"), (FORMAT + 1, "done"), (None, "done")])
def test_finished_products_of_another_format_are_made_anew(tmp_path, form, state):
    """Those of the first version, whose records said no format, too."""
    path, model, out = tmp_path / "a.fits", brightest_pixel_model(), tmp_path / "out"
    sweep_with(model, [write(path, noise((80, 80)))], out)
    record = out / "a.json"
    content = json.loads(record.read_text())
    earlier = {name: value for name, value in content.items() if name != "format"}
    write_json(record, earlier if form is None else {**earlier, "format": form})
    (again,) = sweep_with(model, [path], out, restart=False)
    assert again.state == state and json.loads(record.read_text()) == content


@pytest.mark.parametrize("damage", ["another option", "cut", "flipped", "another image"])
def test_a_journal_is_used_as_far_as_it_is_whole_and_of_this_sweep(tmp_path, damage):
    pixels = noise((1200, 400))
    pixels[::97, ::53] = 1e-2
    path, model = write(tmp_path / "a.fits", pixels), brightest_pixel_model()
    draws = iter(range(100))
    swept(path, model, left=lambda: next(draws) > 8, batch=50)
    journal = tmp_path / "out" / ".a.journal"
    content = journal.read_bytes()
    options = {"batch": 50}
    if damage == "another option":
        options["min_coverage"] = 0.4
    elif damage == "cut":
        journal.write_bytes(content[:-100])
    elif damage == "flipped":
        at = len(content) - 50
        journal.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    else:
        write(path, pixels[::-1])
    again = swept(path, model, restart=False, **options).planes[0]
    whole = swept(path, model, restart=True, **options).planes[0]
    np.testing.assert_array_equal(again.probability, whole.probability)


def test_what_a_killed_sweep_has_unpacked_is_not_taken_for_another_file(tmp_path):
    """The file of that name is another one meanwhile: its own pixels are swept."""
    model, path = brightest_pixel_model(), tmp_path / "a.fits.gz"
    pixels = noise((120, 120))
    pixels[50, 50] = 1e-2
    write(path, pixels)
    draws = iter(range(100))
    assert swept(path, model, left=lambda: next(draws) > 2) is None
    assert len(list((tmp_path / "out").glob(".*.unpacked"))) == 1
    pixels[50, 50], pixels[70, 110] = 0, 1e-2
    write(path, pixels)
    found = swept(path, model, restart=False).planes[0].tiles.mask(0.5)
    assert np.argwhere(found == 1).tolist() == [[1, 2]]
    assert not list((tmp_path / "out").glob(".*"))
