"""What a training step costs on the ranks of this job, and what it would cost on more."""
