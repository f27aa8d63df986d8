"""Injection: sources put into an image, to learn which are found: completeness, upper limits."""
