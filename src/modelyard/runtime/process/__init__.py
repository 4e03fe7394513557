"""Runs as sandboxed processes of this machine, each under a shim that outlives the control plane.

This file imports nothing: the shim passes through it, and a shim must start in milliseconds.
"""

from __future__ import annotations


def __getattr__(name: str):
    if name == "ProcessRuntime":
        from modelyard.runtime.process.runtime import ProcessRuntime

        return ProcessRuntime
    raise AttributeError(name)
