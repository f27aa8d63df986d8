"""The figures and tables of the paper. Nothing else needs this room."""
