"""COSMODEEP: deep learning that finds the diffuse radio emission of the cosmic web, on clusters."""

__version__ = "0.1.0"
