"""Figures 7 to 9: tiles are drawn as what they are, and all kinds of them are shown."""

from dataclasses import replace

import numpy as np
import pytest
from support.fields import NOISE, write
from support.models import CARD
from support.pictures import has_colour, look

from cosmodeep_hpc.evaluation.evaluated import Evaluated
from cosmodeep_hpc.evaluation.overlay import KINDS, kinds
from cosmodeep_hpc.paper import classifiedimage, skypanel, tilegallery
from cosmodeep_hpc.paper.classifiedimage import Classified
from cosmodeep_hpc.paper.regions import FieldRegion
from cosmodeep_hpc.paper.skypanel import ImagePart, PanelSheet
from cosmodeep_hpc.tiles.pairs import find_pairs

SIGNAL = [[1, 1, 0], [0, 1, 0]]
PROBABILITY = [[0.9, 0.2, 0.7], [0.1, 0.5, 0.49]]  # found from 0.5
DRAWN = {(0, 0): "1C", (0, 1): "1F", (0, 2): "0F", (1, 1): "1C"}


@pytest.fixture
def pair(tmp_path):
    random = np.random.default_rng(0)
    sky = np.full((80, 120), 1e-9, np.float32)
    sky[:50, :80] = 5e-7
    write(tmp_path / "sky-a.fits", sky)
    write(tmp_path / "noise-a.fits", sky + random.normal(0, NOISE, sky.shape).astype(np.float32))
    return find_pairs(tmp_path)[0]


@pytest.fixture
def image():
    row, col = np.mgrid[:2, :3].astype(np.int32)
    return Evaluated(
        name="a",
        row=row.ravel(),
        col=col.ravel(),
        signal=np.array(SIGNAL, bool).ravel(),
        probability=np.array(PROBABILITY, np.float32).ravel(),
    )


def test_kinds_by_hand(image):
    found = {name: np.flatnonzero(mask).tolist() for name, mask in kinds(image, 0.5).items()}
    assert found == {"1C": [0, 4], "1F": [1], "0F": [2], "0C": [3, 5]}


def test_an_image_without_signal_has_no_accuracy_of_it(image):
    empty = replace(image, signal=np.zeros(6, bool))
    assert Classified("m", CARD, empty).words.endswith("As 0.000, Ws -, Wv 0.500")


@pytest.mark.parametrize(
    "window, expected",
    [
        (ImagePart((0, 80), (0, 120)), DRAWN),
        (ImagePart((0, 40), (40, 120)), {k: v for k, v in DRAWN.items() if k in {(0, 1), (0, 2)}}),
    ],
)
def test_each_tile_bears_what_became_of_it(pair, image, window, expected):
    _, noise = pair.open()
    axes, _ = skypanel.draw(PanelSheet((5, 3)), noise, "noise", window=window, sigma=NOISE)
    one = Classified("m", CARD, image)
    classifiedimage.mark_kinds(axes, one, window, noise.shape, fontsize=8)
    drawn = {}
    for text in axes.texts:
        x, y = np.array(text.get_position()) + 0.5
        drawn[int(y // 40), int(x // 40)] = text.get_text()
        assert text.get_color() == KINDS[text.get_text()]
    assert drawn == expected


def test_whole_image(pair, image, tmp_path):
    """As = 2 / (3 + 1), Ws = 2 / 3, Wv = 2 / 3."""
    words = classifiedimage.draw(pair, Classified("m", CARD, image), tmp_path / "p.png")
    assert words.endswith("As 0.500, Ws 0.667, Wv 0.667")
    seen = look(tmp_path / "p.png")
    assert all(has_colour(seen, colour) for colour in KINDS.values())


def test_regions_of_several_models(pair, image, tmp_path):
    models = [Classified(name, CARD, image) for name in ("m", "n")]
    regions = [FieldRegion("left", 0, 0, 2), FieldRegion("right", 0, 1, 2)]
    words = classifiedimage.draw_regions(pair, models, regions, tmp_path / "p.png")
    assert words == "sky-a.fits, 2 regions by 2 models"
    assert has_colour(look(tmp_path / "p.png"), KINDS["1C"])


def test_single_tiles_are_spread_over_all_probabilities(image):
    """Twelve tiles found, of two images: the surest first, the least sure last."""
    n = 12
    sure = np.linspace(0.5, 1, n).astype(np.float32)
    places = np.arange(n, dtype=np.int32)
    many = Evaluated(
        name="b", row=places * 0, col=places, signal=np.ones(n, bool), probability=sure
    )
    found = tilegallery.chosen([image, many], 0.5, count=4)
    # in order: tiles 11, 10, ... of the second image; 0.9 of the first is among them
    assert found["1C"][0] == (1, 11) and found["1C"][-1][0] in (0, 1)
    assert len(found["1C"]) == 4
    assert found["1F"] == [(0, 1)] and found["0F"] == [(0, 2)] and found["0C"] == [(0, 5), (0, 3)]
    assert tilegallery.totals([image, many], 0.5) == {"1C": 14, "1F": 1, "0F": 1, "0C": 2}


def test_gallery(pair, image, tmp_path):
    words = tilegallery.draw([pair], [image], CARD, "m", tmp_path / "p.png")
    assert words == "2 1C, 1 1F, 1 0F, 2 0C"
    look(tmp_path / "p.png")


def test_the_colour_blind_can_tell_the_kinds_apart():
    """Distance in CIE Lab as seen with normal eyes and with none of one cone.

    Machado, Oliveira & Fernandes (2009), severity 1. Green and red of equal lightness come to 7.
    """
    sight = {
        "all": np.eye(3),
        "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }
    for matrix in sight.values():
        seen = [lab(np.array(matrix) @ linear(colour)) for colour in KINDS.values()]
        assert min(np.linalg.norm(a - b) for a in seen for b in seen if a is not b) > 30


def linear(colour):
    """A colour as linear sRGB."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Linear sRGB as CIE L*a*b* (white D65)."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    f = np.cbrt(np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
