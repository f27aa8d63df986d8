"""The sections of the configuration: a module for each room that reads them."""
