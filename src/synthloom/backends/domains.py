"""Plugins that learn from several sources at once: rows of one table, told apart by a column that names the source."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from synthloom.backends.foreign import Foreign, ForeignParams
from synthloom.domain.errors import FitError
from synthloom.domain.schema import Schema

DOMAINS = "domain_adaptation"
"""The kind of these plugins."""


class DomainParams(ForeignParams):
    """What is asked for beside the plugin's own parameters."""

    domain: str | None = Field(None, description="The column of labels that names the source of each row.")


class ForeignDomains(Foreign):
    """A plugin for rows of several sources, such as hospitals."""

    base_params: ClassVar[type[ForeignParams]] = DomainParams

    def _check(self, schema: Schema) -> None:
        """FitError where no column of labels is named."""
        super()._check(schema)
        name = self.params.domain
        labels = [c.name for c in schema.modelled if c.kind.is_discrete]
        if name is None or name not in labels:
            given = "no column names" if name is None else f"{name!r} is no column of labels, so nothing names"
            raise FitError(
                f"{given} the source of each row.", where=f"method {self.info.name}",
                do=f"Name one: --param domain=COLUMN. Columns of labels: {', '.join(labels[:20]) or 'none'}.",
            )

    def _request(self, way: Any, schema: Schema, rng: np.random.Generator) -> dict[str, Any]:
        return super()._request(way, schema, rng) | {"domain": way.name_of(self.params.domain)}
