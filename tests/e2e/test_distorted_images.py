"""A source in a distorted image is found at the place on the sky where it was put."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from matplotlib.figure import Figure
from support.distorted import PIXEL, SHAPE, distorted

import cosmodeep_hpc as cd
from benchmarks.skies import noise

RMS = 1e-5  # [Jy/beam]
PLACES = {"SIP": (152.832, -34.272), "TPV": (153.122, -34.294)}  # [deg], near the middle of a cell


@pytest.mark.parametrize("kind, turn", [("SIP", "PC"), ("SIP", "CD"), ("TPV", "CD")])
def test_a_source_is_found_where_it_was_put(tmp_path, kind, turn):
    """The centroid to 0.1 pixel, and so in picture and products."""
    head, place = distorted(kind, turn), SkyCoord(*PLACES[kind], unit="deg")
    head["BMAJ"] = head["BMIN"] = PIXEL / 3600
    x, y = WCS(head).world_to_pixel(place)
    without = WCS(distorted("TAN", turn)).world_to_pixel(place)
    assert np.hypot(x - without[0], y - without[1]) > 2
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    source = 30 * np.exp(-((row - y) ** 2 + (col - x) ** 2) / (2 * 6.0**2))
    image = noise(SHAPE, 1.04, np.random.default_rng(1)) + source
    fits.PrimaryHDU((RMS * image).astype(np.float32), head).writeto(tmp_path / "a.fits")
    found = cd.classify(tmp_path / "a.fits", view="beam")
    (island,) = found.islands
    there = SkyCoord(island["ra_deg_cont"], island["dec_deg_cont"])
    assert there.separation(place) < 0.1 * PIXEL * u.arcsec
    drawn = found.plot(Figure().add_subplot(projection=found.wcs))
    on_sky = drawn.get_transform("icrs").transform([[place.ra.deg, place.dec.deg]])
    np.testing.assert_allclose(on_sky, drawn.transData.transform([[x, y]]), atol=1e-3)
    files = found.write(tmp_path / "out", ["probability", "mask"])
    cell = found.record["grid"]["cell_pixels"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for product, side in (("probability", cell), ("mask", 1)):
            with fits.open(files[product]) as hdus:
                hdu = next(hdu for hdu in hdus if hdu.data is not None)
                at = WCS(hdu.header).world_to_pixel(place)
                middle = (np.array([x, y]) + 0.5) / side - 0.5
                assert np.hypot(*(at - middle)) * side < 0.01
                assert hdu.data[round(float(at[1])), round(float(at[0]))] > 0.5
