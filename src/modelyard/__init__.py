"""Modelyard: the AWS MLOps stack, running for real on your own machine."""

__version__ = "0.1.0"
