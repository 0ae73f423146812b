"""What turns an image into a Segmentation; the only room that imports torch and transformers.

Importing this package, `catalog` and `settings` is cheap; torch is loaded by `load`.
"""
