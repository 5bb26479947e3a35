"""Names and who answers to them."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from methods_for_tests import KNOWN, IndependentMarginals
from synthloom.domain.errors import (
    ContractError,
    MissingDependencyError,
    ParamsError,
    PrivacyError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import Fallback
from synthloom.domain.run import DPRequest
from synthloom.registry import (
    create_synthesizer,
    load_entry_points,
    methods,
    metrics,
    resolve_method,
)

GROUP = "synthloom.methods"


def point(name, value="methods_for_tests:IndependentMarginals"):
    return EntryPoint(name, value, GROUP)


@pytest.mark.parametrize("name", ["marginals", "Marginals", " im ", "IM"])
def test_a_method_answers_to_its_name_and_its_aliases(name):
    assert resolve_method(name, KNOWN) is IndependentMarginals


def test_an_unknown_method_is_told_with_the_closest_names():
    with pytest.raises(UnknownNameError, match=r"'marginls'.*Did you mean marginals\?.*Methods: marginals"):
        resolve_method("marginls", KNOWN)


def test_the_methods_of_this_package_are_found():
    assert {"cart", "gaussian_copula"} <= methods().keys()
    assert resolve_method("gc") is methods()["gaussian_copula"]


def test_every_metric_has_a_key_of_its_own():
    keys = [m.info.key for m in metrics()]
    assert len(set(keys)) == len(keys) > 10


def test_entry_points_that_do_not_load_stop_nobody_else(tmp_path, monkeypatch):
    (tmp_path / "explodes_on_import.py").write_text("raise ZeroDivisionError('boom')")
    monkeypatch.syspath_prepend(tmp_path)
    found = load_entry_points([
        point("absent", "no_such_package_at_all:X"), point("exploding", "explodes_on_import:X"),
        point("number", "math:pi"), point("misnamed"), point("marginals"), point("marginals"),
    ])
    assert found.methods == {"marginals": IndependentMarginals}
    assert isinstance(found.broken["absent"], MissingDependencyError)
    assert "entry point absent = no_such_package_at_all:X" in found.broken["absent"].text()
    assert "ZeroDivisionError: boom" in found.broken["exploding"].text()
    assert "no subclass of Method" in found.broken["number"].text()
    assert "calls itself 'marginals'" in found.broken["misnamed"].text()
    assert "two packages" in found.broken["marginals"].text()
    assert all(isinstance(e, (MissingDependencyError, ContractError)) for e in found.broken.values())


def test_a_broken_method_asked_for_by_name_says_why(monkeypatch):
    from synthloom import registry

    broken = load_entry_points([point("absent", "no_such_package_at_all:X"), point("marginals")])
    monkeypatch.setattr(registry, "_found", lambda: broken)
    with pytest.raises(MissingDependencyError, match="no_such_package_at_all"):
        resolve_method("absent")
    with pytest.raises(UnknownNameError, match="Not loadable here: absent"):
        resolve_method("nothing")


def test_params_are_typed_and_misspelt_ones_get_a_suggestion():
    made = create_synthesizer("marginals", {"min_support": 9}, known=KNOWN)
    assert made.params.min_support == 9
    with pytest.raises(ParamsError, match=r"'min_suport'.*Did you mean min_support\?"):
        create_synthesizer("marginals", {"min_suport": 9}, known=KNOWN)
    with pytest.raises(ParamsError, match="min_support=0"):
        create_synthesizer("marginals", {"min_support": 0}, known=KNOWN)


def test_the_privacy_level_sets_parameters_and_the_persons_own_stand_over_them():
    assert create_synthesizer("im", privacy="high", known=KNOWN).params.min_support == 20
    assert create_synthesizer("im", {"min_support": 3}, privacy="high", known=KNOWN).params.min_support == 3
    assert create_synthesizer("im", privacy="low", known=KNOWN).privacy_level == "low"
    assert create_synthesizer("im", {"min_support": 3}, known=KNOWN).privacy_level is None


def test_a_class_can_be_given_in_place_of_a_name():
    assert create_synthesizer(IndependentMarginals).method == "marginals"


def test_only_the_backends_of_this_release_are_available():
    assert create_synthesizer("im", known=KNOWN).backend == "native"
    with pytest.raises(UsageError, match="no backend is called 'sdv'"):
        create_synthesizer("im", backend="sdv", known=KNOWN)


def test_differential_privacy_that_cannot_be_given_is_refused_or_a_visible_step_down():
    heard = []
    with pytest.raises(PrivacyError, match="marginals gives no differential privacy"):
        create_synthesizer("im", dp=DPRequest(epsilon=1), emit=heard.append, known=KNOWN)
    assert heard == []
    create_synthesizer("im", dp=DPRequest(epsilon=1, strict=False), emit=heard.append, known=KNOWN)
    assert [type(e) for e in heard] == [Fallback]
    assert heard[0].used == "no formal guarantee"
