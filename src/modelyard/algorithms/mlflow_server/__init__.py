"""The MLflow tracking server in its box."""
