"""The depot: index and bytes together, and the transactions that keep them one.

Order of a write: bytes durable first, then the row commits; order of a delete: the row goes first, then the bytes.
So a row always has its bytes, and a crash leaves at most files without rows, which `sweep` removes.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import FileIO
from itertools import islice
from typing import Any, BinaryIO
from zlib import crc32

from modelyard.kernel.clock import Clock, real_now
from modelyard.kernel.database import Tx, open_database
from modelyard.kernel.errors import ApiError
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import Call
from modelyard.services.s3.blobs import Blobs, FileBlobs
from modelyard.services.s3.errors import damaged, invalid_argument, no_such_bucket, no_such_key, no_such_version, s3_error
from modelyard.services.s3.index import NULL_VERSION, Bucket, Index, Version, is_small
from modelyard.services.s3.ingest import Received
from modelyard.services.s3.notices import Cause, note, prepare
from modelyard.services.s3.sealing import opened

log = logging.getLogger("modelyard.s3")

SWEEP_GRACE_S = 24 * 3600.0
"""Files without a row are left alone for this long: an upload may still be about to commit its row."""

_PUT, _DELETE = Cause("ObjectCreated:Put"), Cause("ObjectRemoved")


@dataclass
class Draft:
    """What a new version shall be: its bytes and its `meta`.

    `meta` has, all optional: `headers` {ContentType, ContentEncoding, …}, `user` {name: value}, `checksums`
    {algorithm: base64}, `checksum_type`, `parts` [[size, {algorithm: base64}], …], `tags` {key: value}, `storage`.
    """

    received: Received
    meta: dict[str, Any] = field(default_factory=dict)


class Depot:
    def __init__(self, index: Index, blobs: Blobs, clock: Clock, ring: Any = None) -> None:
        self.index, self.blobs, self.clock = index, blobs, clock
        self.ring = ring
        """The keys of encrypted objects (encryption.Keyring)."""
        self.bell: Callable[[], None] = lambda: None
        """Rung after a commit that somebody is to be told of (notices.py)."""
        prepare(index.db)

    # --- finding ---------------------------------------------------------------------------------

    def bucket(self, name: str, tx: Tx | None = None) -> Bucket:
        found = self.index.bucket(name, tx)
        if found is None:
            raise no_such_bucket(name)
        return found

    def find(self, bucket: str, key: str, version: str | None = None) -> Version:
        """The version that a read means: NoSuchBucket, NoSuchKey, NoSuchVersion, or a 404/405 for a delete marker."""
        if version is not None:
            found = self.index.version(bucket, key, version)
            if found is None:
                check_version_id(self.bucket(bucket), version)
                raise no_such_version(bucket, key, version)
            if found.marker:
                raise s3_error(
                    "MethodNotAllowed",
                    Method="GET",
                    ResourceType="DeleteMarker",
                    headers={"allow": "DELETE", "x-amz-delete-marker": "true", "x-amz-version-id": version},
                )
            return found
        return self._live(bucket, key, self.index.latest(bucket, key))

    def find_whole(self, bucket: str, request: Mapping[str, Any], method: str) -> Version:
        """`find` for the sub-resources of a version: delete markers have none (405), and the newest one is not looked through."""
        key, version = request["Key"], request.get("VersionId")
        have = self.index.latest(bucket, key) if version is None else self.index.version(bucket, key, version)
        if have is not None and have.marker:
            raise s3_error("MethodNotAllowed", Method=method, ResourceType="DeleteMarker", headers={"allow": "DELETE"})
        return self.find(bucket, key, version)

    def _live(self, bucket: str, key: str, found: Version | None) -> Version:
        if found is None:
            self.bucket(bucket)
            raise no_such_key(bucket, key)
        if found.marker:
            gone = no_such_key(bucket, key)
            gone.headers.update({"x-amz-delete-marker": "true", "x-amz-version-id": found.version})
            raise gone
        return found

    def open(self, version: Version) -> BinaryIO | bytes | None:
        """The bytes: a file, or bytes of a small object. None: replaced meanwhile, find it again."""
        if not version.blob or is_small(version.blob):
            return self.index.small(version.blob)
        try:
            return self.blobs.open(version.blob)
        except FileNotFoundError:
            return None

    def find_open(
        self,
        bucket: str,
        key: str,
        version: str | None = None,
        check: Callable[[Version], None] = lambda v: None,
        unlock: Callable[[Version], bytes] | None = None,
    ) -> tuple[Version, Any]:
        """A version and its bytes, also while others overwrite the key. `check` may refuse the version; `unlock` answers the key of an
        encrypted one (None: as the platform itself, which has no customer's key)."""
        for _ in range(16):
            data = None
            if version is None:
                found, data = self.index.latest_and_bytes(bucket, key)
                found = self._live(bucket, key, found)
            else:
                found = self.find(bucket, key, version)
            check(found)
            if data is None:
                data = self.open(found)
            if data is not None and "sealed" in found.meta:
                return found, self._unsealed(found, data, unlock)
            if data is not None:
                if isinstance(data, FileIO) and os.fstat(data.fileno()).st_size != found.size:
                    data.close()
                    raise damaged(bucket, key, found.version)
                return found, data
        raise damaged(bucket, key, found.version)

    def _unsealed(self, found: Version, data: Any, unlock: Callable[[Version], bytes] | None) -> BinaryIO:
        try:
            return opened(data, found.meta["sealed"]["pieces"], (unlock or self.ring.unlock)(found))
        except BaseException:
            if not isinstance(data, bytes):
                data.close()
            raise

    # --- writing ---------------------------------------------------------------------------------

    def put(
        self,
        bucket: str,
        key: str,
        draft: Draft,
        condition: Callable[[Version | None], None] = lambda v: None,
        also: Any = None,
        cause: Cause = _PUT,
    ) -> Version:
        """Commits a new version. `condition` sees the live object (None: none) in the same transaction and may
        raise; `also(tx)` runs in it too and answers blobs that are free afterwards. On any error the received
        bytes are dropped. `cause` is what event notifications tell of it."""
        work, free, settled = self._putting(bucket, key, draft, condition, also, cause)
        try:
            new = self.index.db.grouped(work)
        except BaseException:
            self.drop([draft.received.blob])
            raise
        self.drop(free)
        settled()
        return new

    def put_small(
        self,
        bucket: str,
        key: str,
        draft: Draft,
        condition: Callable[[Version | None], None],
        cause: Cause,
        tell: Callable[[Any, BaseException | None], None],
    ) -> None:
        """`put` of bytes that the index keeps itself, for who must not wait: `tell(version, error)` once it is durable, on another thread."""
        work, free, settled = self._putting(bucket, key, draft, condition, None, cause)

        def done(new: Version | None, error: BaseException | None) -> None:
            if error is None:
                if any(blob and not is_small(blob) for blob in free):  # to take a large file away takes long, and others want to commit
                    threading.Thread(target=self.drop, args=(free,), name="s3 drop").start()
                settled()
            tell(new, error)

        self.index.db.later(work, done)

    def _putting(
        self, bucket: str, key: str, draft: Draft, condition: Callable[[Version | None], None], also: Any, cause: Cause
    ) -> tuple[Callable[[Tx], Version], list[str], Callable[[], None]]:
        """(what is to be done in a transaction, the blobs that are free after it, what is to be done then)."""
        free: list[str] = []
        noted: list[bool] = []
        read: list[tuple[Bucket, Any]] = []

        def work(tx: Tx) -> Version:
            home, have = self.index.home_and_latest(tx, bucket, key)
            if home is None:
                raise no_such_bucket(bucket)
            condition(None if have is None or have.marker else have)
            if also is not None:
                free.extend(also(tx))
            version = new_version(home)
            if version == NULL_VERSION:
                self._remove_null(tx, home, key, have, free)
            got, first = draft.received, have is None or not home.versioning
            blob = got.blob if got.small is None else self.index.keep_small(tx, got.small)
            new = self.index.insert(tx, bucket, key, version, False, got.size, got.etag, self.clock.now(), blob, draft.meta, first)
            noted.append(self.changed(tx, home, new, cause))
            read.append((home, self.index.mark()))
            return new

        def settled() -> None:
            self.index.still(*read[-1])
            self.tell(noted)

        return work, free, settled

    def delete(
        self,
        bucket: str,
        key: str,
        version: str | None,
        condition: Callable[[Version | None], None] = lambda v: None,
        cause: Cause = _DELETE,
    ) -> tuple[Version | None, Version | None]:
        """Deletes as S3 does and answers (removed version, new delete marker). `cause` names the event without its last word."""
        free: list[str] = []
        noted: list[bool] = []
        done = self.index.db.grouped(lambda tx: self.delete_in(tx, bucket, key, version, condition, cause, free, noted))
        self.drop(free)
        self.tell(noted)
        return done

    def delete_in(
        self,
        tx: Tx,
        bucket: str,
        key: str,
        version: str | None,
        condition: Callable[[Version | None], None],
        cause: Cause,
        free: list[str],
        noted: list[bool],
    ) -> tuple[Version | None, Version | None]:
        """`delete` within a transaction: after it commits, `free` is to be dropped and `noted` to be told."""
        home = self.bucket(bucket, tx)
        have = self.index.latest(bucket, key, tx)
        removed = Cause(f"{cause.event}:Delete", cause.call)
        if version is not None:
            gone = self.index.version(bucket, key, version, tx)
            if gone is None:
                check_version_id(home, version)
            condition(gone)
            if gone is not None:
                noted.append(self._remove(tx, home, gone, removed, free))
            return gone, None
        condition(have)
        self.index.note_deleted(tx, bucket, key)
        if not home.versioning:
            if have is not None:
                noted.append(self._remove(tx, home, have, removed, free))
            else:  # S3 tells that a key was deleted though it was not there
                noted.append(self.changed(tx, home, Version(0, bucket, key, NULL_VERSION, True, False, 0, "", 0.0, "", {}), removed))
            return None, None
        name = new_version(home)
        if name == NULL_VERSION:
            self._remove_null(tx, home, key, have, free)
        marker = self.index.insert(tx, bucket, key, name, True, 0, "", self.clock.now(), "", {})
        noted.append(self.changed(tx, home, marker, Cause(f"{cause.event}:DeleteMarkerCreated", cause.call)))
        return None, marker

    def _remove_null(self, tx: Tx, home: Bucket, key: str, latest: Version | None, free: list[str]) -> None:
        old = latest if latest is None or latest.version == NULL_VERSION else self.index.version(home.name, key, NULL_VERSION, tx)
        if old is not None:
            self.index.remove(tx, old, only=not home.versioning)
            free.append(old.blob)

    def _remove(self, tx: Tx, home: Bucket, gone: Version, cause: Cause, free: list[str]) -> bool:
        self.index.remove(tx, gone, only=not home.versioning)
        free.append(gone.blob)
        return self.changed(tx, home, gone, cause)

    def changed(self, tx: Tx, home: Bucket, version: Version, cause: Cause) -> bool:
        """The one place every change of an object passes, in its transaction. Answers whether somebody is to be told."""
        return bool(home.settings) and "Notification" in home.settings and note(tx, home, version, cause, self.clock.now())

    def tell(self, noted: list[bool]) -> None:
        """After the commit."""
        if any(noted):
            self.bell()

    def drop(self, blobs: Iterable[str]) -> None:
        """Deletes files whose rows are gone (small blobs went with their rows). Failing leaves an orphan to the sweep."""
        for blob in blobs:
            if blob and not is_small(blob):
                try:
                    self.blobs.delete(blob)
                except OSError:
                    log.warning("blob %s was not deleted, the sweep will", blob, exc_info=True)

    def sweep(self, grace_s: float = SWEEP_GRACE_S) -> int:
        """Removes files that no row refers to and that are older than `grace_s` real seconds; answers how many."""
        count, pending = 0, []
        old = self.blobs.older_than(real_now() - grace_s)
        while pending := list(islice(old, 500)):
            orphans = set(pending) - self.index.known(pending)
            self.drop(orphans)
            count += len(orphans)
        return count


def new_version(bucket: Bucket) -> str:
    if bucket.versioning != "Enabled":
        return NULL_VERSION
    chance = secrets.token_bytes(20)
    return urlsafe_b64encode(chance + crc32(chance).to_bytes(4, "big")).decode()


def check_version_id(bucket: Bucket, version: str) -> None:
    """Of a version that is not there: InvalidArgument for what no bucket has ever named one (the last bytes of a name check the
    others), and in a bucket that never had versions."""
    if version == NULL_VERSION or (bucket.versioning and _is_ours(version)):
        return
    raise invalid_argument("Invalid version id specified", "versionId", version)


def _is_ours(version: str) -> bool:
    try:
        name = urlsafe_b64decode(version)
    except ValueError:
        return False
    return len(name) == 24 and crc32(name[:20]).to_bytes(4, "big") == name[20:]


# --- the platform's part -------------------------------------------------------------------------


def install(platform: Platform) -> Depot:
    """Opens the depot of a data folder and offers `platform.s3` (this), `platform.objects` and S3's resource policies."""
    from modelyard.services.s3.access import resource_policy
    from modelyard.services.s3.access_lines import Lines
    from modelyard.services.s3.condition_keys import further_keys
    from modelyard.services.s3.cors import Rules
    from modelyard.services.s3.encryption import Keyring
    from modelyard.services.s3.objects import ObjectStore

    have = platform.parts.get("s3")
    if have is not None:
        return have
    settings = platform.settings
    index = Index(open_database(settings.store, settings.data / "s3.db", durable=True))
    depot = Depot(index, FileBlobs(settings.data / "objects"), platform.clock, Keyring(platform))
    depot.bell = lambda: platform.ring("s3")
    platform.parts["s3"] = depot
    platform.parts["objects"] = ObjectStore(depot)
    platform.parts["s3_access"] = Lines(depot)
    platform.parts["cross_origin"] = Rules(depot)
    platform.parts.setdefault("resource_policies", {})["s3"] = resource_policy
    platform.parts.setdefault("condition_keys", {})["s3"] = further_keys
    return depot


def depot_of(call: Call) -> Depot:
    return call.platform.parts.get("s3") or install(call.platform)


def owned_bucket(call: Call, request: dict[str, Any]) -> Bucket:
    """The bucket of a request; refuses it where the client expected another owner."""
    found = depot_of(call).bucket(request["Bucket"])
    check_owner(found, request.get("ExpectedBucketOwner"))
    if found.region != call.region:
        check_region(call, found)
    if found.settings and "Logging" in found.settings:
        call.logged = found
    if found.settings and "Payer" in found.settings and call.service == "s3" and call.principal.account != found.account:
        _check_payer(request)
    return found


def _check_payer(request: dict[str, Any]) -> None:
    """Of a bucket whose requesters pay, others than its owner must say that they will."""
    if request.get("RequestPayer") != "requester":
        raise s3_error(
            "AccessDenied", "Access Denied: this is a Requester Pays bucket; the request must say x-amz-request-payer: requester."
        )


def check_region(call: Call, home: Bucket) -> None:
    """A request that was signed for another region than the bucket's is told where to go, as at that region's endpoint. Callers whose
    signature names no region (unsigned, signature version 2), and the platform's own services, get through."""
    if call.auth is None or call.auth.version == 2 or call.service != "s3":
        return
    headers = {"x-amz-bucket-region": home.region}
    if call.host.startswith(f"{home.name}."):
        raise wrong_region(call.region, home.region)
    raise ApiError(
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
        301,
        fields={"Endpoint": f"{home.name}.s3.{home.region}.amazonaws.com", "Bucket": home.name},
        headers=headers,
    )


def wrong_region(said: str, home: str) -> ApiError:
    return ApiError(
        "AuthorizationHeaderMalformed",
        f"The authorization header is malformed; the region '{said}' is wrong; expecting '{home}'",
        400,
        fields={"Region": home},
        headers={"x-amz-bucket-region": home},
    )


def check_owner(bucket: Bucket, expected: str | None) -> None:
    if not expected or expected == bucket.account:
        return
    if not (len(expected) == 12 and expected.isascii() and expected.isdigit()):
        text = f"The value of the expected bucket owner parameter must be an AWS Account ID... [{expected}]"
        raise ApiError("InvalidBucketOwnerAWSAccountID", text, 400)
    raise s3_error("AccessDenied")
