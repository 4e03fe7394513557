"""AWS's scikit-learn image: script mode with that framework's defaults."""
