"""The TensorFlow images."""
