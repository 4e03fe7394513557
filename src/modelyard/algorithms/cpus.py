"""How many cores this container may use."""

from __future__ import annotations

import os


def cpus() -> int:
    """`MODELYARD_CPUS` (the runtime's limit, may be a fraction), else the cores this process may run on; at least 1."""
    limit = os.environ.get("MODELYARD_CPUS")
    if limit:
        try:
            return max(1, int(float(limit)))
        except ValueError:
            pass
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> int:
    """Processes of a model server: SAGEMAKER_MODEL_SERVER_WORKERS, else one per core."""
    return max(1, int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or cpus()))


def named_workers() -> int:
    """Processes for a library whose loaded models cannot be forked and that uses all cores by itself: one, unless named."""
    return max(1, int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or 1))


def share_cores() -> None:
    """Divide the cores among the workers' thread pools, unless the user did. To be called before numpy is imported."""
    threads = str(max(1, cpus() // workers()))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, threads)
