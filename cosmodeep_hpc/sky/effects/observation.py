"""The telescope on a bad day: sources, sidelobes, stripes and uneven noise in the Noise image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.sky import instrument
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.effects import artefacts, pointsources, radiogalaxies, sidelobes, uvcoverage
from cosmodeep_hpc.sky.effects.components import Components

Cards = dict[str, tuple[Any, str]]
"""Entries of a FITS header: value and comment."""


def check(config: Config) -> None:
    """Check, before anything is made, that the effects can be made.

    Raises:
        InputError: an effect needs what the telescope cannot do.
    """
    if config.effects.dirty_beam or config.effects.stripes:
        uvcoverage.check(config.instrument, config.effects)


def observe(
    sky: NDArray[np.float32], config: Config, index: int, workers: int = 1
) -> tuple[NDArray[np.float32], Cards]:
    """Return the Noise image of Sky image `index`, with the effects of the configuration.

    It depends on the Sky image, the configuration and the index alone. Without effects it equals
    `instrument.observe`. Each effect draws from its own stream: switching one on or off changes
    neither the other effects nor the noise.

    Args:
        sky: float32 (pixels, pixels) [Jy/arcsec^2]; it is not changed.
        config: its sections sky (the seed alone), instrument and effects.
        index: number of the image.
        workers: threads of the FFT; no influence on the result.

    Returns:
        float32 (pixels, pixels) [Jy/arcsec^2], and the header's entries about the effects.
    """
    effects, settings, seed = config.effects, config.instrument, config.sky.seed
    beam = instrument.beam_of(settings)
    cards: Cards = {}
    if effects.shortest_baseline > 0:
        shortest = effects.shortest_baseline * settings.frequency * 1e9 / uvcoverage.LIGHT
        sky = artefacts.without_short_spacings(sky, settings.pixel_scale, shortest, workers)
        cards["BASEMIN"] = (effects.shortest_baseline, "[m] shortest baseline")
    seen = beam.convolve(sky, settings.pixel_scale, workers)
    before, after = sources(config, index, cards)
    after.spread(seen, settings.pixel_scale, beam)
    if effects.dirty_beam or effects.stripes:
        responses = _responses(sky, before, after, config, index, cards)
        sidelobes.add(seen, responses, settings.pixel_scale, beam, workers)
    stream = draws(seed, Purpose.NOISE, index)
    grain = instrument.noise(stream, len(sky), settings.pixel_scale, beam, workers)
    if effects.noise_edge > 1:
        place = (2 * np.arange(len(sky)) + 1) / len(sky) - 1
        rise = artefacts.noise_rise(place, effects.noise_edge).astype(np.float32)
        grain *= rise
        grain *= rise[:, None]
        cards["NOISEEDG"] = (effects.noise_edge, "rms at an edge, in units of NOISERMS")
    rms = beam.per_arcsec2(settings.noise_rms * instrument.MICRO)
    return np.asarray(seen + np.float32(rms) * grain), cards


def sources(config: Config, index: int, cards: Cards) -> tuple[Components, Components]:
    """Return a field's radio sources at the observed frequency, before and after subtraction.

    Args:
        config: its sections sky (the seed alone), instrument and effects.
        index: number of the image.
        cards: entries are added.
    """
    effects, settings, seed = config.effects, config.instrument, config.sky.seed
    if not effects.sources:
        nothing = Components.points(*np.zeros((3, 0)))
        return nothing, nothing
    drawn = pointsources.draw(draws(seed, Purpose.POINT_SOURCES, index), effects, settings)
    flux = drawn.flux * (settings.frequency / pointsources.REFERENCE) ** -effects.spectral_index
    large = (drawn.size > effects.galaxy_size) & (drawn.flux > effects.galaxy_flux * 1e-3)
    large &= effects.radio_galaxies
    inside = drawn.inside(settings.pixels)
    points, galaxies = ~large & effects.point_sources, large
    before, after = [], []
    if effects.point_sources:
        place = drawn.column[points], drawn.row[points]
        left = effects.residual + effects.residual_scatter * drawn.scatter[points]
        before.append(Components.points(*place, flux[points]))
        after.append(Components.points(*place, flux[points] * left))
        cards["NPOINTS"] = (int((points & inside).sum()), "point sources in the image")
        cards["POINTSJY"] = (float(flux[points & inside].sum()), "[Jy] their flux density")
        cards["RESIDUAL"] = (effects.residual, "share of it left by their subtraction")
    if effects.radio_galaxies:
        shaped = radiogalaxies.draw(
            draws(seed, Purpose.RADIO_GALAXIES, index),
            drawn.column[large], drawn.row[large], flux[large], drawn.size[large],
            settings.pixel_scale,
        )  # fmt: skip
        before.append(shaped)
        after.append(shaped)
        cards["NGALAXY"] = (int((galaxies & inside).sum()), "radio galaxies in the image")
        cards["GALAXYJY"] = (float(flux[galaxies & inside].sum()), "[Jy] their flux density")
    return Components.joined(before), Components.joined(after)


def uncleaned(
    flux: NDArray[Any], depth: float | NDArray[np.float64], residual: float
) -> NDArray[Any]:
    """Return what CLEAN leaves: all flux up to its depth, and a share of the rest, of either sign.

    Args:
        flux: of sources [Jy], or surface brightness.
        depth: of CLEAN, in the same unit; for a source it grows with the beams that it fills.
        residual: the share of the rest.
    """
    faint = np.clip(flux, -depth, depth)
    return np.asarray(faint + residual * (flux - faint), flux.dtype)


def _responses(
    sky: NDArray[np.float32],
    before: Components,
    after: Components,
    config: Config,
    index: int,
    cards: Cards,
) -> list[sidelobes.Response]:
    """Return the sidelobes of what is not cleaned, and the stripes of all emission."""
    effects, settings = config.effects, config.instrument
    beam = instrument.beam_of(settings)
    _, declination = instrument.field_centre(config.sky.seed, index)
    pixel = settings.pixel_scale / sidelobes.fineness(settings.pixel_scale, settings.beam)
    coverage = uvcoverage.observe(declination, settings, effects, pixel)
    number = uvcoverage.density(coverage)
    weight = uvcoverage.weights(number, coverage, effects.robust, settings.beam)
    found = []
    if effects.dirty_beam:
        depth = effects.clean_depth * instrument.MICRO
        left = after.with_flux(
            uncleaned(after.flux, depth * after.beams(beam), effects.clean_residual)
        )
        diffuse = uncleaned(sky, float(beam.per_arcsec2(depth)), effects.clean_residual)
        dirty = uvcoverage.dirty_beam(weight, coverage)
        found.append(sidelobes.Response(left, diffuse, dirty, replaces=True))
        cards["CLEANED"] = (effects.clean_depth, "[uJy/beam] depth of CLEAN")
    if effects.stripes:
        errors = uvcoverage.draw_errors(
            draws(config.sky.seed, Purpose.STRIPES, index), effects, declination
        )
        stripes = uvcoverage.error_beam(number, weight, coverage, errors)
        found.append(sidelobes.Response(before, sky, stripes, replaces=False))
        cards["NSTRIPES"] = (effects.stripes, "calibration errors")
    return found
