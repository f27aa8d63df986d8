"""The numbers of the README's performance table, each a ratio measured in one run."""
