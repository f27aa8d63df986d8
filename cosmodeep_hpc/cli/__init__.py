"""The command `cosmodeep`: a file for each of its commands."""
