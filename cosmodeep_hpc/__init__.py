"""COSMODEEP: deep learning that finds the diffuse radio emission of the cosmic web, on clusters."""

import logging

__version__ = "0.1.0"

# which messages are shown is the choice of the program that uses the package
logging.getLogger(__name__).addHandler(logging.NullHandler())
