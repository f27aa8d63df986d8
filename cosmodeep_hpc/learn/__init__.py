"""The network, its training and its accuracy."""
