"""Trained networks on the cores of a CPU, without TensorFlow; `network.load` is the door."""
