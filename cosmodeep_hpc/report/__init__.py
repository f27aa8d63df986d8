"""Accuracy, figures and comparisons."""
