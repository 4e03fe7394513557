"""What runs inside managed images: training, script mode and serving, by the container contract of `/opt/ml`.

This package imports nothing of the control plane and needs only the libraries of the image it runs in. The
runtime mounts this folder read-only into boxes under the name `modelyard_algorithms` and puts its parent on
PYTHONPATH (docs/how-to/add-an-image.md), so every import inside it is relative.
"""
