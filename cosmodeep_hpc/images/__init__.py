"""FITS images and arrays: planes of surface brightness, with beam and sky coordinates."""
