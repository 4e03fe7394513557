"""MLflow's own server on the platform's socket, in one process: a database in `/opt/ml/store`, artifacts where the platform says.

`mlflow server` would start a second process with the same libraries only to wait for it. Jobs of the server (GenAI evaluations in the
background) are off: they cost a GiB of idle processes.
"""

from __future__ import annotations

import os
import stat

from ..layout import Layout


def main() -> int:
    """Serve until SIGTERM."""
    store = os.path.join(Layout().base, "store", "mlflow.db")
    uri, root = f"sqlite:///{store}", os.environ["MODELYARD_ARTIFACT_ROOT"]
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.update(_MLFLOW_SERVER_FILE_STORE=uri, _MLFLOW_SERVER_ARTIFACT_ROOT=root, _MLFLOW_SGI_NAME="uvicorn")
    import uvicorn
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(uri, uri, root)
    os.chmod(store, stat.S_IRUSR | stat.S_IWUSR)
    from mlflow.server.fastapi_app import app

    uvicorn.run(app, uds=os.environ["MODELYARD_SERVE_SOCKET"], log_level="info", access_log=False)
    return 0
