"""The configuration: every option of every stage, from TOML files and `--section.key value`."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cosmodeep_hpc import __version__
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.files import write_json
from cosmodeep_hpc.options import Section, nearest, option, typed_fields

VERSION = "cosmodeep_hpc"  # the key of a resolved configuration that says what wrote it
SEEDS = 2**63 - 1  # the largest seed: what a TOML file can hold


@dataclass(frozen=True, kw_only=True)
class Sky(Section):
    """The simulated volumes and their emission (paper, section 3.1)."""

    seed: int = option(
        1, "seed of the images: how boxes are turned, where on the sky, noise", low=0, high=SEEDS
    )
    seeds: tuple[int, ...] = option(
        (1, 2), "seeds of the boxes of skies to train on, a box of each side", low=0, high=SEEDS
    )
    test_seeds: tuple[int, ...] = option(
        (101, 102),
        "seeds of the boxes of skies to test on (mock --test), none of `seeds`",
        low=0,
        high=SEEDS,
    )
    sides: tuple[float, ...] = option(
        (50.0, 100.0, 200.0), "comoving sides of the boxes, the finest nearest", unit="Mpc", above=0
    )
    reach: float = option(
        8.0, "comoving distance up to which a box serves, in its sides", above=0, high=1000
    )
    mesh: int = option(128, "particles and mesh cells along a side, even", low=16, high=2048)
    start: float = option(49.0, "redshift at which the simulation starts", above=0, high=200)
    steps: int = option(28, "steps of the simulation, even in the scale factor", low=2)
    snapshots: tuple[float, ...] = option(
        (0.06, 0.13, 0.24, 0.4),
        "redshifts of the snapshots; a slab takes the nearest, a box makes those it needs",
        low=0,
    )
    smoothing: float = option(
        1.0,
        "sigma of the smoothing before caustics are sought, in comoving Lagrangian space; "
        "1.25 cells at least",
        unit="Mpc",
        low=0,
    )
    refinement: int = option(1, "points for one particle where caustics are sought", low=1, high=8)
    scale: float = option(
        1.0,
        "comoving sigma on which density, temperature and velocity jump are read, the same in all "
        "boxes: what the mesh smooths by itself is counted",
        unit="Mpc",
        above=0,
    )
    z_near: float = option(0.04, "redshift at which the light cone begins", above=0, below=10)
    z_far: float = option(0.5, "redshift at which the light cone ends", above=0, below=10)
    efficiency: float = option(
        3.32e-5, "electron acceleration efficiency xi_e of a strong shock", above=0, high=1
    )
    mach_cut: float = option(2.0, "Mach number at which the efficiency is halved", low=1, high=10)
    field: float = option(
        1.0,
        "magnetic field at an overdensity of 1000 and 5 keV, today",
        unit="uG",
        above=0,
        high=100,
    )
    field_density: float = option(
        0.9, "exponent of the density in the magnetic field", low=0, high=2
    )
    field_temperature: float = option(
        0.0, "exponent of the temperature in the magnetic field", low=0, high=2
    )
    field_limit: float = option(20.0, "largest magnetic field", unit="uG", above=0, high=1000)
    blur: float = option(
        28.0, "FWHM of the intrinsic resolution of the emission", unit="arcsec", low=0
    )
    faintest: float = option(
        3e-11, "surface brightness below which an element is left out", unit="Jy/arcsec^2", low=0
    )

    def __post_init__(self) -> None:
        """Check each option, then those that depend on each other."""
        super().__post_init__()
        if self.mesh % 2:
            raise InputError(f"sky.mesh = {self.mesh}: expected an even number")
        if self.z_near >= self.z_far:
            raise InputError(
                f"sky.z_near = {self.z_near:g}: expected less than sky.z_far = {self.z_far:g}"
            )
        for name in ("seeds", "test_seeds", "sides", "snapshots"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"sky.{name} = {values}: expected distinct values, one at least")
        if both := set(self.seeds) & set(self.test_seeds):
            raise InputError(
                f"sky.test_seeds = {self.test_seeds}: expected none of sky.seeds, a sky to test on "
                f"must not share its boxes (found {', '.join(map(str, sorted(both)))} in both)"
            )
        if max(self.snapshots) >= self.start:
            raise InputError(
                f"sky.snapshots = {self.snapshots}: expected redshifts below sky.start = "
                f"{self.start:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Instrument(Section):
    """What the telescope makes of the sky (paper, section 3.1): ASKAP at 1.4 GHz."""

    pixels: int = option(2000, "side of an image", unit="pixel", low=1)
    pixel_scale: float = option(9.6, "side of a pixel", unit="arcsec", above=0)
    beam: float = option(10.0, "FWHM of the round Gaussian beam", unit="arcsec", above=0)
    noise_rms: float = option(10.0, "rms of the noise", unit="uJy/beam", low=0)
    frequency: float = option(1.4, "observing frequency", unit="GHz", above=0)


@dataclass(frozen=True, kw_only=True)
class Effects(Section):
    """What makes an observed image harder than the paper's (docs/effects.md); all off by default.

    The Sky image, which labels are made from, has none of it.
    """

    point_sources: bool = option(False, "whether the sky holds radio sources, as points")
    flux_limit: float = option(
        50.0, "faintest radio source, at 1.4 GHz", unit="uJy", low=50, below=1e6
    )
    brightest: float = option(1.0, "brightest radio source, at 1.4 GHz", unit="Jy", above=0, high=1)
    spectral_index: float = option(
        0.7, "a in flux ~ frequency^-a, of radio sources", low=-1, high=3
    )
    residual: float = option(
        1.0, "share of a point source's flux left by its subtraction; 1: none", low=0, high=1
    )
    residual_scatter: float = option(0.0, "rms of that share from source to source", low=0, high=1)
    radio_galaxies: bool = option(
        False, "whether the larger and brighter radio sources have a core, jets and lobes"
    )
    galaxy_size: float = option(
        20.0, "largest angular size above which a source has them", unit="arcsec", low=0, high=300
    )
    galaxy_flux: float = option(
        1.0, "flux at 1.4 GHz above which a source has them", unit="mJy", low=0.05, high=1000
    )
    shortest_baseline: float = option(
        0.0, "shortest baseline: emission on larger scales is lost; 0: none is", unit="m", low=0
    )
    dirty_beam: bool = option(
        False, "whether what is not cleaned keeps the sidelobes of ASKAP's dirty beam"
    )
    duration: float = option(10.0, "length of the observation", unit="h", above=0, high=24)
    bandwidth: float = option(0.288, "width of the band", unit="GHz", above=0)
    robust: float = option(0.0, "weighting, from -2 (uniform) to 2 (natural)", low=-2, high=2)
    clean_depth: float = option(
        50.0, "depth of CLEAN: what is fainter is not cleaned", unit="uJy/beam", low=0
    )
    clean_residual: float = option(
        0.01, "share of what is brighter that CLEAN leaves uncleaned", low=0, high=1
    )
    noise_edge: float = option(
        1.0, "rms of the noise at the field's edge, in units of that at its centre", low=1, high=10
    )
    stripes: int = option(
        0, "calibration errors: an antenna's gain is wrong for a while", low=0, high=1000
    )
    gain_error: float = option(0.3, "rms of such a gain error, in units of the gain", low=0)
    error_length: float = option(
        20.0, "how long such an error lasts", unit="min", above=0, high=1440
    )

    def __post_init__(self) -> None:
        """Check each option, then those that depend on each other."""
        super().__post_init__()
        if self.flux_limit * 1e-6 >= self.brightest:
            raise InputError(
                f"effects.flux_limit = {self.flux_limit:g} uJy: expected less than "
                f"effects.brightest = {self.brightest:g} Jy"
            )

    @property
    def on(self) -> bool:
        """Whether one of them is on."""
        amounts = (self.shortest_baseline, self.noise_edge - 1, self.stripes)
        return self.sources or self.dirty_beam or max(amounts) > 0

    @property
    def sources(self) -> bool:
        """Whether the sky holds radio sources."""
        return self.point_sources or self.radio_galaxies


@dataclass(frozen=True, kw_only=True)
class Tiles(Section):
    """How images become tiles (paper, sections 3.2, 3.3 and 4)."""

    # 9: the smallest with 3 x 3 bins in the network; 255: the largest whose counts fit 16 bits
    size: int = option(40, "side of a tile", unit="pixel", low=9, high=255)
    scaling: Literal["minmax", "range", "asinh"] = option(
        "asinh",
        "minmax: log10 scaled to [0, 1] by each image's extremes (the paper); range: log10 scaled "
        "to [0, 1] between floor and ceiling; asinh: asinh(I / sigma), sigma the image's noise",
    )
    floor: float = option(
        1e-11, "values below become this, before log10", unit="Jy/arcsec^2", above=0
    )
    ceiling: float = option(1e-2, "upper end of the scaling 'range'", unit="Jy/arcsec^2", above=0)
    thresholds: tuple[float, ...] = option(
        (1e-7, 7.5e-8, 5e-8, 1e-8),
        "flux thresholds F_th at which bright Sky pixels are counted",
        unit="Jy/arcsec^2",
        above=0,
    )
    keep_sky: bool = option(False, "whether shards hold the Sky tiles too")
    images_per_shard: int = option(8, "images in one shard", low=1)
    validation: float = option(0.1, "share of the images kept for validation", low=0, below=1)
    seed: int = option(
        1, "seed of the split into training and validation images", low=0, high=SEEDS
    )

    def __post_init__(self) -> None:
        """Check each option, then those that depend on each other."""
        super().__post_init__()
        if self.floor >= self.ceiling:
            raise InputError(
                f"tiles.floor = {self.floor!r}: expected less than tiles.ceiling = {self.ceiling!r}"
            )
        if not self.thresholds or len(set(self.thresholds)) < len(self.thresholds):
            raise InputError(f"tiles.thresholds = {self.thresholds}: expected distinct values")


@dataclass(frozen=True, kw_only=True)
class Label(Section):
    """When a tile counts as signal (paper, section 3.3): more than n_pix Sky pixels above f_th."""

    f_th: float = option(1e-7, "flux threshold F_th", unit="Jy/arcsec^2", above=0)
    n_pix: int = option(
        40, "pixel threshold N_pix; a tile with exactly n_pix bright pixels is noise", low=0
    )


@dataclass(frozen=True, kw_only=True)
class Model(Section):
    """The network (paper, section 2 and figure 1)."""

    head: Literal["pyramid", "flatten"] = option(
        "pyramid",
        "second pooling: a pyramid of 3 x 3 and 1 x 1 bins (677,250 parameters whatever the tile), "
        "or 2 x 2 pooling and all features flattened (6.58 million for 40 x 40 tiles)",
    )
    dropout: float = option(0.25, "share of the 1024 units dropped in training", low=0, below=1)


@dataclass(frozen=True, kw_only=True)
class Train(Section):
    """Training (paper, section 4 and table 1)."""

    seed: int = option(1, "seed of weights, sampling and dropout", low=0, high=SEEDS)
    epochs: int = option(50, "passes over the drawn tiles, N_e", low=1)
    batch: int = option(100, "tiles in a global batch, over all ranks, N_b", unit="tile", low=1)
    learning_rate: float = option(7e-5, "learning rate of Adam, eta", above=0)
    noise_per_signal: float = option(
        1.0, "noise tiles drawn in an epoch for one signal tile", above=0
    )
    noise_pool: float = option(
        4.0, "noise tiles held in memory for one signal tile; an epoch draws from them", above=0
    )
    validate_epochs: int = option(1, "epochs between two validations; one after the last", low=1)
    log_steps: int = option(50, "steps between two lines of metrics.jsonl", unit="step", low=1)
    checkpoint_steps: int = option(500, "steps between two checkpoints", unit="step", low=1)
    keep_checkpoints: int = option(3, "newest checkpoints kept", low=1)

    def __post_init__(self) -> None:
        """Check each option, then those that depend on each other."""
        super().__post_init__()
        if self.noise_pool < self.noise_per_signal:
            raise InputError(
                f"train.noise_pool = {self.noise_pool:g}: expected at least "
                f"train.noise_per_signal = {self.noise_per_signal:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Classify(Section):
    """The sweep of a mosaic."""

    batch: int = option(500, "tiles given to the network at once", unit="tile", low=1)
    min_coverage: float = option(
        0.5, "share of a tile's pixels with data below which it is no data", above=0, high=1
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """All sections. Each stage reads the ones it needs and writes all beside its output."""

    sky: Sky = field(default_factory=Sky)
    instrument: Instrument = field(default_factory=Instrument)
    effects: Effects = field(default_factory=Effects)
    tiles: Tiles = field(default_factory=Tiles)
    label: Label = field(default_factory=Label)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)
    classify: Classify = field(default_factory=Classify)

    def __post_init__(self) -> None:
        """Check what sections ask of each other."""
        if self.label.f_th not in self.tiles.thresholds:
            raise InputError(
                f"label.f_th = {self.label.f_th:g}: expected one of tiles.thresholds = "
                f"{', '.join(f'{t:g}' for t in self.tiles.thresholds)}"
            )

    def as_dict(self) -> dict[str, Any]:
        """The configuration as plain values, one dictionary a section."""
        return dataclasses.asdict(self)

    def write(self, path: Path) -> None:
        """Write the resolved configuration as JSON, beside the output it led to."""
        write_json(path, {VERSION: __version__, **self.as_dict()})


def sections() -> dict[str, type]:
    """The sections by name."""
    return {f.name: kind for f, kind in typed_fields(Config)}


def from_dict(content: Mapping[str, Any], source: str) -> Config:
    """A configuration from plain values; `source` is named where they are wrong.

    Raises:
        InputError: an unknown section or key (with the nearest known name), a value of the wrong
            type or outside its range.
    """
    known = sections()
    built: dict[str, Any] = {}
    for name, values in content.items():
        if name not in known:
            raise InputError(f"{source}: no section {name!r}{nearest(name, known)}")
        if not isinstance(values, Mapping):
            raise InputError(f"{source}: {name} = {values!r}: expected a section [{name}]")
        keys = [f.name for f in dataclasses.fields(known[name])]
        for key in values:
            if key not in keys:
                raise InputError(f"{source}: no option {name}.{key}{nearest(key, keys)}")
        try:
            built[name] = known[name](**values)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
    try:
        return Config(**built)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def load(path: Path | None, overrides: Sequence[tuple[str, str]] = ()) -> Config:
    """The configuration of a TOML (or resolved JSON) file, then `section.key` overrides.

    Raises:
        InputError: the file or an override is wrong; the line names it.
    """
    content: dict[str, Any] = {}
    if path is not None:
        with naming(path):
            written = path.read_bytes()
        kind = "JSON" if path.suffix == ".json" else "TOML"
        try:
            content = json.loads(written) if kind == "JSON" else tomllib.loads(written.decode())
        except ValueError as error:
            raise InputError(f"{path}: not {kind}: {error}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: {type(content).__name__}; expected sections of options")
        content.pop(VERSION, None)
        from_dict(content, str(path))
    for name, word in overrides:
        section, _, key = name.partition(".")
        if not key:
            raise InputError(f"--{name}: expected --section.key value")
        content[section] = {**content.get(section, {}), key: _value(word)}
    return from_dict(content, "command line" if overrides else str(path or "defaults"))


def _value(word: str) -> Any:
    """A command line's word as TOML reads it; a bare word is text."""
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word
