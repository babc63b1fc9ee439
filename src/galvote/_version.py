"""The version, which every room may ask for."""

__version__ = "0.2.0"
