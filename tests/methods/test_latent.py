"""The copula's latent normal variables, against closed forms, quadrature, simulation and published examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from synthloom.domain.errors import CancelledError
from synthloom.domain.event import never
from synthloom.methods._latent import (
    TERMS,
    conditional_normal,
    latent_correlations,
    nearest_correlation,
    principal_order,
    slice_scores,
    truncated_normal,
)

INF = np.inf
SHARES = [np.array([1, 1]), np.array([90, 10]), np.array([3, 40, 1, 200, 17]), np.array([999_999, 1])]


# Scores


@pytest.mark.parametrize("shares", SHARES, ids=str)
def test_scores_and_hermite_coefficients_agree_with_quadrature(shares):
    score, coefficients, borders = slice_scores(shares)
    assert borders[1:-1] == pytest.approx(stats.norm.ppf(np.cumsum(shares)[:-1] / shares.sum()))
    expected = np.zeros(TERMS)
    for s, share, low, high in zip(score, shares, borders[:-1], borders[1:], strict=True):
        inside = max(low, -12), min(high, 12)
        mean = integrate.quad(lambda z: z * stats.norm.pdf(z), *inside)[0] / (share / shares.sum())
        assert s == pytest.approx(mean, abs=1e-7)
        for k in (1, 2, 3, 8, TERMS):
            term = special.hermitenorm(k)
            size = np.sqrt(special.factorial(k))
            area = integrate.quad(lambda z, t=term, c=size: t(z) * stats.norm.pdf(z) / c, *inside, limit=200)
            expected[k - 1] += s * area[0]
    at = np.array([1, 2, 3, 8, TERMS]) - 1
    assert coefficients[at] == pytest.approx(expected[at], abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=300))
def test_scores_rise_have_mean_0_and_at_most_the_variable_s_variance(shares):
    shares = np.array(shares, dtype=np.int64)
    score, coefficients, _ = slice_scores(shares)
    assert len(score) == len(shares)
    assert np.isfinite(score).all()
    assert np.isfinite(coefficients).all()
    if shares.sum():
        assert (score * shares).sum() / shares.sum() == pytest.approx(0, abs=1e-9)
        assert (np.diff(score[shares > 0]) > 0).all()
        variance = (score**2 * shares).sum() / shares.sum()
        assert variance <= 1 + 1e-9
        assert (coefficients**2).sum() <= variance + 1e-9  # Bessel's inequality


def test_one_slice_or_none_says_nothing():
    for shares in (np.zeros(0), np.array([7]), np.zeros(3)):
        score, coefficients, borders = slice_scores(shares)
        assert not score.any()
        assert not coefficients.any()
        assert borders.tolist() == [-INF, INF]


# Latent correlations


def pair(first, second, covariance) -> float:
    (one, a, _), (two, b, _) = slice_scores(first), slice_scores(second)
    own = [(one**2 * first).sum() / first.sum(), (two**2 * second).sum() / second.sum()]
    matrix = np.array([[own[0], covariance], [covariance, own[1]]])
    return float(latent_correlations(matrix, np.stack([a, b]))[0, 1])


@pytest.mark.parametrize("rho", [-0.8, -0.5, 0.0, 0.1, 0.5, 0.8])
def test_halves_have_the_tetrachoric_correlation_of_the_arc_sine_law(rho):
    half = np.array([1, 1])
    both = 0.25 + np.arcsin(rho) / (2 * np.pi)  # P(z1 > 0, z2 > 0)
    covariance = 2 / np.pi * (4 * both - 1)
    assert pair(half, half, covariance) == pytest.approx(rho, abs=1e-3)


@pytest.mark.parametrize("rho", [-0.7, -0.2, 0.3, 0.7])
@pytest.mark.parametrize(("p", "q"), [(0.2, 0.5), (0.9, 0.7), (0.03, 0.4)])
def test_any_two_by_two_table_has_its_tetrachoric_correlation(rho, p, q):
    first, second = np.array([1 - p, p]), np.array([1 - q, q])
    cuts = stats.norm.ppf([1 - p, 1 - q])
    low = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf(cuts)
    cells = np.array([[low, 1 - p - low], [1 - q - low, p + q - 1 + low]])
    covariance = slice_scores(first)[0] @ cells @ slice_scores(second)[0]
    assert pair(first, second, covariance) == pytest.approx(rho, abs=2e-3)


@pytest.mark.parametrize("rho", [-0.85, 0.4, 0.9])
def test_simulated_tables_give_their_polychoric_correlation_back(rho):
    rng = np.random.default_rng(3)
    n = 200_000
    z = rng.standard_normal((n, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T
    first, second = np.digitize(z[:, 0], [-1.5, 0, 0.3]), np.digitize(z[:, 1], [-0.5, 0.1, 1, 2])
    shares = np.bincount(first), np.bincount(second)
    covariance = (slice_scores(shares[0])[0][first] * slice_scores(shares[1])[0][second]).mean()
    assert pair(*shares, covariance) == pytest.approx(rho, abs=0.01)
    plain = np.corrcoef(first, second)[0, 1]
    assert abs(plain) < abs(rho) - 0.02  # what slicing alone would have lost


def test_correlations_stay_within_bounds_whatever_the_covariance():
    half = np.array([1, 1])
    assert pair(half, half, 5.0) == pytest.approx(0.995, abs=1e-6)
    assert pair(half, half, -5.0) == pytest.approx(-0.995, abs=1e-6)
    assert pair(half, np.array([9]), 0.0) == 0


def test_many_variables_give_what_each_pair_gives():
    rng = np.random.default_rng(0)
    v, n = 75, 400
    codes = np.digitize(rng.standard_normal((n, 3)) @ rng.standard_normal((3, v)), [-1, 0, 1])
    shares = [np.bincount(codes[:, j], minlength=4) for j in range(v)]
    made = [slice_scores(s) for s in shares]
    scores = np.stack([m[0][codes[:, j]] for j, m in enumerate(made)], axis=1)
    covariance = scores.T @ scores / n
    rho = latent_correlations(covariance, np.stack([m[1] for m in made]))
    assert np.array_equal(rho, rho.T)
    assert (np.diag(rho) == 1).all()
    for i, j in rng.integers(0, v, (20, 2)):
        if i != j:
            assert rho[i, j] == pytest.approx(pair(shares[i], shares[j], covariance[i, j]), abs=1e-6)


# The nearest correlation matrix


def test_nearest_correlation_agrees_with_higham_s_examples():
    # Higham (2002): the 3 x 3 example; the 4 x 4 one is in the manual of NAG's g02aa
    small = nearest_correlation(np.array([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]]))
    assert small[0, 1] == pytest.approx(0.7607, abs=1e-4)
    assert small[0, 2] == pytest.approx(0.1573, abs=1e-4)
    near = nearest_correlation(np.diag([1.0] * 4) - np.diag([1.0] * 3, 1) - np.diag([1.0] * 3, -1))
    assert near[0, 1:] == pytest.approx([-0.8084, 0.1916, 0.1068], abs=1e-4)
    assert near[1, 2] == pytest.approx(-0.6562, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(0, 10**6))
def test_nearest_correlation_is_a_correlation_matrix_near_by(v, seed):
    rng = np.random.default_rng(seed)
    wild = np.triu(rng.uniform(-1, 1, (v, v)), 1)
    wild = wild + wild.T + np.eye(v)
    near = nearest_correlation(wild)
    assert np.array_equal(near, near.T)
    assert np.diag(near) == pytest.approx(np.ones(v))
    if v:
        assert np.linalg.eigvalsh(near).min() > 0
        assert np.linalg.norm(near - wild) <= np.linalg.norm(np.eye(v) - wild) + 1e-9
        assert nearest_correlation(near) == pytest.approx(near, abs=1e-6)


def test_a_correlation_matrix_stays_as_it_is():
    good = np.array([[1, 0.5, -0.2], [0.5, 1, 0.1], [-0.2, 0.1, 1]])
    assert nearest_correlation(good) == pytest.approx(good, abs=1e-12)


def test_cancel_is_asked_for_while_matrices_are_worked_on():
    wild = np.array([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]])
    with pytest.raises(CancelledError):
        nearest_correlation(wild, cancelled=lambda: True)
    with pytest.raises(CancelledError):
        latent_correlations(wild, np.ones((3, TERMS)), lambda: True)


# Truncated draws


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (0.5, INF), (-INF, -2), (3, 3.5), (6, 8), (-9, -7.5), (-INF, INF)])
def test_one_truncated_variable_has_its_closed_form_mean_and_variance(low, high):
    n = 20_000
    draws = truncated_normal(
        np.eye(1), np.full((n, 1), float(low)), np.full((n, 1), float(high)), np.random.default_rng(0), never
    )[:, 0]
    a, b = max(low, -40), min(high, 40)
    area = stats.norm.cdf(b) - stats.norm.cdf(a) if a < 0 else stats.norm.sf(a) - stats.norm.sf(b)
    mean = (stats.norm.pdf(a) - stats.norm.pdf(b)) / area
    variance = 1 + (a * stats.norm.pdf(a) - b * stats.norm.pdf(b)) / area - mean**2
    assert draws.min() >= low
    assert draws.max() <= high
    assert draws.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(variance / n))
    assert draws.var() == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize("rho", [-0.5, 0.6, 0.9])
def test_two_truncated_variables_agree_with_rejection(rho):
    rng = np.random.default_rng(1)
    correlation = np.array([[1, rho], [rho, 1]])
    many = rng.standard_normal((1_500_000, 2)) @ np.linalg.cholesky(correlation).T
    truth = many[(many[:, 0] > 0.3) & (many[:, 1] > -1) & (many[:, 1] < 0.2)]
    n = 20_000
    low, high = np.tile([0.3, -1.0], (n, 1)), np.tile([INF, 0.2], (n, 1))
    draws = truncated_normal(correlation, low, high, rng, never)
    assert (draws >= low).all()
    assert (draws <= high).all()
    error = np.sqrt(truth.var(axis=0) * (1 / n + 1 / len(truth)))
    assert (np.abs(draws.mean(axis=0) - truth.mean(axis=0)) < 4.5 * error).all()
    assert np.cov(draws.T) == pytest.approx(np.cov(truth.T), abs=0.02)


def test_points_stay_and_contradictions_stay_finite():
    n = 200
    correlation = np.array([[1, 0.999, 0], [0.999, 1, 0], [0, 0, 1]])
    low = np.tile([7.0, -8.0, 1.25], (n, 1))
    high = np.tile([8.0, -7.0, 1.25], (n, 1))
    draws = truncated_normal(correlation, low, high, np.random.default_rng(0), never)
    assert (draws[:, 2] == 1.25).all()
    assert ((draws >= low) & (draws <= high)).all()


def test_a_truncated_draw_can_be_cancelled():
    with pytest.raises(CancelledError):
        truncated_normal(np.eye(2), np.zeros((9, 2)), np.ones((9, 2)), np.random.default_rng(0), lambda: True)


def test_other_variables_have_the_conditional_normal_distribution():
    rng = np.random.default_rng(2)
    root = rng.standard_normal((4, 6))
    covariance = root @ root.T
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    fixed = np.array([True, False, True, False])
    given_values = np.array([0.7, -1.2])
    n = 60_000
    draws = conditional_normal(correlation, fixed, np.tile(given_values, (n, 1)), rng)
    inside = np.linalg.inv(correlation[np.ix_(fixed, fixed)])
    across = correlation[np.ix_(~fixed, fixed)]
    mean = across @ inside @ given_values
    spread = correlation[np.ix_(~fixed, ~fixed)] - across @ inside @ across.T
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.02)
    assert np.cov(draws.T) == pytest.approx(spread, abs=0.02)


def test_with_nothing_or_everything_fixed_conditional_draws_have_the_right_shape():
    rng = np.random.default_rng(0)
    assert conditional_normal(np.eye(3), np.zeros(3, dtype=bool), np.zeros((5, 0)), rng).shape == (5, 3)
    assert conditional_normal(np.eye(3), np.ones(3, dtype=bool), np.zeros((5, 3)), rng).shape == (5, 0)


# Order of labels


def test_labels_are_ordered_by_what_they_say_of_the_other_columns():
    rng = np.random.default_rng(5)
    z = rng.standard_normal(4000)
    shuffled = np.array([3, 0, 4, 1, 2])  # the label of each fifth of the line
    label = shuffled[np.digitize(z + 0.3 * rng.standard_normal(4000), [-1, -0.3, 0.3, 1])]
    number = np.digitize(z + 0.3 * rng.standard_normal(4000), np.linspace(-2, 2, 15))
    codes = np.stack([label, number], axis=1).astype(np.int32)
    counts = [np.r_[np.bincount(c), 0, 0] for c in codes.T]
    score = principal_order(codes, counts, [np.ones(4000, dtype=bool)] * 2, [True, False], never)[0]
    order = np.argsort(score).tolist()
    assert order in (shuffled.tolist(), shuffled.tolist()[::-1])
