"""The model registry: groups of model packages, packages with or without versions, who may use them."""
