"""Who makes a method: the order of backends, what may not be, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest

from methods_for_tests import KNOWN, IndependentMarginals, MarginalsParams
from synthloom.backends.desk import make_backends
from synthloom.domain.errors import (
    BackendError,
    FitError,
    MissingDependencyError,
    ParamsError,
    PrivacyError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import Fallback, Notice
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.run import DPRequest, RunRequest
from synthloom.engine import execute_pipeline
from synthloom.registry import Backend, Backends, backend_methods, choose_method, create_synthesizer
from synthloom.settings import Settings
from synthloom.tables.dataset import Dataset
from synthloom.testing.example_tables import mixed

ABSENT = MissingDependencyError("SynthCity is not installed.", do="Run `synthloom backends install synthcity`.")


class Elsewhere(Backend):
    """A backend whose methods are the tests' own under other names; each may refuse to learn."""

    def __init__(self, name, having, *, error=None, refuses=None, claims=()):
        self.name, self.title, self._having, self._error, self._refuses = name, name.title(), having, error, refuses
        self._claims = claims

    def unavailable(self):
        return self._error

    def names(self):
        return tuple(self._having)

    def method(self, name):
        if name not in self._having:
            raise UnknownNameError(f"{self.title} has no method {name!r}.")
        return self._made(name)

    def methods(self):
        return {name: self._made(name) for name in self._having}

    def listed(self):
        return self.methods(), {}

    def _made(self, name):
        outer = self
        claim = "it states an epsilon that it does not keep." if name in self._claims else ""

        class Made(IndependentMarginals):
            info = IndependentMarginals.info.__class__(name=name, title=name, summary="", paper="", claim=claim)
            backend = outer.name
            savable = False
            Params = type("MadeParams", (MarginalsParams,), {"__annotations__": {"epochs": int}, "epochs": 3})

            def fit(self, *args, **kwargs):
                if outer._refuses is not None:
                    raise outer._refuses
                return super().fit(*args, **kwargs)

        return Made


def desk(*, city=("marginals", "dpgan"), city_error=None, sdv=("marginals",), sdv_error=None, refuses=None, **more):
    others = {
        "synthcity": Elsewhere("synthcity", city, error=city_error, refuses=refuses, claims=("dpgan",)),
        "sdv": Elsewhere("sdv", sdv, error=sdv_error),
    }
    return Backends(**({"order": ("synthcity", "native", "sdv")} | more), others=others)


def choose(name, backend="auto", **options):
    return choose_method(name, backend, known=KNOWN, **options)


def test_the_first_backend_of_the_order_that_has_the_method_makes_it():
    choice = choose("marginals", backends=desk())
    assert choice.method.backend == "synthcity"
    assert choice.events == (
        Notice(code="backend", message="marginals is made by Synthcity, first in the order."),
    )


def test_nobody_misses_a_backend_that_was_never_installed_unless_a_person_set_the_order():
    quiet = choose("marginals", backends=desk(city_error=ABSENT))
    assert (quiet.method.backend, quiet.events) == ("native", ())
    assert quiet.reason == "SynthCity is not installed"
    for asked in (choose("im", backends=desk(city_error=ABSENT, asked=True)),
                  choose("im", "synthcity,native", backends=desk(city_error=ABSENT))):
        assert [type(e) for e in asked.events] == [Fallback]
        assert asked.events[0].used == "marginals by native"
        assert "backends install synthcity" in asked.events[0].reason


def test_a_method_that_the_first_backend_lacks_is_made_by_the_next_and_the_step_is_told():
    choice = choose("marginals", backends=desk(city=("adsgan",)))
    assert choice.method.backend == "native"
    assert choice.events == (
        Fallback(wanted="marginals by synthcity", used="marginals by native",
                 reason="Synthcity has no method 'marginals'."),
    )


def test_a_broken_backend_is_a_step_down_that_is_told():
    broken = BackendError("its interpreter is half installed.")
    choice = choose("marginals", backends=desk(city_error=broken))
    assert [e.reason for e in choice.events] == ["its interpreter is half installed."]


def test_a_backend_asked_for_by_name_makes_it_or_nobody():
    assert choose("im", "sdv", backends=desk()).method.backend == "sdv"
    assert choose("im", "sdv", backends=desk()).events[0].message == "marginals is made by Sdv, as asked for."
    assert choose("sdv:im", backends=desk()).method.backend == "sdv"
    with pytest.raises(MissingDependencyError, match="not installed"):
        choose("marginals", "synthcity", backends=desk(city_error=ABSENT))
    with pytest.raises(UnknownNameError, match="no method 'cart'"):
        choose("cart", "sdv", backends=desk())
    with pytest.raises(UsageError, match="names the backend sdv"):
        choose("sdv:marginals", "native", backends=desk())
    with pytest.raises(UnknownNameError, match=r"'synthcty'.*Did you mean synthcity"):
        choose("marginals", "synthcty", backends=desk())


def test_only_one_backend_may_be_allowed():
    only = desk(only="synthcity", city=("adsgan",))
    with pytest.raises(UnknownNameError, match="Synthcity has no method 'marginals'"):
        choose("marginals", backends=only)
    with pytest.raises(UsageError, match="USE_SYNTHCITY_ONLY"):
        choose("marginals", "native", backends=only)
    with pytest.raises(MissingDependencyError, match="not installed"):
        choose("marginals", backends=desk(only="synthcity", city_error=ABSENT))
    assert list(backend_methods("auto", backends=only)) == ["adsgan"]


def test_choosing_among_methods_stays_native_unless_a_backend_is_named():
    assert backend_methods("auto", known=KNOWN, backends=desk()) == KNOWN
    assert {m.backend for m in backend_methods("sdv", known=KNOWN, backends=desk()).values()} == {"sdv"}
    with pytest.raises(MissingDependencyError):
        backend_methods("synthcity", known=KNOWN, backends=desk(city_error=ABSENT))


def test_differential_privacy_never_goes_to_a_backend_that_cannot_give_it():
    strict, loose = DPRequest(epsilon=1), DPRequest(epsilon=1, strict=False)
    with pytest.raises(PrivacyError, match="dpgan of synthcity gives no differential privacy: it states an epsilon"):
        choose("dpgan", backends=desk(), dp=strict)
    heard = []
    made = create_synthesizer("dpgan", dp=loose, backends=desk(), known=KNOWN, emit=heard.append)
    assert made.backend == "synthcity"
    assert heard[-1].used == "no formal guarantee"
    assert "does not keep" in heard[-1].reason


class Private(IndependentMarginals):
    """Keeps differential privacy, or says so: enough to see who is asked."""

    info = IndependentMarginals.info.__class__(name="quiet", title="Quiet", summary="", paper="", dp=True)


@pytest.mark.parametrize(("allowed", "made_by"), [(None, "native"), (("native",), "native"), ((), None),
                                                 (("synthcity",), None)])
def test_a_setting_says_who_may_serve_differential_privacy(allowed, made_by):
    known, strict = KNOWN | {"quiet": Private}, DPRequest(epsilon=1)
    backends = desk(private=allowed, city=("quiet", "marginals"))
    if made_by:
        assert choose_method("quiet", known=known, backends=backends, dp=strict).method.backend == made_by
        assert "quiet" in backend_methods("auto", known=known, backends=backends, dp=strict)
        return
    with pytest.raises(PrivacyError, match="DP_BACKEND"):
        choose_method("quiet", known=known, backends=backends, dp=strict)
    with pytest.raises(PrivacyError, match="DP_BACKEND"):
        backend_methods("auto", known=known, backends=backends, dp=strict)
    loose = DPRequest(epsilon=1, strict=False)  # goes on, with those that promise nothing
    assert choose_method("quiet", known=known, backends=backends, dp=loose).method.backend == "synthcity"
    assert "quiet" not in backend_methods("auto", known=known, backends=backends, dp=loose)
    with pytest.raises(PrivacyError, match="DP_BACKEND"):
        choose_method("quiet", "native", known=known, backends=backends, dp=loose)
    assert choose_method("quiet", "native", known=known, backends=backends).method is Private  # nobody asked for it


@pytest.mark.parametrize(("value", "private"), [
    (None, None), ("any", None), ("none", ()), ("custom", ("native",)), ("native", ("native",)),
    ("synthcity", ("synthcity",)),
])
def test_the_environment_says_who_may_serve_differential_privacy(value, private):
    assert make_backends(Settings.from_environment({"DP_BACKEND": value} if value else {})).private == private


def test_a_reader_is_not_told_of_absent_backends_that_never_had_the_method():
    choice = choose("marginals", backends=desk(city=("adsgan",), city_error=ABSENT))
    assert (choice.method.backend, choice.reason, choice.events) == ("native", "", ())


def test_a_method_known_to_a_backend_that_is_absent_says_how_to_get_it():
    with pytest.raises(MissingDependencyError, match="backends install synthcity"):
        choose("dpgan", backends=desk(city_error=ABSENT))
    with pytest.raises(UnknownNameError, match=r"'dpgn'.*Did you mean dpgan"):
        choose("dpgn", backends=desk(city_error=ABSENT))


def test_parameters_go_by_any_of_their_known_names_and_misspelt_ones_are_told():
    made = create_synthesizer("marginals", {"n_iter": 7}, backends=desk(), known=KNOWN)
    assert made.params.epochs == 7
    with pytest.raises(ParamsError, match=r"'n_itr'.*marginals of synthcity.*|marginals of synthcity.*'n_itr'.*n_iter"):
        create_synthesizer("marginals", {"n_itr": 7}, backends=desk(), known=KNOWN)
    with pytest.raises(ParamsError, match="are the same parameter"):
        create_synthesizer("marginals", {"n_iter": 7, "epochs": 3}, backends=desk(), known=KNOWN)


def carry(request, backends):
    example = mixed(120)
    heard = []
    result = execute_pipeline(
        Dataset(example.table, example.schema, "t", "0"), request, np.random.default_rng(1), heard.append, known=KNOWN,
        metrics=(), backends=backends,
    )
    return result, heard


def test_a_run_says_who_made_its_rows():
    result, _ = carry(RunRequest(method="marginals", thresholds=()), desk())
    assert (result.report.meta.model, result.report.meta.backend) == ("marginals", "synthcity")
    assert result.report.plan.backend == "synthcity"
    assert [n.code for n in result.report.notices if n.code == "backend"] == ["backend"]
    assert isinstance(result.report.guarantee, NoGuarantee)


@pytest.mark.parametrize("error", [BackendError("it broke."), FitError("it could not learn.")])
def test_a_backend_that_cannot_learn_the_table_gives_way_to_the_next(error):
    result, _ = carry(RunRequest(method="marginals", thresholds=()), desk(refuses=error))
    assert result.report.meta.backend == "native"
    assert [f.reason for f in result.report.fallbacks] == [error.text()]
    with pytest.raises(type(error)):
        carry(RunRequest(method="marginals", backend="synthcity", thresholds=()), desk(refuses=error))


def test_auto_takes_native_methods_and_those_of_a_backend_that_is_named():
    assert carry(RunRequest(thresholds=()), desk())[0].report.meta.backend == "native"
    assert carry(RunRequest(backend="sdv", thresholds=()), desk())[0].report.meta.backend == "sdv"


def test_a_budget_that_a_backend_cannot_keep_is_told():
    result, _ = carry(RunRequest(method="marginals", backend="sdv", budget=30, thresholds=()), desk())
    told = [n.message for n in result.report.notices if n.code == "budget"]
    assert "marginals by sdv cannot plan its time" in told[0]
