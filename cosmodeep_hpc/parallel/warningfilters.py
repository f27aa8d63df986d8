"""A lock for Python's warning filters, which belong to the whole process."""

from threading import RLock

ONE_AT_A_TIME = RLock()
"""Held while filters are set and reset: two threads at once would leave one thread's filters to the
whole process."""
