"""Every AWS service botocore knows: how its requests are recognised, without loading its model.

The table is `catalogue.json`; `python -m modelyard.wire.catalogue` writes it anew from the installed botocore. Models of
services are big; the router needs five facts of each of the 400 and more, also to tell a client honestly which
service it asked for that is not built here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import orjson

_FILE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True)
class Entry:
    """`signing` is the name in credential scopes, `endpoint` the first labels of host names, `target` the prefix of
    X-Amz-Target and of rpc-v2 paths (empty where there is none)."""

    service: str
    signing: str
    endpoint: str
    target: str
    version: str
    protocols: tuple[str, ...]

    @cached_property
    def takes_forms(self) -> bool:
        return "query" in self.protocols or "ec2" in self.protocols


class Catalogue:
    def __init__(self, entries: list[Entry]) -> None:
        self.by_service = {entry.service: entry for entry in entries}
        self.by_signing: dict[str, list[Entry]] = {}
        self.by_target: dict[str, list[Entry]] = {}
        self.by_endpoint: dict[str, list[Entry]] = {}
        self.by_version: dict[str, list[Entry]] = {}
        for entry in entries:
            self.by_signing.setdefault(entry.signing, []).append(entry)
            self.by_endpoint.setdefault(entry.endpoint, []).append(entry)
            self.by_version.setdefault(entry.version, []).append(entry)
            # botocore sends the whole name of CloudTrail and the like, other SDKs the last word of it.
            for target in {entry.target, entry.target.rpartition(".")[2]} - {""}:
                self.by_target.setdefault(target, []).append(entry)


@cache
def catalogue() -> Catalogue:
    table = orjson.loads(_FILE.read_bytes())
    return Catalogue([Entry(service, *row[:4], tuple(row[4])) for service, row in table.items()])


def read_botocore() -> dict[str, list]:
    """The table as it follows from the installed models and our own."""
    import botocore.loaders

    from modelyard.kernel.models import OWN

    loader, table = botocore.loaders.Loader(extra_search_paths=[str(OWN)]), {}
    for service in loader.list_available_services("service-2"):
        data = loader.load_service_model(service, "service-2")["metadata"]
        protocols = list(data.get("protocols") or [data["protocol"]])
        if "awsQueryCompatible" in data and "query" not in protocols:
            protocols.append("query")
        signing = data.get("signingName", data["endpointPrefix"])
        table[service] = [signing, data["endpointPrefix"], data.get("targetPrefix", ""), data["apiVersion"], protocols]
    return table


if __name__ == "__main__":
    rows = (f"{orjson.dumps(service).decode()}:{orjson.dumps(row).decode()}" for service, row in read_botocore().items())
    _FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
