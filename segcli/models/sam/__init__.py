"""Segment-everything, one file a stage: grid → encoder → decoder → filtering → generate."""
