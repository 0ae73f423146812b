"""The prediction job: images → model → formats, resumable, one bad picture never stopping it."""
