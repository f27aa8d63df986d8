"""The cost of a training step on the ranks of this job, and its prediction for more ranks."""
