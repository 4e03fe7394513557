"""The data plane: splits traffic over replicas by route table; never reads the store."""
