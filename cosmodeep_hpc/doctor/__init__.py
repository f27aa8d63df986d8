"""`cosmodeep doctor`: whether this installation, on this machine, in this job, is fit to run."""
