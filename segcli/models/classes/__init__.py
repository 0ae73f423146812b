"""Class-aware models: every pixel or object gets a class."""
