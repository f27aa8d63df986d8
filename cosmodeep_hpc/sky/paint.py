"""Sky images painted from boxes, and the halos in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.sky import halocatalog, lightcone, spread
from cosmodeep_hpc.sky.box import Box
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.emission import element_power, flux
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.mesh import Field
from cosmodeep_hpc.sky.recipes import amplitude_of, slabs_of
from cosmodeep_hpc.sky.shocks import Elements


class Painter:
    """Paints Sky images; keeps boxes that it has read, and the powers of their elements.

    Attributes:
        config: its sections sky and instrument decide on the images.
        boxes: by their side [comoving Mpc].
        slabs: of the light cone.
        view: the image plane.
    """

    def __init__(self, config: Config, boxes: Sequence[Box], faintest: float | None = None) -> None:
        """Take the boxes; they are read when first needed.

        Args:
            config: the configuration.
            boxes: of one or several sides.
            faintest: surface brightness below which elements are left out [Jy/arcsec^2]; by default
                `sky.faintest`.
        """
        sky = config.sky
        self.config = config
        self.boxes = {
            side: [box for box in boxes if box.side == side] for side in {b.side for b in boxes}
        }
        self.slabs = slabs_of(sky, sorted(self.boxes))
        self.faintest = sky.faintest if faintest is None else faintest
        margin = int(np.ceil(5 * sky.blur / lightcone.FWHM / config.instrument.pixel_scale)) + 1
        self.view = lightcone.ImagePlane(
            config.instrument.pixels, config.instrument.pixel_scale, margin
        )
        self._elements: dict[tuple[Box, float], Elements] = {}
        self._powers: dict[tuple[Box, int], Field] = {}
        self._halos: dict[tuple[Box, float], Halos] = {}

    def placed(self, index: int, slab: lightcone.Slab) -> tuple[Box, float, lightcone.Orientation]:
        """Return the box in a slab of image `index`, its snapshot's redshift, and its orientation.

        Args:
            index: of the image, as random numbers are addressed.
            slab: the slab.
        """
        boxes = self.boxes[slab.side]
        turned = lightcone.orientation(self.config.sky.seed, index, slab, len(boxes))
        box = boxes[turned.box]
        return box, box.nearest(slab.redshift), turned

    def elements(self, box: Box, redshift: float) -> Elements:
        """Return the elements of a box's snapshot that are bright enough to matter in some slab."""
        key = (box, redshift)
        if key not in self._elements:
            every = box.elements(redshift)
            slabs = [s for s in self.slabs if s.side == box.side]
            nearest = min(
                (s for s in slabs if box.nearest(s.redshift) == redshift), key=lambda s: s.centre
            )
            distance = nearest.centre - 0.5 * nearest.depth
            seen_at = float(lightcone.redshift_at(distance))
            power = self._power(every, seen_at)
            light = flux(power, every.mach, seen_at, distance)
            angle = every.area / (distance * lightcone.ARCSEC) ** 2
            self._elements[key] = every[np.flatnonzero(light >= self.faintest * angle)]
        return self._elements[key]

    def _power(self, elements: Elements, redshift: float) -> Field:
        """Return powers at the observed frequency [erg/s/Hz]."""
        power = element_power(
            elements, redshift, self.config.instrument.frequency, amplitude_of(self.config.sky)
        )
        return np.asarray(power, np.float32)

    def power(self, box: Box, slab: lightcone.Slab) -> Field:
        """Return the powers of a box's `elements` in a slab, as observed [erg/s/Hz]."""
        key = (box, slab.number)
        if key not in self._powers:
            elements = self.elements(box, box.nearest(slab.redshift))
            self._powers[key] = self._power(elements, slab.redshift)
        return self._powers[key]

    def paint(self, index: int, slabs: Sequence[lightcone.Slab] | None = None) -> Field:
        """Return the Sky image `index`, float32 (pixels, pixels) [Jy/arcsec^2].

        Args:
            index: of the image, the address of its random numbers.
            slabs: to paint; by default all.
        """
        sky = self.config.sky
        light: NDArray[np.float64] = np.zeros((self.view.full, self.view.full))
        for slab in self.slabs if slabs is None else slabs:
            box, redshift, turned = self.placed(index, slab)
            jitter = draws(sky.seed, Purpose.SAMPLES, index, slab.number).integers(1 << 63)
            spread.paint(
                light,
                self.elements(box, redshift),
                self.power(box, slab),
                slab,
                turned,
                self.view,
                int(jitter),
            )
        return lightcone.blurred(light, self.view, sky.blur)

    def forget(self) -> None:
        """Drop the elements and powers that were read."""
        self._elements.clear()
        self._powers.clear()

    def halos(self, index: int, wcs: WCS) -> Table:
        """Return the halos of the field of image `index`, see `halocatalog.field_table`."""
        parts = []
        for slab in self.slabs:
            box, redshift, turned = self.placed(index, slab)
            if (box, redshift) not in self._halos:
                self._halos[box, redshift] = box.halos(redshift)
            halos = self._halos[box, redshift]
            seen = halocatalog.visible(halos, slab, turned, self.view)
            parts.append((box.path.name, halos, seen))
        sky = self.config.sky
        return halocatalog.field_table(parts, wcs, index, (sky.z_near, sky.z_far))
