"""What makes an observed image harder than the paper's (docs/effects.md)."""
