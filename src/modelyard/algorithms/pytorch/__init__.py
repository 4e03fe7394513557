"""The PyTorch images."""
