"""A model beside source finders, plain detectors and the ideal limit, on the same tiles."""
