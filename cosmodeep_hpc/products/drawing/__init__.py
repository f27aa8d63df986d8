"""Pictures as arrays of palette colours: drawn and packed in a twentieth of matplotlib's time."""
