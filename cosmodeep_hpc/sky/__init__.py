"""Mock skies: from a simulated box to Sky and Noise images."""
