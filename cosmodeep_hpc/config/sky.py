"""Options of the mock sky and of the telescope that sees it."""

from __future__ import annotations

from dataclasses import dataclass

from cosmodeep_hpc.config.section import SEEDS, Section, option
from cosmodeep_hpc.errors import InputError


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
        "seeds of the boxes of skies to test on (mock --test), other than `seeds`",
        low=0,
        high=SEEDS,
    )
    sides: tuple[float, ...] = option(
        (50.0, 100.0, 200.0), "comoving sides of the boxes, the finest nearest", unit="Mpc", above=0
    )
    reach: float = option(
        8.0, "comoving distance up to which a box serves, in units of its side", above=0, high=1000
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
    halo_gas: float = option(
        0.5,
        "weight of a halo's own gas profile against the mesh in the density inside R100, where the "
        "temperature is the virial one; 0: mesh alone, for both",
        low=0,
        high=1,
    )
    z_near: float = option(0.04, "redshift at which the light cone begins", above=0, below=10)
    z_far: float = option(0.5, "redshift at which the light cone ends", above=0, below=10)
    efficiency: float = option(
        2.22e-5, "electron acceleration efficiency xi_e of a strong shock", above=0, high=1
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
        0.6, "exponent of the density in the magnetic field", low=0, high=2
    )
    field_temperature: float = option(
        0.5, "exponent of the temperature in the magnetic field", low=0, high=2
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
    """What the telescope does with the sky (paper, section 3.1): ASKAP at 1.4 GHz."""

    pixels: int = option(2000, "side of an image", unit="pixel", low=1)
    pixel_scale: float = option(9.6, "side of a pixel", unit="arcsec", above=0)
    beam: float = option(10.0, "FWHM of the round Gaussian beam", unit="arcsec", above=0)
    noise_rms: float = option(10.0, "rms of the noise", unit="uJy/beam", low=0)
    frequency: float = option(1.4, "observing frequency", unit="GHz", above=0)


@dataclass(frozen=True, kw_only=True)
class Effects(Section):
    """Effects that make an observed image harder than the paper's (docs/effects.md); default: off.

    The Sky image, which labels are made from, has none of them.
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
        1.0,
        "share of a point source's flux left by its subtraction; 1: not subtracted",
        low=0,
        high=1,
    )
    residual_scatter: float = option(
        0.0, "scatter (rms) of that share between sources", low=0, high=1
    )
    radio_galaxies: bool = option(
        False, "whether the larger and brighter radio sources have a core, jets and lobes"
    )
    galaxy_size: float = option(
        20.0,
        "largest angular size above which a source has jets and lobes",
        unit="arcsec",
        low=0,
        high=300,
    )
    galaxy_flux: float = option(
        1.0,
        "flux at 1.4 GHz above which a source has jets and lobes",
        unit="mJy",
        low=0.05,
        high=1000,
    )
    shortest_baseline: float = option(
        0.0,
        "shortest baseline: emission on larger scales is lost; 0: nothing is lost",
        unit="m",
        low=0,
    )
    dirty_beam: bool = option(
        False, "whether uncleaned emission keeps the sidelobes of ASKAP's dirty beam"
    )
    duration: float = option(10.0, "length of the observation", unit="h", above=0, high=24)
    bandwidth: float = option(0.288, "width of the band", unit="GHz", above=0)
    robust: float = option(0.0, "weighting, from -2 (uniform) to 2 (natural)", low=-2, high=2)
    clean_depth: float = option(
        50.0, "depth of CLEAN: fainter emission is not cleaned", unit="uJy/beam", low=0
    )
    clean_residual: float = option(
        0.01, "share of brighter emission that CLEAN leaves uncleaned", low=0, high=1
    )
    noise_edge: float = option(
        1.0,
        "rms of the noise at the field's edge, in units of the rms at its centre",
        low=1,
        high=10,
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
    def sources(self) -> bool:
        """Whether the sky holds radio sources."""
        return self.point_sources or self.radio_galaxies
