"""S3's own errors, with AWS's codes, statuses and texts.

Source: "Error responses" of the Amazon S3 API reference. `Resource` and the other fields go into the
XML error document beside code and message.
"""

from __future__ import annotations

import logging
from typing import Any

from modelyard.kernel.errors import ApiError

log = logging.getLogger("modelyard.s3")

_MESSAGES = {
    "AccessDenied": (403, "Access Denied"),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BadRequest": (400, "Bad Request"),
    "BucketAlreadyExists": (
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
    ),
    "BucketAlreadyOwnedByYou": (409, "Your previous request to create the named bucket succeeded and you already own it."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order. Parts must be ordered by part number."),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidTag": (400, "The TagValue you have provided is invalid"),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedXML": (400, "The XML you provided was not well-formed or did not validate against our published schema"),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    ),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
}


def s3_error(code: str, message: str | None = None, *, headers: dict[str, str] | None = None, **fields: Any) -> ApiError:
    """An error of S3 by its code, with AWS's text unless another is given."""
    status, text = _MESSAGES[code]
    return ApiError(code, message or text, status, fields=fields, headers=headers)


def no_such_bucket(bucket: str) -> ApiError:
    return s3_error("NoSuchBucket", BucketName=bucket)


def no_such_key(bucket: str, key: str) -> ApiError:
    return s3_error("NoSuchKey", Key=key)


def no_such_version(bucket: str, key: str, version: str) -> ApiError:
    return s3_error("NoSuchVersion", Key=key, VersionId=version)


def damaged(bucket: str, key: str, version: str) -> ApiError:
    """The index says that bytes are there, and the disk does not have them: nothing that a client could repair."""
    log.error("the bytes of s3://%s/%s version %s are not on the disk, or not all of them: modelyard doctor --verify", bucket, key, version)
    text = "We encountered an internal error. The bytes of this object are damaged on the platform's disk: modelyard doctor --verify names what is, and what to do."
    return ApiError("InternalError", text, 500, fields={"Key": key})


def no_such_upload(upload: str) -> ApiError:
    return s3_error("NoSuchUpload", UploadId=upload)


def invalid_argument(message: str, name: str, value: Any) -> ApiError:
    return s3_error("InvalidArgument", message, ArgumentName=name, ArgumentValue=str(value))


def not_found(code: str, message: str, bucket: str) -> ApiError:
    """404s of bucket settings that were never made (NoSuchBucketPolicy, NoSuchTagSet, …)."""
    return ApiError(code, message, 404, fields={"BucketName": bucket})
