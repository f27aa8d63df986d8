"""A lock for Python's warning filters, which belong to the whole process."""

from threading import RLock

ONE_AT_A_TIME = RLock()
"""Held while filters are set and reset: two threads that do so in turn would leave the process with
those of one of them."""
