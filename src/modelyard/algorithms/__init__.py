"""What runs inside managed images; imports nothing of the control plane."""
