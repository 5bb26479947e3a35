"""The race as people see it."""

from __future__ import annotations

import pytest

from synthloom.domain.event import Loss, Notice
from synthloom.domain.race import Heat, Placing, Race, Score
from synthloom.domain.report import Report
from synthloom.reports.losses import losses_svg
from synthloom.reports.race_view import race_line, race_view
from synthloom.reports.render import from_json, to_html, to_json


def scores(area: float) -> dict[str, Score]:
    around = {"low": area - 0.01, "high": area + 0.01}
    return {
        "utility.c2st": Score(value=area, **around), "utility.shape": Score(value=0.98),
        "utility.r2": Score(value=0.61), "privacy.mia_auc": Score(value=0.508, low=0.49, high=0.52),
    }


def heat(method: str, placing: Placing, area: float | None = None, *, number: int = 1, reason: str = "") -> Heat:
    inside = None if area is None else placing != "outside"
    return Heat(
        round=number, method=method, rows=5000, seconds=2.5, placing=placing, inside=inside, reason=reason,
        scores={} if area is None else scores(area),
    )


@pytest.fixture
def race() -> Race:
    return Race(budget=120, seconds=41.0, rows=4000, winner="cart", heats=(
        heat("gaussian_copula", "behind", 0.86), heat("cart", "ahead", 0.63),
        heat("copier", "outside", 0.5, reason="MIA_MAX: 0.9 is above the limit of 0.6."),
        heat("ctgan", "failed", reason="It could not learn these rows: <loss> is nan."),
        heat("cart", "won", 0.547, number=2), heat("ddpm", "late", number=2, reason="There was no time left for it."),
        Heat(round=0, method="tvae", placing="absent", reason="Install it with: pip install 'synthloom[neural]'"),
    ))


def test_every_candidate_has_a_row_with_its_numbers_and_what_became_of_it(report: Report, race: Race) -> None:
    page = to_html(report.model_copy(update={"race": race}))
    section = page.split("<h3>The race</h3>")[1].split("<h3>")[0]
    assert section.count("<tr") == 8
    for text in (
        "4,000 training rows kept apart", "41 s of a budget of 2m", "0.547", "0.537 to 0.557", "0.610", "2.5 s",
        "Inside the limits; went on.", "Outside the limits. MIA_MAX: 0.9 is above", "&lt;loss&gt; is nan",
        "Too slow. There was no time left", "Not installed. Install it with", ">chosen<",
    ):
        assert text in section, text
    assert "DCR share</th>" not in section  # nobody was measured by it
    assert "<h3>The race</h3>" not in to_html(report)


def test_the_terminals_line_names_the_winner_and_the_others_by_their_last_numbers(report: Report, race: Race) -> None:
    line = race_line(report.model_copy(update={"race": race}))
    assert line.startswith("Chosen in a race of 41 s: cart 0.547 before copier 0.500, gaussian_copula 0.860")
    assert race_line(report) == ""
    assert race_line(report.model_copy(update={"race": race.model_copy(update={"winner": None})})) == ""
    assert race_view(None) is None


def test_heats_stand_in_the_table_and_not_among_the_notes(report: Report, race: Race) -> None:
    notices = (Notice(code="heat", message="cart after 5,000 rows"), Notice(code="merged", message="labels merged"))
    page = to_html(report.model_copy(update={"race": race, "notices": notices}))
    assert "labels merged" in page
    assert "cart after 5,000 rows" not in page


def test_a_report_with_a_race_is_read_back_equal(report: Report, race: Race) -> None:
    whole = report.model_copy(update={"race": race})
    assert from_json(to_json(whole)) == whole


def test_losses_are_drawn_with_a_text_that_says_the_same(report: Report) -> None:
    losses = [Loss(name="train", iteration=i, value=1 + 1 / (i + 1)) for i in range(50)]
    losses += [Loss(name="validation", iteration=10 * i, value=1.2 + 1 / (i + 1)) for i in range(5)]
    page = to_html(report.model_copy(update={"losses": tuple(losses)}))
    figure = page.split("<h3>Training</h3>")[1].split("</figure>")[0]
    assert "<title" in figure
    assert "train begins at 2 and ends at 1.02; its least is 1.02 at step 49" in figure
    assert "validation begins at 2.2 and ends at 1.4" in figure
    assert figure.count('class="real-line"') == figure.count('class="synthetic-line"') == 1


def test_parts_that_are_trained_apart_have_charts_of_their_own() -> None:
    names = ["train", "validation", "train_prior", "validation_prior", "train (numbers)", "critic", "generator"]
    charts = losses_svg([Loss(name=n, iteration=i, value=i / 9) for n in names for i in range(5)], "x")
    assert [chart.count('class="real-line"') for chart in charts] == [1, 1, 1]
    assert [chart.count('class="synthetic-line"') for chart in charts] == [1, 1, 0]
    assert "Training losses: prior" in charts[1]
    assert "Training losses: numbers" in charts[2]
    assert losses_svg([], "x") == []
    assert losses_svg([Loss(name="train", iteration=0, value=float("nan"))], "x") == []
