"""All metrics, in the order reports show them."""

from __future__ import annotations

from synthloom.metrics.contract import Metric
from synthloom.metrics.detection import c2st, detection_auc
from synthloom.metrics.fairness import freq_skew, rare_coverage
from synthloom.metrics.fidelity import corr_delta, ks_mean, missingness, shape, trend, trend_all
from synthloom.metrics.membership import mia_auc, mia_tpr
from synthloom.metrics.privacy import dcr_share, dup_rate, exact_match_excess
from synthloom.metrics.survival import c_index, survival_km
from synthloom.metrics.utility import auroc, r2

ALL: tuple[Metric, ...] = (
    shape, trend, trend_all, ks_mean, corr_delta, missingness, auroc, r2, c_index, survival_km, c2st, detection_auc,
    mia_auc, mia_tpr, dcr_share, dup_rate, exact_match_excess, rare_coverage, freq_skew,
)
