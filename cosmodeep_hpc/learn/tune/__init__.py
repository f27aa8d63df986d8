"""The search for the best training parameters."""
