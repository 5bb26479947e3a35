"""The one tree of errors.

Every error says what was wrong (with the offending value, unless it is the person's data), where, and what to do.
`code` is stable and machine-readable; `http_status` and `exit_code` are what the doors answer with.
Texts never carry a cell's content: a row number and a column name locate it, the table itself stays private.
"""

from __future__ import annotations

from typing import ClassVar


class SynthloomError(Exception):
    """Base of every error a person can meet.

    Args:
        what: What was wrong, one sentence.
        where: The file, column, row or setting it concerns, if any.
        do: What the person can do about it.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str | None = None, do: str | None = None) -> None:
        self.what = what
        self.where = where
        self.do = do
        super().__init__(self.text())

    def text(self) -> str:
        """The whole message on one line: ``where: what. do``."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} {self.do}" if self.do else head

    def as_dict(self) -> dict[str, str | None]:
        """The message for a script: code, what, where, do."""
        return {"code": self.code, "what": self.what, "where": self.where, "do": self.do}


class UsageError(SynthloomError):
    """A door was used wrongly: an unknown option value, a contradictory request."""

    code = "usage"
    http_status = 422
    exit_code = 2


class ParamsError(UsageError):
    """A method's or step's parameter is unknown or out of bounds."""

    code = "params"


class UnknownNameError(UsageError):
    """A method, metric, refinement or column name nobody answers to."""

    code = "unknown_name"
    http_status = 404


class InputError(SynthloomError):
    """The table or a file given cannot be used as it is."""

    code = "input"
    http_status = 422
    exit_code = 3


class TableError(InputError):
    """The table cannot be read, or what it holds cannot be modelled."""

    code = "table"


class SchemaError(InputError):
    """The schema file or override contradicts itself or the table."""

    code = "schema"


class ModelFileError(InputError):
    """A model file is damaged, tampered with, or of a version this release does not read."""

    code = "model_file"


class MissingDependencyError(SynthloomError):
    """Something optional that this request needs is not installed."""

    code = "missing_dependency"
    http_status = 501
    exit_code = 5


class PrivacyError(SynthloomError):
    """A privacy promise was asked for that cannot be honoured."""

    code = "privacy"
    http_status = 422
    exit_code = 6


class FitError(SynthloomError):
    """A method could not learn from the table it was given."""

    code = "fit"
    http_status = 422
    exit_code = 7


class ContractError(SynthloomError):
    """A method, metric or backend broke its contract: a defect in it, not in the person's table."""

    code = "contract"


class OutputError(SynthloomError):
    """A result could not be written where it was asked for."""

    code = "output"
    exit_code = 8


class CancelledError(SynthloomError):
    """The run was cancelled; not a failure."""

    code = "cancelled"
    http_status = 409
    exit_code = 130


class ConflictError(SynthloomError):
    """The object's present state does not allow it."""

    code = "conflict"
    http_status = 409
    exit_code = 9


class LeaseLostError(SynthloomError):
    """Somebody else holds this run now, or it has ended; what was to be written is refused."""

    code = "lease_lost"
    http_status = 409
    exit_code = 9


class StorageUnavailableError(SynthloomError):
    """The database or the object store cannot be reached; trying again later may help."""

    code = "unavailable"
    http_status = 503
    exit_code = 10


class AuthError(SynthloomError):
    """Nobody said who is asking, or the key or token is not valid."""

    code = "unauthorized"
    http_status = 401
    exit_code = 11


class ForbiddenError(SynthloomError):
    """Whoever asks may not do this: a scope is missing, or a form lacks its token."""

    code = "forbidden"
    http_status = 403
    exit_code = 11


class TooLargeError(TableError):
    """What was given is larger than is taken here."""

    code = "too_large"
    http_status = 413


class RateLimitError(SynthloomError):
    """Too many requests in too short a time."""

    code = "rate_limit"
    http_status = 429
    exit_code = 12


class BackendError(SynthloomError):
    """A backend's interpreter is missing, broken, or its attempt ended without a result."""

    code = "backend"
    http_status = 502
    exit_code = 13


class ResourceError(SynthloomError):
    """A run used more memory or time than it may."""

    code = "resource"
    http_status = 422
    exit_code = 14
