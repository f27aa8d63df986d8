"""The sweep of whole mosaics: from files to probabilities on grids of cells, in memory."""
