"""The environment becomes settings, or an error that names the variable."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from synthloom.domain.errors import UsageError
from synthloom.domain.run import DEFAULT_THRESHOLDS
from synthloom.settings import Settings, likely_misspelt, variables


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings.thresholds == DEFAULT_THRESHOLDS
    assert settings.privacy == "default"
    assert Settings.from_environment({"KS_MAX": "", "CORR_MAX": "  "}) == settings


def test_every_threshold_can_be_set() -> None:
    names = {t.name for t in DEFAULT_THRESHOLDS}
    settings = Settings.from_environment(dict.fromkeys(names, "0.25"))
    assert {t.name: t.limit for t in settings.thresholds} == dict.fromkeys(names, 0.25)


def test_every_variable_is_described() -> None:
    assert {"KS_MAX", "CORR_MAX", "MIA_MAX", "DUP_MAX", "SYNTHLOOM_OUT"} <= set(variables())
    assert all(text.endswith(".") for text in variables().values())


@pytest.mark.parametrize(
    ("name", "value"),
    [("KS_MAX", "a lot"), ("KS_MAX", "2"), ("MIA_MAX", "-1"), ("DUP_MAX", "nan"), ("SYNTHLOOM_PRIVACY", "medium"),
     ("SYNTHLOOM_HOLDOUT", "1"), ("SYNTHLOOM_MAX_ATTEMPTS", "0"), ("SYNTHLOOM_MAX_ATTEMPTS", "2.5")],
)
def test_a_bad_value_names_the_variable_and_the_value(name: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.from_environment({name: value})
    assert name in (caught.value.where or "")
    assert value in caught.value.what
    assert caught.value.do


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings.from_environment({}).ks_max = 0.5


def test_misspelt_variables_are_found_and_foreign_ones_left_alone() -> None:
    environ = {"SYNTHLOOM_HOLDOT": "0.1", "SYNTHLOOM_SERVICE_HOST": "10.0.0.1", "SYNTHLOOM_OUT": "x", "PATH": "/bin"}
    assert likely_misspelt(environ) == {"SYNTHLOOM_HOLDOT": "SYNTHLOOM_HOLDOUT"}
