"""Mainstay's Python package; `mainstay.train` is the training script's side of `mainstay train`."""

__version__ = "0.1.0"
