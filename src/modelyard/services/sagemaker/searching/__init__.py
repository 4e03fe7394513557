"""Search over all searchable resources, on the documents that their Describe operations answer."""
