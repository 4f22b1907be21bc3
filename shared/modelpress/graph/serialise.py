"""A `Model` as bytes, ``graph.json`` and ``tensors.safetensors``, and back, without pickle and without the user's code.

FORMAT.md is the specification; `save` is in writing.py, `load` in reading.py.
"""

from modelpress.graph.reading import load
from modelpress.graph.writing import Serialised, save

__all__ = ["Serialised", "load", "save"]
