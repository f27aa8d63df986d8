"""From images to labelled tiles in HDF5 shards."""
