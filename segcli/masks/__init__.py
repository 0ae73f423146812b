"""Pure array helpers on masks: numpy in, numpy out; no torch, no files."""
