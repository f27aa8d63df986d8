"""Files packed as a whole: told by their content, unpacked whole or not at all."""

import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from support.memory import peak_memory
from support.mosaics import PACKERS, compress, cube_of, lzw, pack, ramp, write

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.mosaic import open_image, open_mosaic
from cosmodeep_hpc.images.unpack import is_packed, unpack

CUBE = "RA DEC FREQ"


@pytest.mark.parametrize("how", PACKERS)
def test_packed_is_told_by_content(tmp_path, how):
    assert is_packed(pack(tmp_path / "a.fits", how))
    assert not is_packed(write(tmp_path / f"b.fits.plain.{how}x"))


def test_plain_and_tile_compressed_are_not_packed(tmp_path):
    assert not is_packed(write(tmp_path / "a.fits"))
    assert not is_packed(compress(tmp_path / "a.fits.fz", ramp().astype("i4")))
    (tmp_path / "empty").write_bytes(b"")
    assert not is_packed(tmp_path / "empty")


@pytest.mark.parametrize("how", PACKERS)
def test_unpacked(tmp_path, how):
    """Byte for byte; then read at random places, by the name of the packed file."""
    path = pack(tmp_path / f"a.fits.{how}", how, lambda p: write(p, order=CUBE))
    plain = write(tmp_path / "plain.fits", order=CUBE)
    target = tmp_path / "unpacked"
    unpack(path, target)
    assert target.read_bytes() == plain.read_bytes()
    mosaic = open_mosaic(path, unpacked=target)
    assert mosaic.path == path and mosaic.planes[0].path == path
    for number, plane in enumerate(mosaic.planes):
        np.testing.assert_array_equal(plane.rows(7, 9), ramp(number)[7:9].astype(np.float32))


def test_messages_name_the_packed_file(tmp_path):
    path = pack(tmp_path / "a.fits.gz", "gz", lambda p: write(p, BUNIT="furlong"))
    unpack(path, tmp_path / "unpacked")
    with pytest.raises(InputError, match=r"a\.fits\.gz: BUNIT is furlong"):
        open_mosaic(path, unpacked=tmp_path / "unpacked")


@pytest.mark.parametrize("how", ["gz", "bz2", "xz"])
def test_damaged(tmp_path, how):
    """Cut anywhere or with a wrong byte: refused by name, and nothing is left behind."""
    random = np.random.default_rng(5)
    noise = random.normal(size=(46, 57)).astype("f4")
    path = pack(tmp_path / "a.fits", how, lambda p: write(p, noise))
    content = path.read_bytes()
    cuts = [content[:size] for size in random.integers(10, len(content) - 1, 20)]
    for at in random.integers(20, len(content) - 1, 20):
        cuts.append(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    for damaged in cuts:
        path.write_bytes(damaged)
        with pytest.raises(InputError) as caught:
            unpack(path, tmp_path / "unpacked")
        assert str(caught.value).startswith(f"{path}: cannot be unpacked (")
        assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]
        with pytest.raises(InputError) as caught:  # nor does it pass without being unpacked
            open_image(path).pixels()
        assert str(caught.value).startswith(f"{path}: ")


def test_a_truncated_z_file(tmp_path):
    """It has neither length nor checksum: what it unpacks to is refused as truncated."""
    path = pack(tmp_path / "a.fits.Z", "Z")
    path.write_bytes(path.read_bytes()[:-500])
    unpack(path, tmp_path / "unpacked")
    with pytest.raises(InputError, match=r"a\.fits\.Z: truncated"):
        open_mosaic(path, unpacked=tmp_path / "unpacked")
    with pytest.raises(InputError, match=r"a\.fits\.Z: rows 0 to 45 cannot be read"):
        open_image(path).pixels()


def test_z_is_what_gzip_reads(tmp_path):
    """Codes of all widths, of a table that fills up, and of a string that grows with each code."""
    random = np.random.default_rng(1)
    text = random.integers(0, 30, 60_000, dtype=np.uint8).tobytes() + bytes(100_000)
    for bits in (10, 13, 16):
        path = tmp_path / "a.Z"
        path.write_bytes(lzw(text, bits))
        if shutil.which("gzip"):  # the tests' own packer against another program
            assert subprocess.run(["gzip", "-dc", path], capture_output=True).stdout == text
        unpack(path, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == text


def test_z_without_the_package_that_reads_it(tmp_path, monkeypatch):
    """Told to be packed as ever, and refused with what to install."""
    path = pack(tmp_path / "a.fits.Z", "Z")
    monkeypatch.setitem(sys.modules, "uncompresspy", None)  # as if it were not installed
    assert is_packed(path)
    for use in (open_mosaic, lambda path: unpack(path, tmp_path / "a.fits")):
        with pytest.raises(InputError, match=r"a\.fits\.Z: packed .*pip install uncompresspy"):
            use(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits.Z"]


def test_z_that_is_damaged(tmp_path):
    path = tmp_path / "a.fits.Z"
    for content in (b"\x1f\x9d", b"\x1f\x9d\x05abc", b"\x1f\x9d\x90" + b"\xff" * 50):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.fits\.Z: cannot (be unpacked|read it)"):
            unpack(path, tmp_path / "a")
        assert not (tmp_path / "a").exists()


def test_memory_while_unpacking(tmp_path):
    """40 MB of zeros, which pack to 40 kB."""
    path = tmp_path / "a.gz"
    path.write_bytes(PACKERS["gz"](bytes(40_000_000)))
    with peak_memory() as peak:
        unpack(path, tmp_path / "a")
    assert peak[0] < 20_000_000
    assert (tmp_path / "a").stat().st_size == 40_000_000


def test_target_that_cannot_be_written(tmp_path):
    """No such folder, and a full disk: by name, and nothing is left behind."""
    path = pack(tmp_path / "a.fits.gz", "gz")
    target = tmp_path / "nowhere" / "a.fits"
    with pytest.raises(InputError) as caught:
        unpack(path, target)
    assert str(caught.value).startswith(f"{path}: cannot unpack it to {target}: No such file")


def test_a_full_disk(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.fits.gz", "gz")

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, piece):
            raise OSError(28, os.strerror(28))

    real = type(path).open
    monkeypatch.setattr(
        type(path),
        "open",
        lambda p, mode="r", *a: Full(real(p, mode)) if "w" in mode else real(p, mode, *a),
    )
    with pytest.raises(InputError, match=r"a\.fits\.gz: cannot unpack it to .*: No space left"):
        unpack(path, tmp_path / "a.fits")
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits.gz"]


def test_not_packed(tmp_path):
    path = write(tmp_path / "a.fits")
    with pytest.raises(InputError, match=r"a\.fits: cannot read it: not a packed file"):
        unpack(path, tmp_path / "b.fits")


def test_what_an_image_unpacks_goes_with_it(tmp_path, monkeypatch):
    """It lies in the folder of temporary files, once, from the first pixels on."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)  # chosen anew
    path = pack(tmp_path / "a.fits.gz", "gz", lambda p: write(p, order=CUBE))
    mosaic = open_mosaic(path)
    assert not list(temporary.iterdir())
    for _ in range(2):
        for number, plane in enumerate(mosaic.planes):
            np.testing.assert_array_equal(plane.rows(3, 4)[0], ramp(number)[3].astype("f4"))
        assert len(list(temporary.iterdir())) == 1
    del mosaic, plane
    assert not list(temporary.iterdir())


def test_cube_read_without_unpacking(tmp_path):
    """Backwards too: it starts again from the beginning."""
    path = pack(
        tmp_path / "a.fits.bz2", "bz2", lambda p: write(p, cube_of(CUBE).astype("f4"), CUBE)
    )
    planes = open_mosaic(path).planes
    for number in (2, 0, 1):
        np.testing.assert_array_equal(planes[number].rows(40, 46), ramp(number)[40:].astype("f4"))
