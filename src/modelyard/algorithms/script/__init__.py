"""Script mode: a user's program runs in a framework image (the contract of AWS's sagemaker-training toolkit)."""
