"""Figures 3 and 4: every tile of a Sky image bears its label, where it is on the sky."""

import numpy as np
import pytest
from support.fields import write
from support.pictures import has_colour, look

from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.paper import skypanel, tilelabels
from cosmodeep_hpc.paper.skypanel import ImagePart, PanelSheet
from cosmodeep_hpc.paper.tilelabels import Labelled

LABEL = Label(f_th=1e-7, n_pix=40)


@pytest.fixture
def sky(tmp_path):
    """Three rows of five tiles; one is signal, one just not, one has a pixel without data."""
    pixels = np.full((120, 200), 1e-9, np.float32)
    pixels[41, 80:120] = pixels[42, 80] = 2e-7  # tile (1, 2): 41 pixels, signal
    pixels[0, :40] = 2e-7  # tile (0, 0): 40 pixels, not
    pixels[100, 190] = np.nan  # tile (2, 4)
    return open_image(write(tmp_path / "sky-a.fits", pixels))


def test_labels_by_hand(sky):
    tiles = Labelled.of(sky, 40, LABEL)
    assert np.argwhere(tiles.signal).tolist() == [[1, 2]]
    assert np.argwhere(~tiles.whole).tolist() == [[2, 4]]


@pytest.mark.parametrize(
    "window, expected",
    [
        (None, {(r, c): "0" for r in range(3) for c in range(5) if (r, c) != (2, 4)}),
        (ImagePart((0, 80), (80, 160)), {(r, c): "0" for r in range(2) for c in (2, 3)}),
    ],
)
def test_each_tile_shown_bears_its_label(sky, window, expected):
    tiles = Labelled.of(sky, 40, LABEL)
    sheet = PanelSheet((5, 3))
    axes, _ = skypanel.draw(sheet, sky, "sky", window=window)
    tilelabels.write_labels(axes, tiles, window or ImagePart.whole(sky), fontsize=8)
    places = [np.array(text.get_position()) + 0.5 for text in axes.texts]
    drawn = {
        (int(y // 40), int(x // 40)): t.get_text()
        for (x, y), t in zip(places, axes.texts, strict=True)
    }
    assert drawn == {**expected, (1, 2): "1"}


def test_labels_of_a_large_image_are_not_written(tmp_path):
    side = (tilelabels.MOST + 1) * 4
    sky = open_image(write(tmp_path / "sky-a.fits", np.zeros((8, side), np.float32)))
    axes, _ = skypanel.draw(PanelSheet((5, 3)), sky, "sky")
    tilelabels.write_labels(axes, Labelled.of(sky, 4, LABEL), ImagePart.whole(sky), fontsize=8)
    assert len(axes.texts) == 0


@pytest.mark.parametrize("zoom", [False, True])
def test_pictures_show_the_signal_in_degrees(sky, tmp_path, zoom):
    tiles = Labelled.of(sky, 40, LABEL)
    words = tilelabels.draw(sky, tiles, LABEL, tmp_path / "labels.png", zoom=zoom)
    assert words == "sky-a.fits: 1 of 14 tiles with signal"
    assert has_colour(look(tmp_path / "labels.png"), tilelabels.SIGNAL)


def test_the_axes_of_a_panel_are_degrees_of_the_sky(sky):
    """The middle of the window; right ascension is written in degrees, not in hours."""
    sheet = PanelSheet((5, 5))
    axes, _ = skypanel.draw(sheet, sky, "sky", window=ImagePart((0, 80), (40, 120)))
    sheet.figure.canvas.draw()
    middle = axes.transData.inverted().transform(axes.transAxes.transform((0.5, 0.5)))
    assert middle == pytest.approx([79.5, 39.5])
    ra, dec = sky.wcs.pixel_to_world_values(*middle)
    written = [axes.coords[n].format_coord(value) for n, value in enumerate((ra, dec))]
    degrees = [float(word.rstrip("°").replace("−", "-")) for word in written]
    assert degrees == pytest.approx([float(ra), float(dec)], abs=0.05)
    assert axes.coords[0].get_axislabel() == "Right ascension [deg]"


def test_a_zoom_of_a_sky_without_signal_is_drawn(tmp_path):
    sky = open_image(write(tmp_path / "sky-a.fits", np.full((80, 80), 1e-12, np.float32)))
    words = tilelabels.draw(
        sky, Labelled.of(sky, 40, LABEL), LABEL, tmp_path / "labels.png", zoom=True
    )
    assert words == "sky-a.fits: 0 of 4 tiles with signal"


def test_an_image_without_a_whole_tile_is_named(tmp_path):
    sky = open_image(write(tmp_path / "sky-a.fits", np.zeros((30, 80), np.float32)))
    with pytest.raises(InputError, match="sky-a.fits: no tile of 40 x 40"):
        Labelled.of(sky, 40, LABEL)
