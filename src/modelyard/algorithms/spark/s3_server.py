"""s3:// and s3a:// for Spark, without AWS's connector (it is not on PyPI): Hadoop's own WebHDFS client, and this server that answers it from S3.

A URI's host is its bucket. No name server knows it, so the JVM takes the server for its HTTP proxy, which gets whole URLs. Operations and
documents are those of Hadoop's WebHDFS REST API.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .s3_files import Files

ROOT, PIECE = "/webhdfs/v1", 1 << 20
SCHEMES = ("s3", "s3a", "s3n")
SETTINGS = {
    **{f"fs.{scheme}.impl": "org.apache.hadoop.hdfs.web.WebHdfsFileSystem" for scheme in SCHEMES},
    "hadoop.security.token.service.use_ip": "false",
    "dfs.webhdfs.socket.connect-timeout": "60s",
    "dfs.webhdfs.socket.read-timeout": "1800s",
}
COMMITS = {
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.mapreduce.lib.output.FileOutputCommitterFactory",
}
"""Version 2 of the committer: the files of a task are moved once, and not again at the end of the job. By default s3a has a committer of
AWS's connector."""
QUIET = ("SETPERMISSION", "SETOWNER", "SETTIMES", "SETREPLICATION", "CHECKACCESS")
PROBLEMS = {403: "org.apache.hadoop.security.AccessControlException", 404: "java.io.FileNotFoundException"}


class Told(Exception):
    """An error as Hadoop's client reads it."""

    def __init__(self, status: int, java: str, text: str) -> None:
        super().__init__(text)
        self.status, self.java = status, java


def serve(s3: Any, port: int = 0) -> ThreadingHTTPServer:
    """Listens on this host alone, on a thread of its own; `server_address[1]` is the port."""
    handler = type("Handler", (_Handler,), {"files": Files(s3), "s3_error": s3.exceptions.ClientError})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def settings(folder: Path) -> dict[str, str]:
    """Variables of the environment that make Hadoop use it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"<property><name>{name}</name><value>{value}</value></property>" for name, value in SETTINGS.items())
    (folder / "core-site.xml").write_text(f"<configuration>{rows}</configuration>")
    return {"HADOOP_CONF_DIR": str(folder)}


def properties(port: int) -> dict[str, str]:
    """Properties of Spark; the options of the JVM come beside those that a user may set."""
    words = f"-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort={port} -Dhttp.nonProxyHosts=localhost|127.*|algo-*"
    return {**COMMITS, "spark.driver.defaultJavaOptions": words, "spark.executor.defaultJavaOptions": words}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Files
    s3_error: type[Exception]

    def log_message(self, *_: Any) -> None:
        """Spark's log is the job's log: not a line for each request."""

    def do_GET(self) -> None:
        self._answer({"OPEN": self._open, "GETFILESTATUS": self._status, "LISTSTATUS": self._list, "LISTSTATUS_BATCH": self._batch,
                      "GETCONTENTSUMMARY": self._summary, "GETFILEBLOCKLOCATIONS": self._blocks, "GET_BLOCK_LOCATIONS": self._blocks,
                      "GETHOMEDIRECTORY": self._home})  # fmt: skip

    def do_PUT(self) -> None:
        self._answer({"CREATE": self._create, "MKDIRS": self._make, "RENAME": self._rename})

    def do_DELETE(self) -> None:
        self._answer({"DELETE": self._delete})

    def do_POST(self) -> None:
        self._answer({})

    def _answer(self, operations: dict[str, Any]) -> None:
        url = urlsplit(self.path)
        self.bucket, self.path_of = url.hostname or "", unquote(url.path[len(ROOT) :]).strip("/")
        self.asked = {name.lower(): value for name, value in parse_qsl(url.query, keep_blank_values=True)}
        name = self.asked.get("op", "").upper()
        try:
            if not url.path.startswith(ROOT):
                raise Told(502, "java.io.IOException", f"Spark reaches S3 from here, not {url.hostname}.")
            if name in QUIET:
                return self._say({})
            if name not in operations:
                raise Told(400, "java.lang.UnsupportedOperationException", f"S3 has no {name or 'such operation'}.")
            operations[name]()
        except Told as problem:
            self._fail(problem)
        except self.s3_error as problem:
            status = problem.response["ResponseMetadata"]["HTTPStatusCode"]
            self._fail(
                Told(status if status in PROBLEMS else 500, PROBLEMS.get(status, "java.io.IOException"), f"s3://{self.bucket}: {problem}")
            )
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as problem:
            self._fail(Told(500, "java.io.IOException", f"s3://{self.bucket}/{self.path_of}: {type(problem).__name__}: {problem}"))

    # --- operations ------------------------------------------------------------------------------

    def _found(self) -> dict[str, Any]:
        found = self.files.status(self.bucket, self.path_of)
        if found is None:
            raise Told(404, PROBLEMS[404], f"File does not exist: s3://{self.bucket}/{self.path_of}")
        return found

    def _status(self) -> None:
        self._say({"FileStatus": _document("", self._found())})

    def _rows(self) -> list[dict[str, Any]]:
        rows = self.files.list(self.bucket, self.path_of)
        if rows is None:
            raise Told(404, PROBLEMS[404], f"File does not exist: s3://{self.bucket}/{self.path_of}")
        return [_document(name, one) for name, one in rows]

    def _list(self) -> None:
        self._say({"FileStatuses": {"FileStatus": self._rows()}})

    def _batch(self) -> None:
        self._say({"DirectoryListing": {"partialListing": {"FileStatuses": {"FileStatus": self._rows()}}, "remainingEntries": 0}})

    def _summary(self) -> None:
        rows = self._rows()
        files = [row for row in rows if row["type"] == "FILE"]
        size = sum(row["length"] for row in files)
        self._say({"ContentSummary": {"directoryCount": len(rows) - len(files) + 1, "fileCount": len(files), "length": size,
                                      "quota": -1, "spaceConsumed": size, "spaceQuota": -1}})  # fmt: skip

    def _blocks(self) -> None:
        """No host has a part of an object, and any may read it."""
        located = {"fileLength": self._found()["length"], "isUnderConstruction": False, "isLastBlockComplete": True}
        none = {"locatedBlocks": [], "lastLocatedBlock": None}
        self._say({"LocatedBlocks": located | none, "BlockLocations": {"BlockLocation": []}})

    def _home(self) -> None:
        self._say({"Path": "/"})

    def _open(self) -> None:
        if self._found()["type"] == "DIRECTORY":
            raise Told(404, PROBLEMS[404], f"Path is not a file: s3://{self.bucket}/{self.path_of}")
        length = self.asked.get("length")
        size, body = self.files.read(self.bucket, self.path_of, int(self.asked.get("offset", 0)), int(length) if length else None)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        with contextlib.closing(body) if body is not None else contextlib.nullcontext():
            while size and (piece := body.read(min(PIECE, size))):
                self.wfile.write(piece)
                size -= len(piece)

    def _create(self) -> None:
        """In two steps: first asked where to, then with the bytes."""
        if "step" not in self.asked:
            there = self.files.status(self.bucket, self.path_of)
            if there and (there["type"] == "DIRECTORY" or self.asked.get("overwrite", "false") != "true"):
                raise Told(403, "org.apache.hadoop.fs.FileAlreadyExistsException", f"s3://{self.bucket}/{self.path_of} already exists.")
            self._drain()
            return self._say({}, 307, {"Location": f"{self.path}&step=2"})
        self.files.write(self.bucket, self.path_of, self._body())
        self._say({}, 201)

    def _make(self) -> None:
        self.files.make(self.bucket, self.path_of)
        self._say({"boolean": True})

    def _rename(self) -> None:
        self._say({"boolean": self.files.rename(self.bucket, self.path_of, unquote(self.asked["destination"]).strip("/"))})

    def _delete(self) -> None:
        done = self.files.delete(self.bucket, self.path_of, self.asked.get("recursive", "false") == "true")
        if done is None:
            raise Told(403, "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", f"s3://{self.bucket}/{self.path_of} is not empty.")
        self._say({"boolean": done})

    # --- the wire ----------------------------------------------------------------------------------

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            left = int(self.headers.get("Content-Length", 0))
            while left and (piece := self.rfile.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            piece = self.rfile.read(size)
            if len(piece) < size:
                raise ConnectionResetError("the client ended within its file")
            yield piece
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _drain(self) -> None:
        for _ in self._body():
            pass

    def _say(self, document: dict[str, Any], status: int = 200, more: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, problem: Told) -> None:
        self.close_connection = True
        text = {"exception": problem.java.rpartition(".")[2], "javaClassName": problem.java, "message": str(problem)}
        self._say({"RemoteException": text}, problem.status, {"Connection": "close"})


def _document(name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "accessTime": found["at"], "blockSize": 64 << 20, "group": "root", "length": found["length"], "modificationTime": found["at"],
        "owner": "root", "pathSuffix": name, "permission": "755" if found["type"] == "DIRECTORY" else "644", "replication": 1,
        "type": found["type"],
    }  # fmt: skip
