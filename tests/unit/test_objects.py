"""Objects of the sky and islands found are matched by overlap, and measured."""

import numpy as np
import pytest

from cosmodeep_hpc.evaluation import objectshares
from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth
from cosmodeep_hpc.evaluation.objects import MatchedObjects, ObjectMatch

SHAPE = (120, 160)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def disc(x, y=60, radius=20.0):
    return (X - x) ** 2 + (Y - y) ** 2 < radius**2


NOTHING = disc(0, radius=0)


def ring(inner):
    return disc(80) & ~disc(80, radius=20 * inner)


def truth_of(bright, emission=None, **changes):
    """A sky of 4 units where it is bright; noise 2, cells of 9 and a beam of 3 arcsec^2."""
    sky = np.where(bright, 4.0, 0.0).astype(np.float32)
    given = {
        "known": np.ones(SHAPE, dtype=bool),
        "bright": bright,
        "emission": bright if emission is None else emission,
        "sky": sky,
        "image": sky + np.float32(1),
        "noise": 2.0,
        "cell_area": 9.0,
        "beam_area": 3.0,
        **changes,
    }
    return FieldTruth(**given)


def match(bright, found, **truth):
    made = ObjectMatch.of(truth_of(bright, **truth), found)
    return made.objects.matched.tolist(), made.islands.matched.tolist()


halves = disc(80) & ~((Y >= 55) & (Y < 65))


@pytest.mark.parametrize(
    "bright, found, objects, islands",
    [
        (disc(80), disc(80), [True], [True]),  # whole
        # two discs of radius 20, 23.4 apart, share 0.300 of each
        (disc(80), disc(102), [True], [True]),
        (disc(80), disc(105), [False], [False]),
        (disc(40) | disc(90), NOTHING, [False, False], []),  # missed
        (NOTHING, disc(80), [], [False]),  # empty sky
        (NOTHING, NOTHING, [], []),
        (disc(40) | disc(90), disc(40) | disc(90) | (abs(Y - 60) < 2), [True, True], [True]),
        (disc(80), halves, [True], [True, True]),  # split: one object, no island is false
        (disc(80), disc(80, radius=10.0), [False], [True]),  # its centre alone: 25 %
        (disc(80), disc(80, radius=12.0), [True], [True]),  # 36 %
        # a filled ring: the island is true if the ring is 1 - inner^2 = 0.3 of it
        (ring(0.8), disc(80), [True], [True]),
        (ring(0.9), disc(80), [True], [False]),
        (ring(0.8), ring(0.8), [True], [True]),
        (ring(0.8), disc(80, radius=15.0), [False], [False]),  # its hole alone
    ],
)
def test_matches_by_overlap(bright, found, objects, islands):
    assert match(bright, found) == (objects, islands)


def test_an_island_on_fainter_emission_is_true_and_finds_no_object():
    assert match(NOTHING, disc(80), emission=disc(80)) == ([], [True])
    assert match(disc(40), disc(40) | disc(90), emission=disc(40) | disc(90))[1] == [True, True]


def test_cells_that_touch_at_a_corner_are_one_object():
    corners = NOTHING.copy()
    corners[10, 10] = corners[11, 11] = True
    assert match(corners, corners) == ([True], [True])


@pytest.mark.parametrize("beam, objects", [(4.5, 1), (4.6, 0)])
def test_objects_have_two_beams_or_more(beam, objects):
    """A cell of 9 arcsec^2; what is found of it may be smaller."""
    one = NOTHING.copy()
    one[10, 10] = True
    made = ObjectMatch.of(truth_of(one, beam_area=beam), one)
    assert (len(made.objects), len(made.islands)) == (objects, 1)


def test_cells_without_data_count_nowhere():
    known = X >= 80  # the right half
    made = ObjectMatch.of(truth_of(disc(80) & known, known=known), disc(80))
    assert made.islands.matched.tolist() == [True]
    assert made.islands.size[0] == 3 * (disc(80) & known).sum()


def test_measures_of_a_disc():
    made = ObjectMatch.of(truth_of(disc(80)), disc(80, radius=10.0))
    cells, inside = disc(80).sum(), disc(80, radius=10.0).sum()
    objects, islands = made.objects, made.islands
    assert (objects.brightness[0], islands.brightness[0]) == (4 / 2, 5 / 2)
    assert (objects.size[0], islands.size[0]) == (cells * 3, inside * 3)
    assert (objects.flux[0], islands.flux[0]) == (4 * cells * 9, 5 * inside * 9)
    assert cells == pytest.approx(np.pi * 20**2, rel=0.01)


def objects_of(*rows):
    brightness, matched = zip(*rows, strict=True) if rows else ((), ())
    values = np.array(brightness, dtype=float)
    return MatchedObjects(
        brightness=values, size=values, flux=values, matched=np.array(matched, dtype=bool)
    )


def test_shares_in_bins_of_two_fields():
    """A bin includes its lower edge; the first and the last are open. Errors are over fields."""
    fields = [
        objects_of((-1, True), (0.9, False), (1, True), (9, True)),
        objects_of((2, True), (1.5, False)),
    ]
    rows = objectshares.binned(fields, "brightness", (0, 1, 2))
    assert [(row["count"], row["matched"]) for row in rows] == [(2, 1), (2, 1), (2, 2)]
    assert [row["share"] for row in rows] == [0.5, 0.5, 1]
    # one object in each field: the error of the mean of 0 and 1; in one field alone there is none
    assert rows[1]["standard_error"] == 0.5 and rows[0]["standard_error"] is None
    assert objectshares.shares(fields)["share"] == 4 / 6
    assert objectshares.shares([objects_of()]) == {
        "count": 0, "matched": 0, "share": None, "standard_error": None
    }  # fmt: skip
