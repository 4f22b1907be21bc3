"""The distiller service."""
