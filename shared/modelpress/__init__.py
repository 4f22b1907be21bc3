"""Joint compression of neural networks, with the evidence. ``connect()`` is where a program starts."""

__version__ = "0.1.0"
