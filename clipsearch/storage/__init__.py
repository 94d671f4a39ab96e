"""Everything that clipsearch keeps on disk: where it lies, the catalogue, the snapshots."""
