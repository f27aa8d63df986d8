"""Effects that make an observed image harder than the paper's (docs/effects.md)."""
