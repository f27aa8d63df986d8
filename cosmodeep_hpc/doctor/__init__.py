"""`cosmodeep doctor`: checks whether this installation can run on this machine and in this job."""
