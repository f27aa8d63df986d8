"""Files that are whole or not there, checksums, and what is said on the terminal."""
