"""The Hugging Face images."""
