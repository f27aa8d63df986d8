"""Real radio images pass through whole, products are in the right place, and a halo is found.

The images are not part of the project: REAL_IMAGES names their folder.
"""

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from support.launch import mpirun
from support.models import write_untrained

from benchmarks.abell2744 import COLUMNS, shares

FOLDER = Path(os.environ.get("REAL_IMAGES", Path(__file__).parents[3] / "shared" / "data" / "real"))
DOCS = Path(__file__).parents[2] / "docs" / "robust.md"
IMAGES = {
    # name: (shape of the plane, no-data share expected at least, side of a cell in pixels)
    "A2744_JVLA.image": ((384, 384), 0.0, 80),  # four axes, Jy/beam; pixels of 4 arcsec, not 9.6
    "ScorpioExtendedSourceField": ((1000, 1000), 0.0, 240),  # NCP, no BPA, no EQUINOX; 1.5 arcsec
    "1904-66_SIN": ((192, 192), 0.3, 40),  # 40 % NaN, near the pole; pixels of 4 arcmin
}

pytestmark = pytest.mark.skipif(
    not all((FOLDER / f"{name}.fits").exists() for name in IMAGES),
    reason=f"no real images in {FOLDER}; set REAL_IMAGES to their folder",
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, tf):
    """The products of all three, of one job on 2 ranks."""
    out = tmp_path_factory.mktemp("real")
    model = write_untrained(out / "model.keras")
    files = [FOLDER / f"{name}.fits" for name in IMAGES]
    options = ("--model", model, "--out", out, "--classify.any_scale", "true")
    done = mpirun(2, "classify", *files, *options, timeout=150)
    assert done.returncode == 0, done.stdout
    return out


def wcs_of(header):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header).celestial


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("product", ["mask", "tiles", "probability"])
def test_a_sky_position_is_the_same_in_product_and_image(swept, name, product):
    """Read from the product, looked up by astropy in the input: within a hundredth of a pixel."""
    size = 1 if product == "mask" else IMAGES[name][2]
    with fits.open(swept / f"{name}.{product}.fits") as file:
        ny, nx = file[0].data.shape[-2:]
        there = wcs_of(file[0].header)
    assert (ny, nx) == tuple(-(-n // size) for n in IMAGES[name][0])
    x, y = np.meshgrid([nx // 4, nx // 2, 3 * nx // 4], [ny // 4, ny // 2, 3 * ny // 4])
    source = wcs_of(fits.getheader(FOLDER / f"{name}.fits"))
    found = np.array(source.world_to_pixel(there.pixel_to_world(x, y)))
    expected = np.array([(v + 0.5) * size - 0.5 for v in (x, y)])
    here = np.isfinite(found)  # corners of a map at the pole may lie beyond the sky
    assert here.any()
    np.testing.assert_allclose(found[here], expected[here], atol=0.01)


@pytest.mark.parametrize("name", IMAGES)
def test_no_data_is_where_the_image_is_blank(swept, name):
    mask = fits.getdata(swept / f"{name}.mask.fits").squeeze()
    pixels = fits.getdata(FOLDER / f"{name}.fits").squeeze()
    blank = ~np.isfinite(pixels)
    assert (mask == 255).mean() >= IMAGES[name][1] - 0.1
    size = IMAGES[name][2]
    for row in range(0, mask.shape[0], size):
        for col in range(0, mask.shape[1], size):
            tile = (slice(row, row + size), slice(col, col + size))
            no_data = blank[tile].mean() > 0.5
            assert (mask[tile] == 255).all() == no_data


@pytest.fixture(scope="module")
def marked(tmp_path_factory, tf):
    """The mask of A2744 by the model `robust`: bool (y, x)."""
    out = tmp_path_factory.mktemp("robust")
    file = FOLDER / "A2744_JVLA.image.fits"
    done = mpirun(1, "classify", file, "--model", "robust", "--out", out, timeout=150)
    assert done.returncode == 0, done.stdout
    return fits.getdata(out / "A2744_JVLA.image.mask.fits").squeeze() == 1


def test_the_areas_of_a2744_are_marked_as_the_docs_say(marked):
    """Halo and arcs are, the double source, sidelobes and the empty sky are not."""
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    (line,) = [one for one in lines if re.fullmatch(r"\| `robust` (\| \d+ ){7}\|", one)]
    said = dict(zip(COLUMNS, map(int, line.split("|")[2:-1]), strict=True))
    assert said["halo"] >= 95 and min(said["SE arc"], said["NW arc"]) >= 60
    assert max(said[name] for name in ("double source", "sidelobes of a source", "empty")) <= 1
    for name, share in shares(marked, FOLDER).items():
        assert 100 * share == pytest.approx(said[name], abs=2), name


def test_the_empty_sky_around_a2744_is_left_alone(marked):
    """Beyond 9 arcmin of the middle between halo and relic there is no emission of the cluster."""
    y, x = np.indices(marked.shape)
    far = np.hypot(x - 185, y - 210) * 4 > 9 * 60
    assert far.mean() > 0.3
    assert not marked[far].any()
