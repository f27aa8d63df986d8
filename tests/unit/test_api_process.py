"""Calls of `cosmodeep_hpc.classify` do not touch each other, nor the process that they run in."""

import copy
import gc
import gzip
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from support.fields import header, two_sources, write
from support.models import BrightestPixel, model_in_file
from support.sweeping import same

import cosmodeep_hpc as cd
from cosmodeep_hpc.parallel.warningfilters import ONE_AT_A_TIME
from cosmodeep_hpc.products import tables

SHAPE = (200, 280)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that finds pixels of 200 times the noise."""
    return model_in_file(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pixels():
    return two_sources(SHAPE)


@pytest.fixture(scope="module")
def image(pixels, tmp_path_factory):
    return write(tmp_path_factory.mktemp("image") / "field.fits", pixels)


def test_a_second_call_with_other_options_is_independent(image, model):
    first = cd.classify(image, model=model)
    other = replace(model, network=BrightestPixel(1e9))
    assert not (cd.classify(image, model=other, stride=20, threshold=0.9).mask == 1).any()
    again = cd.classify(image, model=model)
    same(again, first)
    assert first.record == again.record and (first.mask == 1).any()


def test_calls_in_other_threads_give_the_same_and_leave_warnings_as_they_are(image, model):
    """As a notebook's server calls it; where two calls meet, each has its own options."""
    strides = [0, 20, 10, 8] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        before = list(warnings.filters)
        with ThreadPoolExecutor(3) as threads:
            calls = [threads.submit(cd.classify, image, model=model, stride=s) for s in strides]
            found = [call.result() for call in calls]
        assert warnings.filters == before
    for stride, one in zip(strides, found, strict=True):
        same(one, cd.classify(image, model=model, stride=stride))


def test_warning_filters_are_set_one_thread_at_a_time(image, model, monkeypatch):
    """By astropy, too: two threads at once would leave one's filters to the whole process."""
    cd.classify(image, model=model)  # imports set filters while no other thread can
    enter, alone = warnings.catch_warnings.__enter__, []

    def watched(self):
        alone.append(ONE_AT_A_TIME._is_owned())
        return enter(self)

    monkeypatch.setattr(warnings.catch_warnings, "__enter__", watched)
    tables._unit.cache_clear()
    assert len(cd.classify(image, model=model).islands) > 0
    assert alone and all(alone)


UNTOUCHED = """
import os, signal, sys, threading, warnings
sys.path[:0] = {tests!r}, {root!r}
import numpy
environ, folder = dict(os.environ), sorted(os.listdir())
handlers = [signal.getsignal(n) for n in signal.valid_signals()]
filters = list(warnings.filters)
import cosmodeep_hpc as cd
from cosmodeep_hpc.parallel.warningfilters import ONE_AT_A_TIME
from cosmodeep_hpc.products import tables
import astropy.table, astropy.wcs, numba, scipy.sparse, scipy.special
filters = list(warnings.filters)  # to which importing these adds
found = cd.classify({image!r})
found.islands, found.mask, found._repr_html_()
try:
    cd.classify({packed!r}, planes=7)
except cd.InputError as error:
    print(error)
assert dict(os.environ) == environ
assert [signal.getsignal(n) for n in signal.valid_signals()] == handlers
assert list(warnings.filters) == filters
assert sorted(os.listdir()) == folder
assert "mpi4py" not in sys.modules and "tensorflow" not in sys.modules
assert threading.enumerate() == [threading.main_thread()]
"""


def test_nothing_is_left_in_the_process_nor_on_disk(image, tmp_path):
    """No handler, variable, filter, thread or file; MPI and TensorFlow are not imported."""
    here, scratch = tmp_path / "here", tmp_path / "scratch"
    here.mkdir(), scratch.mkdir()
    packed = tmp_path / "field.fits.gz"
    packed.write_bytes(gzip.compress(image.read_bytes()))
    tests = os.path.dirname(os.path.dirname(__file__))
    code = UNTOUCHED.format(
        tests=tests, root=os.path.dirname(tests), image=str(image), packed=str(packed)
    )
    environ = {**os.environ, "TMPDIR": str(scratch), "TF_NUM_INTRAOP_THREADS": "2"}
    job = subprocess.run(
        [sys.executable, "-c", code], cwd=here, env=environ, capture_output=True, text=True
    )
    assert job.returncode == 0, job.stderr
    assert job.stdout == f"{packed}: no plane 7; it has 1 (from 0)\n" and job.stderr == ""
    assert not list(here.iterdir())
    assert not [path for path in scratch.iterdir() if path.name.startswith("cosmodeep-")]


class Listening(BrightestPixel):
    """A network that notes what signals do while it computes."""

    def __call__(self, tiles, batch):
        self.handlers = [signal.getsignal(number) for number in signal.valid_signals()]
        return super().__call__(tiles, batch)


def test_signals_do_what_they_did_during_a_call_and_after_one_that_fails(image, model):
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    threads, network = threading.active_count(), Listening(6.0)
    cd.classify(image, model=replace(model, network=network))
    assert network.handlers == before
    with pytest.raises(cd.InputError):
        cd.classify(image, model=model, planes=3)
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before
    assert threading.active_count() == threads


def test_a_result_may_be_sent_to_another_process_and_copied(image, model, tmp_path):
    """As a pool of processes gives it back; a packed file's pixels stay with the first process."""
    packed = tmp_path / "field.fits.gz"
    packed.write_bytes(gzip.compress(image.read_bytes()))
    found = cd.classify(packed, model=model)
    assert (found.mask == 1).any()  # what was painted is there already
    sent, copied = pickle.loads(pickle.dumps(found)), copy.deepcopy(found)
    whole = found.write(tmp_path / "found")
    del found
    gc.collect()
    same(sent, copied)
    for name, path in copied.write(tmp_path / "copied").items():
        assert path.read_bytes() == whole[name].read_bytes(), name
    del copied
    gc.collect()
    for name, path in sent.write(tmp_path / "sent").items():  # what was measured goes with it
        assert path.read_bytes() == whole[name].read_bytes(), name


@pytest.mark.parametrize("name", ["robust", "paper-npix40"])
def test_a_model_may_be_sent_to_another_process(name):
    tiles = np.random.default_rng(1).normal(0, 1, (3, 80, 80)).astype(np.float32)
    model = cd.load_model(name)
    tiles = tiles[:, : model.network.side, : model.network.side]
    sent = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(sent.network(tiles, 3), model.network(tiles, 3))
    assert sent.card == model.card


@pytest.mark.parametrize("name", ["field.fits", "field.fits.gz", "field.fits.fz"])
def test_an_open_image_may_be_sent_to_another_process(name, image, pixels, tmp_path):
    path = tmp_path / name
    if name.endswith("fz"):
        packed = fits.CompImageHDU(pixels, fits.getheader(image))
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    else:
        path.write_bytes((gzip.compress if name.endswith("gz") else bytes)(image.read_bytes()))
    opened = cd.open_image(path)
    expected = opened.pixels()  # it has been read from
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened)).pixels(), expected)


def test_a_packed_file_is_unpacked_beside_nothing_and_goes_with_the_result(
    image, model, tmp_path, monkeypatch
):
    scratch, packed = tmp_path / "scratch", tmp_path / "images" / "field.fits.gz"
    scratch.mkdir(), packed.parent.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    packed.write_bytes(gzip.compress(image.read_bytes()))
    found = cd.classify(packed, model=model)
    same(found, cd.classify(image, model=model))
    assert [path.name for path in packed.parent.iterdir()] == ["field.fits.gz"]
    assert len(list(scratch.iterdir())) == 1
    found.write(tmp_path / "products")
    del found
    gc.collect()
    assert not list(scratch.iterdir())


def test_the_result_outlives_its_image(pixels, model, tmp_path):
    path, array = write(tmp_path / "a.fits", pixels), pixels.copy()
    from_file, from_array = (
        cd.classify(path, model=model),
        cd.classify(array, header(SHAPE), model=model),
    )
    path.unlink()
    array[:] = 0
    same(from_file, from_array)
    assert len(from_file.islands) == 2 and "2 islands" in repr(from_array)
    for found in (from_file, from_array):
        files = found.write(tmp_path / "products", ["mask", "islands_fits", "picture", "hdf5"])
        assert len(fits.getdata(files["islands_fits"])) == 2
