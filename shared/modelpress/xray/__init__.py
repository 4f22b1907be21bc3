"""The x-ray: what compression will bring to a model on this machine, before any data or training."""
