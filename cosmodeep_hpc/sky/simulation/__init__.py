"""Boxes from the output of other simulations (docs/shock-finder.md)."""
