"""Every ledger keeps every promise."""

from __future__ import annotations

import pytest

from synthloom.adapters.ledger_memory import MemoryLedger
from synthloom.testing.check_ledger import LEDGER_CHECKS

every_check = pytest.mark.parametrize("check", LEDGER_CHECKS, ids=lambda check: check.name)


@every_check
def test_memory(check):
    check.run(MemoryLedger)
