"""The sweep of whole mosaics, and its products."""
