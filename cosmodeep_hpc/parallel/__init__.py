"""Ranks, their pool of work, locks between jobs, signals, and the defaults of a process."""
