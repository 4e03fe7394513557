"""MLflow tracking servers: the library itself as a run in a box, behind the gateway's signatures and permissions."""
