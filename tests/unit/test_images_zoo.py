"""Every file of the zoo is read exactly, or refused by name."""

import copy
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.io import fits
from support.memory import peak_memory
from support.mosaics import SHAPE, cards_of, compress, cube_of, pack, ramp, write
from support.zoo import BAD, GOOD

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.mosaic import open_image, open_mosaic


def check(found, expected, plane, exact=0.0):
    """Equal to float32, after the division by the factor of the plane's unit."""
    expected = expected.astype(np.float32)
    if plane.to_surface_brightness == 1 and exact == 0:
        np.testing.assert_array_equal(found, expected)
    else:
        found = found / np.float32(plane.to_surface_brightness)
        np.testing.assert_allclose(found, expected, rtol=3e-7, atol=exact)


@pytest.mark.parametrize("name", GOOD)
def test_every_plane_is_read(tmp_path, name):
    case = GOOD[name]
    mosaic = open_mosaic(case.make(tmp_path), hdu=case.hdu)
    assert len(mosaic.planes) == mosaic.n_planes == case.planes
    assert mosaic.shape == SHAPE
    for number, plane in enumerate(mosaic.planes):
        found = plane.pixels()
        assert found.dtype == np.float32 and found.flags.c_contiguous and found.flags.writeable
        check(found, case.expected(number), plane, case.exact)
    assert any(case.says in note for note in mosaic.notes) or not case.says


@pytest.mark.parametrize("name", GOOD)
def test_any_box_of_a_plane(tmp_path, name):
    """The last plane, in boxes that begin and end anywhere."""
    case = GOOD[name]
    plane = open_mosaic(case.make(tmp_path), hdu=case.hdu).planes[-1]
    whole = case.expected(case.planes - 1)
    for start, stop, columns in (
        (0, 1, slice(None)),
        (45, 46, slice(56, None)),
        (7, 30, slice(11, 41)),
        (3, 3, slice(None)),
        (30, 99, slice(-2, None)),  # beyond the edge, as slices of arrays
    ):
        found = plane.rows(start, stop, columns)
        check(found, whole[start:stop, columns], plane, case.exact)


@pytest.mark.parametrize("order", ["RA DEC", "RA STOKES DEC", "STOKES RA DEC"])
@pytest.mark.parametrize("kind", ["f4", "i2", "f8"])
def test_an_image_that_is_read_in_pieces(tmp_path, kind, order):
    """Of 5 MB and more, wide and of any order of axes: all of it, and narrow parts."""
    y, x = np.mgrid[:70, :35_000]
    expected = ((7 * y + x) % 32_000).astype(np.float32)
    stokes = order.split()[::-1].index("STOKES") if "STOKES" in order else None
    pixels = expected.astype(kind)
    if stokes is not None:
        pixels = np.stack([pixels + 1, pixels], axis=stokes)
    path = write(tmp_path / "a.fits", pixels, order, CRPIX1=1.0, CRPIX2=1.0, CRPIX3=1.0)
    image = open_image(path, plane=0 if stokes is None else 1)
    np.testing.assert_array_equal(image.pixels(), expected)
    for columns in (slice(3, 40), slice(20_000, 34_999), slice(34_999, None)):
        np.testing.assert_array_equal(image.rows(5, 69, columns), expected[5:69, columns])


@pytest.mark.parametrize("name", BAD)
def test_refused_by_name(tmp_path, name):
    case = BAD[name]
    path = case.make(tmp_path)
    with pytest.raises(InputError) as caught:
        open_mosaic(path, hdu=case.hdu)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and case.says in message and "\n" not in message


def test_planes_are_numbered_in_the_order_of_the_file(tmp_path):
    path = write(tmp_path / "a.fits", order="RA DEC FREQ STOKES")
    mosaic = open_mosaic(path)
    assert mosaic.axes == (2, 3, *SHAPE) and mosaic.celestial == (2, 3) and mosaic.others == (0, 1)
    assert [p.plane for p in mosaic.planes] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    two = open_mosaic(path, planes=[4, 1])
    assert two.numbers == (1, 4) and two.n_planes == 6
    assert [p.plane for p in two.planes] == [(0, 1), (1, 1)]
    np.testing.assert_array_equal(two.planes[1].rows(2, 3), ramp(4)[2:3].astype(np.float32))
    np.testing.assert_array_equal(open_image(path, plane=5).pixels(), ramp(5).astype(np.float32))
    for number in (-1, 6):
        with pytest.raises(InputError, match=rf"no plane {number}; it has 6"):
            open_mosaic(path, planes=[number])


@pytest.mark.parametrize("name", ["PRIMARY", "primary", " 0 ", 0])
def test_the_first_hdu_by_name(tmp_path, name):
    """It is PRIMARY as long as it has no EXTNAME."""
    path = write(tmp_path / "a.fits")
    assert open_mosaic(path, hdu=name).hdu == 0
    write(path, EXTNAME="SCI")
    assert open_mosaic(path, hdu="sci").hdu == 0
    with pytest.raises(InputError, match=r"no HDU PRIMARY in it; expected one of: 0 SCI"):
        open_mosaic(path, hdu="PRIMARY")


@pytest.mark.parametrize("name", ["bitpix-float32", "packed-gz", "compressed-rice_1"])
def test_files_are_closed_with_their_images(tmp_path, name):
    """A plain one at once: thousands of images may be open at a time."""
    path = GOOD[name].make(tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        image = open_image(path)
        assert not files_open_in(tmp_path)
        image.pixels()
        assert len(files_open_in(tmp_path)) == (name == "compressed-rice_1")
        del image
        assert not files_open_in(tmp_path)
    assert not said


def files_open_in(folder):
    open_now = (
        os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
    )
    return [path for path in open_now if path.startswith(str(folder))]


@pytest.mark.parametrize("name", ["bitpix-float32", "packed-gz", "compressed-rice_1"])
def test_a_copy_reads_on_its_own(tmp_path, name):
    """Copied or sent to another process, also after it was read."""
    image = open_image(GOOD[name].make(tmp_path))
    image.pixels()
    for other in (copy.deepcopy(image), pickle.loads(pickle.dumps(image))):
        check(other.rows(7, 9), GOOD[name].expected(0)[7:9], image)


def test_dec_before_ra(tmp_path):
    """y is the slower axis whatever it is, and the coordinates are in that order."""
    image = open_image(write(tmp_path / "a.fits", order="DEC FREQ RA"), plane=0)
    assert image.shape == SHAPE and list(image.wcs.wcs.ctype) == ["DEC--SIN", "RA---SIN"]
    dec, ra = image.wcs.pixel_to_world_values(28, 22.5)  # the reference pixel
    assert (ra, dec) == pytest.approx((150, -35))


def test_numbers_of_64_bits(tmp_path):
    """Signed ones of BZERO 2^63, whose sum in float64 would lose the small ones."""
    numbers = np.array([[0, 1, 2**24], [2**63, 2**64 - 2**40, 7]], np.uint64)
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(numbers, cards_of()).writeto(path)
    np.testing.assert_array_equal(open_image(path).pixels(), numbers.astype(np.float32))


def test_threads_read_at_once(tmp_path):
    """Plain, packed and compressed files alike."""
    for name in ("bitpix-float32", "packed-gz", "compressed-rice_1"):
        case = GOOD[name]
        image = open_mosaic(case.make(tmp_path)).planes[0]
        with ThreadPoolExecutor(8) as pool:
            rows = list(pool.map(lambda row, i=image: i.rows(row % 46, row % 46 + 1), range(200)))
        for number, row in enumerate(rows):
            np.testing.assert_array_equal(row[0], case.expected(0)[number % 46].astype(np.float32))


@pytest.mark.parametrize("kind", ["plain", "int16", "interleaved", "compressed"])
def test_memory_is_that_of_what_is_asked(tmp_path, kind):
    """100 rows of an image of 4000 and of 4 MB or more."""
    path, shape = tmp_path / "a.fits", (4000, 500)
    cards = {"CRPIX1": 250.0, "CRPIX2": 2000.0}
    values = np.broadcast_to(np.arange(500), shape)
    if kind == "compressed":
        hdu = fits.CompImageHDU(values.astype(np.int32), cards_of(**cards))
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    elif kind == "interleaved":
        write(path, np.repeat(values[..., None], 3, 2).astype("f4"), "STOKES RA DEC", **cards)
    else:
        write(path, values.astype("f4" if kind == "plain" else "i2"), **cards)
    image = open_image(path, plane=0)
    image.rows(0, 1)
    with peak_memory() as peak:
        found = image.rows(1000, 1100)
    np.testing.assert_array_equal(found, values[:100])
    limit = {"plain": 1.5, "int16": 6.0, "interleaved": 6.0, "compressed": 6.0}[kind]
    assert peak[0] < limit * found.nbytes


def test_a_tall_compressed_tile_is_unpacked_once(tmp_path):
    """However few rows are read at a time."""
    path = compress(tmp_path / "a.fits", ramp().astype("i4"), tile_shape=(40, 57))
    image = open_image(path)
    read = []
    section = type(image._pixels)._section
    image._pixels._section = lambda plane, rows, columns: (
        read.append(rows) or section(image._pixels, plane, rows, columns)
    )
    for row in range(0, 46, 5):
        found = image.rows(row, row + 5, slice(3, 9))
        np.testing.assert_array_equal(found, ramp()[row : row + 5, 3:9])
    assert read == [range(0, 40), range(40, 46)]


def test_an_absurd_size_takes_no_memory(tmp_path):
    """Of a packed file, whose length only its end would tell."""
    path = tmp_path / "a.fits"

    def make(plain):
        content = write(plain).read_bytes()
        big = fits.Card("NAXIS2", 10**8).image.encode()
        at = content.index(b"NAXIS2")
        plain.write_bytes(content[:at] + big + content[at + 80 :])

    pack(path, "gz", make)
    with peak_memory() as peak:
        image = open_image(path)
        with pytest.raises(InputError, match="rows 40 to 59 cannot be read"):
            image.rows(40, 60)
    assert peak[0] < 2**24  # some pieces; all of it would have gigabytes


def test_cube_without_a_plane_asked(tmp_path):
    path = write(tmp_path / "a.fits", cube_of("RA DEC FREQ").astype("f4"), "RA DEC FREQ")
    with pytest.raises(InputError, match="axes of 57 x 46 x 3 pixels; expected one plane"):
        open_image(path)


def test_an_image_of_40_gb(tmp_path):
    """100,000 x 100,000 float32 pixels, a few of them written: read beyond 4 GiB and to the end."""
    path, side = tmp_path / "a.fits", 100_000
    write(path, BUNIT="Jy/pixel", CRPIX1=5e4, CRPIX2=5e4)
    content = path.read_bytes()[:2880]
    for name in ("NAXIS1", "NAXIS2"):
        at = content.index(name.encode())
        content = content[:at] + fits.Card(name, side).image.encode() + content[at + 80 :]
    with path.open("wb") as file:
        file.write(content)
        file.truncate(2880 + 4 * side**2)  # takes no room on the disk
        for row in (20_000, side - 1):
            file.seek(2880 + 4 * (row * side + side - 100))
            file.write(np.arange(row, row + 100, dtype=">f4").tobytes())
    image = open_image(path)
    with peak_memory() as peak:
        for row in (20_000, side - 1):
            part = image.rows(row - 1, row + 1, slice(side - 101, None))
            found = part / image.to_surface_brightness
            np.testing.assert_array_equal(found[0], 0)
            np.testing.assert_allclose(found[1], [0, *range(row, row + 100)], rtol=3e-7)
            assert image.rows(row, row + 1)[0, side - 1] > 0
    assert peak[0] < 2**21
