"""The services. Each package has `api = Service("<botocore name>")` and a file per resource."""
