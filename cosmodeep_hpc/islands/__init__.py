"""Islands: which cells are connected, and what they measure on the image and on the sky."""
