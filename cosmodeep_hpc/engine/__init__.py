"""Trained networks on the cores of a CPU, without TensorFlow; callers use `network.load`."""
