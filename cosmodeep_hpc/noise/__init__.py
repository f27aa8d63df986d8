"""Local noise and background of an image, measured in square cells."""
