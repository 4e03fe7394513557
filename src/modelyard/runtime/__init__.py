"""Running what AWS calls containers: sandboxed processes, their shims and their images."""
