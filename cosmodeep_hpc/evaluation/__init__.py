"""The accuracy of a model on images that it has never seen."""
