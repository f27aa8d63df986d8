"""Summaries of mock images: counted by hand, resumed, of half a folder, and of many jobs."""

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.fields import contents, write_pairs
from support.heard import heard

from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.sky import Instrument, Sky
from cosmodeep_hpc.config.tiles import Tiles
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.progress import silent
from cosmodeep_hpc.parallel.world import open_world
from cosmodeep_hpc.sky import mock, pictures, statistics, summary
from cosmodeep_hpc.sky.statistics import CountingRule
from cosmodeep_hpc.sky.summary import Spread

CONFIG = Config(
    sky=Sky(
        mesh=24,
        sides=(60.0,),
        seeds=(1, 2),
        steps=6,
        snapshots=(0.1,),
        z_far=0.08,
        efficiency=0.05,
        faintest=0.0,
    ),
    instrument=Instrument(pixels=120, pixel_scale=120.0, beam=120.0),
)


@pytest.fixture(scope="module")
def world():
    return open_world()


@pytest.fixture(scope="module")
def made(tmp_path_factory, world):
    out = tmp_path_factory.mktemp("made")
    mock.run(CONFIG, out, 4, world)
    return out


@pytest.fixture
def pairs(tmp_path):
    """Four pairs of blobs in noise that no mock made: no halos, no statistics, no CONFIG."""
    return write_pairs(tmp_path / "pairs", 4, (120, 160))


RULE = CountingRule(40, (0.5, 0.25))


def measure(sky, noise=None, rule=RULE, **changes):
    noise = np.zeros_like(sky) if noise is None else noise
    words = {"index": 0, "config": "c", "pixel_scale": 2.0, "halos": 3}
    return statistics.measure(sky, noise, rule=rule, **{**words, **changes})


@pytest.mark.parametrize(
    "bright, level, signal",
    [
        (41, 0.6, [[1, 1], [1, 1]]),
        (40, 0.6, [[0, 0], [1, 1]]),  # exactly N_pix = 40 pixels are not more than 40
        (10, 0.6, [[0, 0], [1, 1]]),
        (9, 0.6, [[0, 0], [0, 0]]),
        (41, 0.5, [[0, 1], [0, 1]]),  # a pixel at F_th does not exceed it
        (1600, 0.25, [[0, 0], [0, 0]]),
    ],
)
def test_signal_tiles_of_a_tile_counted_by_hand(bright, level, signal):
    sky = np.zeros((40, 40), np.float32)
    sky.flat[:bright] = level
    found = measure(sky)
    assert found.tiles == 1
    assert np.array_equal(found.signal_tiles, signal)


def test_signal_tiles_of_an_image_add_up_over_its_whole_tiles():
    sky = np.zeros((80, 130), np.float32)
    sky[:40, :40].flat[:41] = 1  # signal for both N_pix
    sky[40:, 40:80].flat[:20] = 0.3  # for 9, above the lower threshold
    sky[:, 120:] = 1  # beyond the last whole tile: it does not count
    found = measure(sky)
    assert found.tiles == 6
    assert np.array_equal(found.signal_tiles, [[1, 1], [1, 2]])


def test_numbers_of_an_image_by_hand():
    sky = np.zeros((40, 50), np.float32)
    sky[3, 4], sky[5, 6] = 2, 0.5
    noise = np.zeros_like(sky)
    noise[0, 0], noise[1, 1] = -3, 7
    found = measure(sky, noise)
    assert (found.sky_min, found.sky_max, found.noise_min, found.noise_max) == (0, 2, -3, 7)
    assert found.sky_flux == 2.5 * 2.0**2  # Jy/arcsec^2 times arcsec^2
    assert (found.pixels, found.halos) == ((40, 50), 3)


def test_flux_histogram_counts_each_pixel_once():
    random = np.random.default_rng(1)
    sky = (10 ** random.uniform(-13, -1, (300, 400))).astype(np.float32)
    sky[:20] = 0
    fainter, counts, brighter = statistics.flux_histogram(sky)
    assert fainter + counts.sum() + brighter == sky.size
    expected = np.histogram(sky, statistics.edges())[0]
    assert len(counts) == 90 and np.abs(counts - expected).max() <= 1  # an edge may be rounded
    assert fainter == (sky < 1e-11).sum() and brighter == (sky > 1e-2).sum()


def test_flux_histogram_of_known_pixels():
    sky = np.array([[0, 9e-12, 1.1e-11, 1.3e-11, 0.9e-2, 0.5, 1e3]], np.float32)
    fainter, counts, brighter = statistics.flux_histogram(sky)
    assert (fainter, counts[0], counts[1], counts[89], brighter) == (2, 1, 1, 1, 2)


@pytest.mark.parametrize("shape", [(400, 500), (2200, 2300)])  # all pixels, and a sample
def test_rms_of_noise_under_sources(shape):
    noise = np.random.default_rng(2).normal(5, 3, shape).astype(np.float32)
    noise[: shape[0] // 100] += 1e6
    assert statistics.robust_rms(noise) == pytest.approx(3, rel=0.02)


def test_mean_scatter_and_standard_error():
    found = Spread.of([1, 2, 3, 4])
    assert found == Spread(2.5, pytest.approx((5 / 3) ** 0.5), pytest.approx((5 / 12) ** 0.5))
    assert Spread.of([7]) == Spread(7, None, None)  # of one, nothing is known of the scatter


def statistics_of(*counts, pixels=(2000, 2000), scale=9.6, tile=40):
    """Statistics of images with these signal tiles for N_pix 40 and 9 at F_th 1e-7."""
    one = measure(np.zeros((40, 40), np.float32), rule=CountingRule(tile, (1e-7,)))
    return [
        dataclasses.replace(
            one, index=i, pixels=pixels, pixel_scale=scale, signal_tiles=((a,), (b,))
        )
        for i, (a, b) in enumerate(counts)
    ]


def test_occupancies_stand_beside_the_paper_s():
    rows = summary.summary(statistics_of((60, 120), (120, 130)))["signal_tiles"]
    assert [(row["n_pix"], row["mean"], row["paper"]) for row in rows] == [
        (40, 90, 75),
        (9, 125, 100),
    ]
    assert [row["ratio"] for row in rows] == [1.2, 1.25]
    assert rows[0]["standard_error"] == pytest.approx(30)  # scatter 60 / sqrt 2 by sqrt 2
    text = summary.table(summary.summary(statistics_of((60, 120), (120, 130))))
    assert "90.0 +-  30.0" in text and "1.200" in text and " 75 " in text


def test_the_paper_s_eight_numbers():
    lists = [[summary.PAPER[n, f] for f in Tiles().thresholds] for n in statistics.N_PIX]
    assert lists == [[75, 94, 110, 231], [100, 122, 143, 312]]


@pytest.mark.parametrize(
    "other", [{"pixels": (3000, 3000)}, {"scale": 5.0}, {"tile": 20}], ids=["size", "scale", "tile"]
)
def test_other_images_are_not_compared_with_the_paper(other):
    content = summary.summary(statistics_of((60, 120), **other))
    assert all(row["paper"] is row["ratio"] is None for row in content["signal_tiles"])


def test_a_run_leaves_its_summary(made):
    content = json.loads((made / "summary.json").read_text())
    assert (content["images"], content["asked"], content["missing"]) == (4, 4, [])
    skies = [fits.getdata(made / f"sky-{i:05d}.fits") for i in range(4)]
    halos = [len(fits.getdata(made / f"halos-{i:05d}.fits")) for i in range(4)]
    flux = content["quantities"]["sky_flux"]
    expected = [sky.sum(dtype=float) * 120**2 for sky in skies]
    assert [one["sky_flux"] for one in content["each"]] == pytest.approx(expected)
    assert flux["mean"] == pytest.approx(np.mean(expected))
    assert flux["scatter"] == pytest.approx(np.std(expected, ddof=1))
    assert [one["halos"] for one in content["each"]] == halos
    assert content["quantities"]["noise_rms"]["mean"] == pytest.approx(
        fits.getheader(made / "noise-00000.fits")["NOISERMS"], rel=0.05
    )
    histogram = content["flux_histogram"]
    counted = sum(histogram["mean"]) + histogram["fainter"]["mean"] + histogram["brighter"]["mean"]
    assert counted == pytest.approx(120**2)
    assert "4 of 4 pairs, 120 x 120 pixels of 120 arcsec" in (made / "summary.txt").read_text()
    for name in ("contact-sheet.png", "flux-histogram.png"):
        assert (made / name).read_bytes().startswith(b"\x89PNG")


def test_pairs_without_statistics_are_read_once(pairs, world, monkeypatch):
    read = []
    measure_files = statistics.measure_files

    def recorded(paths, index, rule):
        read.append(index)
        return measure_files(paths, index, rule)

    monkeypatch.setattr(statistics, "measure_files", recorded)
    first = summary.run(CONFIG, pairs, world, silent)
    before = contents(pairs)
    assert read == [0, 1, 2, 3]
    assert summary.run(CONFIG, pairs, world, silent) == first
    assert read == [0, 1, 2, 3] and contents(pairs) == before
    (pairs / "statistics/00002.json").unlink()
    (pairs / "statistics/00003.json").write_text('{"format": 1, "ind')
    summary.run(CONFIG, pairs, world, silent)
    assert read[4:] == [2, 3] and contents(pairs) == before


def test_progress_counts_the_pairs_that_are_measured(pairs, world):
    said = []
    for _ in range(2):  # the second time all are measured already
        summary.run(CONFIG, pairs, world, lambda *words: said.append(words))
    measuring = [(done, total) for done, total, note in said if note == "measuring"]
    assert {total for _, total in measuring} == {4}
    assert all(0 <= done < total for done, total in measuring)


def test_statistics_of_other_images_or_tiles_do_not_count(pairs, world):
    summary.run(CONFIG, pairs, world, silent)
    with fits.open(pairs / "sky-00001.fits", mode="update") as file:
        file[0].data[:] = 1
        file[0].header["CONFIG"] = "another"
    text = summary.run(CONFIG, pairs, world, silent)
    assert "CAREFUL: of 2 different configurations" in text
    content = json.loads((pairs / "summary.json").read_text())
    assert content["each"][1]["sky_min"] == 1
    other = dataclasses.replace(CONFIG, tiles=Tiles(size=20))
    assert "of 48 tiles of 20 x 20" in summary.run(other, pairs, world, silent)


def test_a_made_pair_is_measured_as_one_that_is_read(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 4, world)
    (tmp_path / "statistics/00001.json").unlink()
    mock.run(CONFIG, tmp_path, 4, world)
    assert contents(tmp_path) == contents(made)


def test_half_a_folder_says_so(made, tmp_path, world):
    mock.run(CONFIG, tmp_path, 4, world)
    for name in ("noise-00001.fits", "sky-00002.fits"):
        (tmp_path / name).unlink()
    text = summary.run(CONFIG, tmp_path, world, silent)
    assert text.startswith("2 of 4 pairs") and "missing: 1-2;" in text
    content = json.loads((tmp_path / "summary.json").read_text())
    assert (content["images"], content["asked"], content["missing"]) == (2, 4, [[1, 2]])
    assert [one["index"] for one in content["each"]] == [0, 3]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "peak, said",
    [
        (0.0, "no Sky pixel is above 0: all emission is fainter than sky.faintest; raise sky.eff"),
        (4e-11, "the brightest Sky pixel has 4e-11 Jy/arcsec^2, and the lowest flux threshold is"),
        (1e-6, None),
    ],
)
def test_skies_without_signal_are_told_once_with_what_to_do(tmp_path, world, peak, said, count):
    """By a warning and in the summary, and matplotlib says nothing of its own."""
    folder = write_pairs(tmp_path / "pairs", count, (120, 160))
    for number in range(count):
        with fits.open(folder / f"sky-0000{number}.fits", mode="update") as file:
            file[0].data[:] = 0
            file[0].data[3, number] = peak
    with warnings.catch_warnings(), heard() as messages:
        warnings.simplefilter("error")
        text = summary.run(CONFIG, folder, world, silent)
    if said is None:
        assert not messages and "CAREFUL" not in text
    else:
        assert len(messages) == 1 and messages[0].startswith(f"{folder}: {said}")
        assert f"CAREFUL: {said}" in text


def test_a_part_of_a_job_tells_of_its_own_pairs(tmp_path, world):
    folder = write_pairs(tmp_path / "pairs", 2, (120, 160))
    with fits.open(folder / "sky-00001.fits", mode="update") as file:
        file[0].data[:] = 0
    for own, count in ((range(1, 2), 1), (range(1), 0), (range(2), 0)):
        with heard() as messages:
            summary.run(CONFIG, folder, world, silent, own=own)
        assert len(messages) == count


def test_a_folder_without_pairs_is_refused(tmp_path, world):
    with pytest.raises(InputError, match="no pair in it; expected files like sky-00000"):
        summary.run(CONFIG, tmp_path, world, silent)
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        summary.run(CONFIG, tmp_path / "taken", world, silent)


def test_parts_together_are_the_whole(made, tmp_path, world):
    for number in (2, 0):
        mock.run(CONFIG, tmp_path, 4, world, part=(number, 3))
        assert not (tmp_path / "contact-sheet.png").exists()  # one pair is missing still
    assert (tmp_path / "summary.txt").read_text().startswith("3 of 4 pairs")
    mock.run(CONFIG, tmp_path, 4, world, part=(1, 3))
    assert contents(tmp_path) == contents(made)


def test_more_parts_than_images_leave_some_with_nothing(tmp_path, world):
    mock.run(CONFIG, tmp_path, 1, world, part=(3, 4))
    assert not list(tmp_path.glob("boxes/*")) and not (tmp_path / "summary.txt").exists()


def test_the_command_sums_up_by_the_configuration_of_the_folder(pairs, capfd):
    dataclasses.replace(CONFIG, tiles=Tiles(size=30)).write(pairs / "config.json")
    assert cli.main(["mock", "--summary", "--out", str(pairs)]) == 0
    assert "of 20 tiles of 30 x 30 pixels" in capfd.readouterr().out
    assert not list(pairs.glob("boxes"))


@pytest.mark.parametrize("word", ["1", "2/2", "-1/2", "a/b", "1/0", "/"])
def test_a_part_that_is_none_is_refused(word, capfd, tmp_path):
    assert cli.main(["mock", "--out", str(tmp_path), f"--part={word}"]) == 2
    assert "K/N" in capfd.readouterr().err


@pytest.mark.parametrize(
    "n, count, chosen",
    [(3, 24, [0, 1, 2]), (24, 24, list(range(24))), (5, 3, [0, 2, 4]), (1000, 3, [0, 499, 999])],
)
def test_images_of_the_contact_sheet_are_spread_evenly(n, count, chosen):
    assert pictures.evenly(n, count) == chosen


def test_thumbnails_are_means_of_blocks():
    image = np.arange(7 * 9, dtype=np.float32).reshape(7, 9)
    small, block = pictures.thumbnail(image, 3)
    assert block == 3
    assert np.array_equal(small, [[10, 13, 16], [37, 40, 43]])  # centres of the 3 x 3 blocks
    same, block = pictures.thumbnail(image, 9)
    assert block == 1 and np.array_equal(same, image)


def test_a_sheet_of_many_shows_24(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "contact_sheet", lambda pairs, n, path: drawn.append((pairs, n)))
    monkeypatch.setattr(pictures, "flux_histogram", lambda content, path: path.touch())
    content = {"each": [{"index": 3 * i} for i in range(100)]}
    with pytest.raises(InputError):  # nothing is written in place of the sheet
        summary._draw(tmp_path, content)
    (pairs, n) = drawn[0]
    assert (len(pairs), n, pairs[0][0], pairs[-1][0]) == (24, 100, 0, 297)
    assert pairs[-1][1:] == (Path(tmp_path / "sky-00297.fits"), Path(tmp_path / "noise-00297.fits"))
