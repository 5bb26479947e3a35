"""SDV as a backend: its single-table synthesizers, where its licence allows."""

from __future__ import annotations

from pathlib import Path

from synthloom.backends.outsider import Outsider
from synthloom.backends.specs import BackendSettings
from synthloom.domain.errors import ForbiddenError


class Sdv(Outsider):
    """SDV's synthesizers. Missing cells go over as labels and marks: its own way loses how they hang together.

    Args:
        settings: Where its interpreter is, and the limits of an attempt.
        hosted: Whether this is a service for others, which its licence forbids without a contract.
        licensed: Whether the operator has that contract.
        python: Another interpreter than the installed one.
        host: Another script than its own.
    """

    def __init__(
        self, settings: BackendSettings, *, hosted: bool = False, licensed: bool = False,
        python: Path | None = None, host: Path | None = None,
    ) -> None:
        refused = ForbiddenError(
            "SDV's licence (BUSL-1.1) forbids offering it as a service, and this server's operator has declared no "
            "other one.", where="backend sdv",
            do="Choose another backend; an operator with a licence sets SYNTHLOOM_SDV_LICENSED.",
        ) if hosted and not licensed else None
        super().__init__("sdv", settings, refused=refused, python=python, host=host)
