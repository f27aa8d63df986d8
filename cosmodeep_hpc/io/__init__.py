"""Complete-or-absent files, checksums, messages and progress."""
