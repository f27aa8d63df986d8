"""The picture of a mosaic: what stands where, whatever the image, its name and the user's style."""

import io
import subprocess
import sys
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from support.findings import findings, sky, swept, write_mosaic

from cosmodeep_hpc.config.survey import ALL_PRODUCTS
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.products import picture, zooms

INK = {"red": "tab:red", "blue": "#e2ecf6", "black": "black"}
"""Outlines of signal, pixels without data, and bright ones."""
NEAR = {"red": 0.15, "blue": 0.02, "black": 0.02}  # thin lines are blended


def seen(made):
    """The picture's pixels: float (ny, nx, 3), the uppermost row first."""
    return imread(io.BytesIO(picture.drawn(findings(made))))[..., :3]


def where(pixels, ink):
    """Rows and columns of the pixels of a colour: (n, 2)."""
    colour = np.array(to_rgb(INK[ink]))
    return np.argwhere(np.abs(pixels - colour).max(axis=-1) < NEAR[ink])


@pytest.fixture
def field(tmp_path):
    """A field with a bright block low on the right, and none of it known high on the left."""
    pixels = np.random.default_rng(1).normal(0, 1e-6, (80, 120)).astype(np.float32)
    pixels[10:30, 90:110], pixels[70:, :30] = 1.0, np.nan
    signal = np.zeros((2, 3), bool)
    signal[0, 2] = True
    return swept(write_mosaic(tmp_path / "field.fits", pixels, sky((80, 120))), signal)


def test_the_plane_stands_upright_and_its_signal_is_outlined(field):
    """The first row is lowest; a cell's outline runs at equal distances around its middle."""
    pixels = seen(field)
    unknown, red = where(pixels, "blue"), where(pixels, "red")
    red = red[red[:, 0] < len(pixels) - 60]  # below it lies the legend
    (top, left), (bottom, right) = red.min(axis=0), red.max(axis=0)
    cell = (right - left) / 40  # pixels of the picture for one of the image
    assert cell == pytest.approx((bottom - top) / 40, abs=0.1)
    block = where(pixels[top : bottom + 1, left : right + 1], "black")
    assert np.median(block, axis=0) == pytest.approx(20 * cell, abs=2)
    assert len(block) == pytest.approx(400 * cell**2, rel=0.1)
    assert unknown[:, 1].max() < left - 40 * cell and unknown[:, 0].max() < top


def test_axes_are_called_what_they_are(field):
    (axes,) = (a for a in picture.figure(findings(field)).axes if hasattr(a, "coords"))
    names = [coordinate.get_axislabel() for coordinate in axes.coords]
    assert names == ["Right ascension", "Declination"]


@pytest.mark.parametrize("shape", [(120, 200), (40, 2000), (2000, 40)])
@pytest.mark.parametrize("planes", [1, 4])
def test_the_legend_hides_nothing(tmp_path, shape, planes):
    """Neither pixels of a plane, whose islands may lie anywhere, nor names, title and notes."""
    about = sky(shape, CTYPE3="FREQ", CRVAL3=1.4e9, CDELT3=1e6)
    path = write_mosaic(tmp_path / "a.fits", np.ones((planes, *shape)), about)
    cells = tuple(-(-side // 40) for side in shape)
    blank = np.zeros(cells, bool)
    blank[0, 0] = True
    figure = picture.figure(findings(swept(path, ~blank, blank=blank)))
    figure.draw_without_rendering()
    drawn = [axes for axes in figure.axes if hasattr(axes, "coords")]
    legends = [axes.get_legend().get_window_extent() for axes in drawn]
    pen = figure.canvas.get_renderer()
    others = [axes.get_tightbbox(pen, bbox_extra_artists=[]) for axes in figure.axes]
    others += [text.get_window_extent() for text in figure.texts]
    assert len(legends) == planes
    for legend in legends:
        assert not any(legend.overlaps(other) for other in others)
        assert figure.bbox.containsx(legend.x0) and figure.bbox.containsy(legend.y0)


def test_what_was_noted_stands_below(field):
    """A result that may not be trusted says so where it is looked at."""
    (text,) = picture.figure(findings(field)).texts
    assert text.get_text().replace("\n", " ") == (
        "by brightest.keras; scaled by 0.5: the noise of the training is half of this"
    )
    many = replace(field.planes[0], notes=tuple(f"note {n} of many" for n in range(200)))
    (text,) = picture.figure(findings(replace(field, planes=(many,)))).texts
    assert text.get_text().endswith("…") and text.get_text().count("\n") == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (30, 30), (41, 2999)])
def test_images_of_any_shape_have_a_picture(tmp_path, shape):
    path = write_mosaic(tmp_path / "a.fits", np.ones(shape), sky(shape))
    made = swept(path, np.ones((-(-shape[0] // 40), -(-shape[1] // 40)), bool))
    pixels = seen(made)
    assert 300 <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= 1200
    assert len(where(pixels, "red")) > 100


def test_an_image_that_leaves_the_sky_has_a_picture(tmp_path):
    header = sky((180, 360), "TAN", 3600.0, CTYPE1="RA---AIT", CTYPE2="DEC--AIT", CRVAL2=0.0)
    made = swept(
        write_mosaic(tmp_path / "a.fits", np.zeros((180, 360)), header),
        np.ones((9, 18), bool),
        cell=20,
    )
    assert len(where(seen(made), "red")) > 1000


def test_a_grid_finer_than_the_picture_is_drawn_all_the_same(tmp_path):
    signal = np.zeros((1, 2000), bool)
    signal[0, :1000] = True
    made = swept(
        write_mosaic(tmp_path / "a.fits", np.ones((1, 2000)), sky((1, 2000))), signal, cell=1
    )
    assert len(where(seen(made), "red")) > 100


@pytest.mark.parametrize("planes, panels", [(1, 1), (3, 3), (12, 9)])
def test_planes_of_a_cube_are_side_by_side_nine_at_most(tmp_path, planes, panels):
    header = sky((40, 40), CTYPE3="FREQ", CRVAL3=1e9, CDELT3=1e6, CRPIX3=1.0)
    made = swept(
        write_mosaic(tmp_path / "a.fits", np.ones((planes, 40, 40)), header), np.ones((1, 1), bool)
    )
    drawn = [axes for axes in picture.figure(findings(made)).axes if hasattr(axes, "coords")]
    assert len(drawn) == panels
    first, last = drawn[0].get_title(), drawn[-1].get_title()
    assert planes == 1 or (f"[{planes - 1}]" in last and "[0]" in first)
    assert len({axes.get_position().bounds for axes in drawn}) == panels


def test_any_name_can_be_written_on_it(tmp_path):
    """No mathematics, no letter that the font has not, no more than there is room for."""
    pixels = np.ones((40, 40))
    for name in ("$x_$ \\alpha^{.fits", "日本 \U0001f600.fits", "x" * 200 + "end.fits"):
        made = swept(write_mosaic(tmp_path / name, pixels, sky((40, 40))), np.ones((1, 1), bool))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            picture.drawn(findings(made))
        title = picture.figure(findings(made)).axes[0].get_title().split("\n")
        assert len(title[0]) <= 45 and title[1] == "1 of 1 tiles signal (probability ≥ 0.50)"
    assert title[0].startswith("xxx") and title[0].endswith("xend.fits")


def test_the_style_that_a_user_has_chosen_is_neither_taken_nor_changed(field):
    before = picture.drawn(findings(field))
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "text.usetex": True}):
        chosen = dict(matplotlib.rcParams)
        assert picture.drawn(findings(field)) == before
        assert dict(matplotlib.rcParams) == chosen


def test_a_large_image_is_averaged_over_blocks(tmp_path):
    """Those at the upper and right edge are cut; a block without data is NaN."""
    pixels = np.random.default_rng(1).normal(0, 1, (1030, 45)).astype(np.float32)
    pixels[:20, :20] = np.nan
    path = write_mosaic(tmp_path / "a.fits", pixels, sky((1030, 45), BUNIT="Jy/arcsec2"))
    small, block = picture.thumbnail(open_image(path), 52)
    assert block == 20 and small.shape == (52, 3)
    for row, col in ((0, 1), (0, 2), (30, 1), (51, 0), (51, 2)):
        there = pixels[20 * row : 20 * row + 20, 20 * col : 20 * col + 20]
        assert small[row, col] == pytest.approx(there.mean(), abs=1e-6)
    assert np.argwhere(np.isnan(small)).tolist() == [[0, 0]]


@pytest.mark.parametrize("at_once", [1, 700, 10**6])
def test_a_zoom_is_averaged_however_much_is_read_at_a_time(tmp_path, at_once):
    """Over blocks from its own corner on; the last ones are cut."""
    pixels = np.random.default_rng(1).normal(0, 1, (103, 90)).astype(np.float32)
    path = write_mosaic(tmp_path / "a.fits", pixels, sky((103, 90), BUNIT="Jy/arcsec2"))
    found = zooms.part(open_image(path), slice(11, 92), slice(3, 77), 20, at_once)
    assert found.shape == (5, 4)
    for row, col in ((0, 0), (3, 2), (4, 1), (2, 3), (4, 3)):
        there = pixels[11:92, 3:77][20 * row : 20 * row + 20, 20 * col : 20 * col + 20]
        assert found[row, col] == pytest.approx(there.mean(), abs=1e-6)


def test_matplotlib_is_imported_where_a_picture_is_asked_for(tmp_path):
    """And for a MOC, whose library does. It takes half a second."""
    pixels = np.random.default_rng(1).normal(0, 1, (40, 40))
    path = write_mosaic(tmp_path / "a.fits", pixels, sky((40, 40)))
    others = [name for name in ALL_PRODUCTS if name not in ("picture", "moc")]
    code = (
        "import sys, cosmodeep_hpc as cd\n"
        f"found = cd.classify({str(path)!r})\n"
        f"found.write({str(tmp_path)!r}, {others})\n"
        "assert not {'matplotlib', 'mocpy'} & set(sys.modules)\n"
        f"found.write({str(tmp_path)!r}, ['picture'])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    job = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert job.returncode == 0, job.stderr
