"""Objects named in words: a text in, masks of what it names out."""
