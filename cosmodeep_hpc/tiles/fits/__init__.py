"""FITS images in: their planes, units, beams and places on the sky."""
