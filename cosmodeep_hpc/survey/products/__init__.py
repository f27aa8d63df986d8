"""The products of a sweep, one kind a file; `writing` writes them all."""
