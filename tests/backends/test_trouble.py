"""What goes wrong around a backend, and what a run makes of it; and what its plugins promise of privacy."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backends_for_tests import desk
from synthloom.backends import _pip
from synthloom.backends.desk import make_backends
from synthloom.backends.names import PLUGINS
from synthloom.backends.specs import folder
from synthloom.domain.errors import BackendError
from synthloom.domain.event import Fallback, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.run import DPRequest, RunRequest
from synthloom.registry import choose_method, create_synthesizer
from synthloom.reports.render import to_html
from synthloom.service import run
from synthloom.settings import Settings


def test_a_disk_that_fills_while_pip_works_is_told_as_that() -> None:
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    full = [sys.executable, "-c", f"print({said!r}); raise SystemExit(1)"]
    with pytest.raises(BackendError, match="the disk is full") as caught:
        _pip.run(full, lambda _line: None, never, where="toy")
    assert caught.value.do == "Make room and install again."


def test_a_half_installed_backend_gives_way_and_the_step_is_told(tmp_path: Path) -> None:
    settings = Settings.from_environment({"SYNTHLOOM_HOME": str(tmp_path)})
    (folder(settings) / "synthcity" / "env-dead" / "bin").mkdir(parents=True)
    choice = choose_method("ctgan", backends=make_backends(settings))
    assert choice.method.backend == "native"
    told = [event for event in choice.events if isinstance(event, Fallback)]
    assert [event.wanted for event in told] == ["ctgan by synthcity"]
    assert "was not finished" in told[0].reason
    with pytest.raises(BackendError, match="was not finished"):
        choose_method("ctgan", "synthcity", backends=make_backends(settings))


def table() -> pd.DataFrame:
    return pd.DataFrame({"age": [20 + i % 40 for i in range(120)], "grade": ["low", "mid", "high"] * 40})


def test_two_runs_at_once_do_not_meet_and_the_failure_of_one_is_its_own() -> None:
    ended: dict[str, Any] = {}

    def work(mood: str) -> None:
        model = create_synthesizer("ctgan", {"mood": mood}, backend="synthcity", backends=desk())
        try:
            ended[mood] = model.fit(table(), seed=3).sample(50, seed=4)
        except BackendError as error:
            ended[mood] = error
        finally:
            model.close()

    threads = [threading.Thread(target=work, args=(mood,)) for mood in ("good", "crashes", "bad")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert "exit status 3" in str(ended["crashes"])
    assert ended["good"].equals(ended["bad"])  # the same seeds, each in an interpreter of its own
    assert len(ended["good"]) == 50


CLAIMS = {
    "dpgan": ["generator also trains on real rows"],
    "pategan": ["student also trains on real rows", "the delta given is discarded"],
    "privbayes": ["noise is smaller than PrivBayes calls for by a factor of the number of rows"],
    "aim": ["spends it afresh each time rows are drawn"],
}
"""What each plugin that states an epsilon does not keep."""


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_plugin_states_and_does_not_keep_is_known(name: str) -> None:
    assert all(part in PLUGINS["synthcity"][name].claim for part in CLAIMS[name])
    assert [key for key, plugin in PLUGINS["synthcity"].items() if plugin.claim] == list(CLAIMS)


def test_a_report_says_first_that_a_plugin_keeps_no_promise_and_why() -> None:
    request = RunRequest(
        method="dpgan", backend="synthcity", dp=DPRequest(epsilon=2, strict=False), max_attempts=1, thresholds=(),
    )
    report = run(table(), request, backends=desk()).report
    assert isinstance(report.guarantee, NoGuarantee)
    assert report.privacy["dp_requested"]
    assert not report.privacy["dp_effective"]
    assert report.guarantee.stated_epsilon == 2
    page = to_html(report)
    for part in CLAIMS["dpgan"]:
        assert part in report.guarantee.why
        assert part in page
    assert "\u03b5 = 2 is stated for the method and not kept" in page
