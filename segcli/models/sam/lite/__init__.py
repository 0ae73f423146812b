"""The bundled model's architecture in plain torch, which loads in a fraction of a second.

transformers, timm and torchvision take several seconds to import, more than all the work on a
small picture. A directory of this one architecture (EdgeTAM's image model on EfficientNet-Lite0)
is therefore loaded without them: same files, same names of weights, same numbers.
"""
