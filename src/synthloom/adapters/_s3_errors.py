"""What an S3-compatible store answered, in our words. Its own text never gets out: it may name keys and addresses."""

from __future__ import annotations

import re

from synthloom.domain.errors import (
    ConflictError,
    OutputError,
    StorageUnavailableError,
    SynthloomError,
    UnknownNameError,
)

_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")

_REFUSED = {
    "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
    "AuthFailure",
}
_FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"}
_TOO_LARGE = {"EntityTooLarge", "MaxMessageLengthExceeded"}


def explained(error: Exception, bucket: str, key: str, verb: str) -> SynthloomError:
    """The error to raise instead of what obstore raised.

    Args:
        error: Of obstore; an OSError where its writer passed it on.
        bucket: The bucket it was about.
        key: The key; empty where it was about the bucket.
        verb: What could not be done with the object: read, written, removed, listed.
    """
    text = f"{error}"
    found, status = _CODE.search(text), _STATUS.search(text)
    code = found[1] if found else ""
    number = int(status[1]) if status else 0
    kind = type(error).__name__
    where = _where(bucket, key)
    said = code or (f"status {number}" if number else "no answer")
    if code == "NoSuchBucket":
        return StorageUnavailableError("there is no such bucket.", where=where, do="Create it, or name another one.")
    if code == "RequestTimeTooSkewed":
        return StorageUnavailableError(
            "the store says that this machine's clock is wrong.", where=where, do="Set the clock, by NTP if possible.",
        )
    if code in _REFUSED or number in {401, 403} or kind in {"PermissionDeniedError", "UnauthenticatedError"}:
        return StorageUnavailableError(
            f"the store lets these credentials do nothing here ({said}).", where=where,
            do="Check the access key, its secret and what they may do in this bucket.",
        )
    if code in _FULL or number == 507:
        return OutputError("the store is full.", where=where, do="Free some space there, or raise its quota.")
    if code in _TOO_LARGE or number == 413:
        return OutputError("the store takes no object as large as this.", where=where, do="Raise the store's limit.")
    if number == 412 or kind == "PreconditionError":
        return replaced(bucket, key)
    if isinstance(error, FileNotFoundError) and verb == "read":
        return UnknownNameError("there is no such artifact.", where=where, do="List the store to see what it holds.")
    if 400 <= number < 500 and number not in {408, 429}:
        return OutputError(f"the artifact cannot be {verb} ({said}).", where=where, do="Look into the store's log.")
    return StorageUnavailableError(
        f"the store cannot be reached ({said})." if not number else f"the store does not work ({said}).", where=where,
        do="Check its address and that it runs; then try again.",
    )


def replaced(bucket: str, key: str) -> ConflictError:
    """The error of a reader whose artifact is another one now."""
    return ConflictError(
        "the artifact was replaced while it was read.", where=_where(bucket, key), do="Read it again.",
    )


def _where(bucket: str, key: str) -> str:
    return f"bucket {bucket}, key {key}" if key else f"bucket {bucket}"
