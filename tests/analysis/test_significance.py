"""Significance tests against scipy, statsmodels and simulations."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from glore_mm.analysis.dumps import class_iou
from glore_mm.analysis.significance import (
    compare_miou,
    compare_published,
    compare_top1,
    format_difference,
    holm,
    mean_interval,
    paired_seeds,
)
from glore_mm.utils.errors import UserError


def upper_bound(draws, alpha=0.05):
    """Number of false alarms that a correct test exceeds with probability 0.001."""
    return stats.binom.ppf(0.999, draws, alpha)


# ------------------------------------------------------------------- over seeds


def test_paired_t():
    base, other = np.random.default_rng(0).normal([[75], [76]], 0.5, (2, 5)).round(2)
    found = paired_seeds(base, other)
    expected = stats.ttest_rel(other, base)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.value == pytest.approx(other.mean() - base.mean())
    assert (found.test, found.count, found.smallest_p) == ('paired t', 5, 0)


def test_equal_differences_over_seeds():
    same = paired_seeds([70.1, 70.2, 70.4], [70.1, 70.2, 70.4])
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    shifted = paired_seeds([70.1, 70.2, 70.4], [70.2, 70.3, 70.5])
    assert shifted.value == pytest.approx(0.1)
    assert np.isnan(shifted.p)  # without variance, t is undefined


def test_wilcoxon():
    base = np.array([76.1, 75.9, 76.4, 76.0, 76.2, 75.8, 76.3])
    other = base + np.array([0.3, 0.5, -0.1, 0.4, 0.2, 0.6, 0.7])
    found = paired_seeds(base, other, 'wilcoxon')
    exact = stats.wilcoxon((other - base).round(6), method='exact')
    assert found.p == pytest.approx(exact.pvalue)
    assert found.smallest_p == 2 / 2**7
    # all of one sign gives the smallest p; ties do not make it approximate
    assert paired_seeds(base, base + 0.1, 'wilcoxon').p == found.smallest_p


def test_wilcoxon_with_many_pairs():
    base, other = np.random.default_rng(1).normal([[0], [0.3]], 1, (2, 40))
    exact = stats.wilcoxon(other - base, method='exact')
    assert paired_seeds(base, other, 'wilcoxon').p == pytest.approx(exact.pvalue)


def test_too_few_seeds_are_an_error():
    with pytest.raises(UserError, match='needs 2 pairs of runs or more, got 1'):
        paired_seeds([70], [71])
    with pytest.raises(UserError, match='6 or more pairs that differ, got 5, '):
        paired_seeds(range(5), range(1, 6), 'wilcoxon')
    with pytest.raises(UserError, match='got 5'):  # one of six pairs has no difference
        paired_seeds(range(6), [0, 2, 3, 4, 5, 6], 'wilcoxon')
    with pytest.raises(UserError, match="one of t, wilcoxon, got 'anova'"):
        paired_seeds([1, 2], [3, 4], 'anova')
    with pytest.raises(ValueError, match='expected two vectors of one length'):
        paired_seeds([1, 2, 3], [3, 4])


def test_interval_of_a_mean():
    values = [70.3, 71.2, 70.8]
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx(expected)
    assert np.isnan(mean_interval([70.3])).all()
    assert mean_interval([70.3, 70.3]) == (70.3, 70.3)


@pytest.mark.parametrize('test', ['t', 'wilcoxon'])
def test_false_alarms_over_seeds(test):
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(1000 if test == 't' else 300, 2, 7))
    alarms = sum(paired_seeds(*pair, test).p < 0.05 for pair in draws)
    assert 0 < alarms <= upper_bound(len(draws))


def test_equal_differences_of_rounded_scores_have_no_variance():
    """mmseg rounds scores to 0.01 in float32, so differences are not exactly equal."""
    a, b = np.float32([30.75, 30.80, 30.9]), np.float32([31.40, 31.45, 31.55])
    found = paired_seeds(a, b)
    assert np.isnan(found.p)
    assert found.value == pytest.approx(0.65)


@pytest.mark.parametrize('count', [1, 2, 5])
def test_holm(count):
    p = np.random.default_rng(count).random(count) ** 3
    expected = multipletests(p, method='holm')[1]
    assert holm(p) == pytest.approx(expected)
    with_unknown = holm([*p, np.nan])
    assert with_unknown[:-1] == pytest.approx(expected)
    assert np.isnan(with_unknown[-1])


# ------------------------------------------------------------ top-1 on a test set


def simulate_results(rng, count, shift=0.0):
    """Correct or not, for two networks with correlated errors."""
    difficulty = rng.random(count)
    return tuple(
        difficulty + rng.normal(0, 0.2, count) < bound for bound in (0.7, 0.7 + shift)
    )


def test_mcnemar():
    a, b = simulate_results(np.random.default_rng(0), 800, 0.03)
    found, (gained, lost) = compare_top1(a, b)
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    assert (gained, lost) == (table[1][0], table[0][1])
    assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.value == pytest.approx(b.mean() - a.mean())
    interval = stats.bootstrap(
        (a.astype(float), b.astype(float)),
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        paired=True,
        vectorized=True,
        method='percentile',
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.low == pytest.approx(interval.low, abs=0.003)
    assert found.high == pytest.approx(interval.high, abs=0.003)


def test_equal_classifiers():
    right = np.array([True, False, True])
    found, counts = compare_top1(right, right)
    assert counts == (0, 0)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_false_alarms_and_coverage_of_top1():
    rng = np.random.default_rng(3)
    found = [compare_top1(*simulate_results(rng, 500), seed=i)[0] for i in range(1000)]
    assert sum(each.p < 0.05 for each in found) <= upper_bound(1000)
    # intervals of a bootstrap are slightly too narrow
    missed = sum(not each.low <= 0 <= each.high for each in found)
    assert 20 < missed <= upper_bound(1000, 0.06)


@pytest.mark.parametrize(
    ('baseline', 'other', 'counts'),
    [(0.762, 0.784, (50000, 50000)), (0.68, 0.692, (19269, 19000)), (0.9, 1, (40, 40))],
)
def test_published_figures(baseline, other, counts):
    found = compare_published(baseline, other, counts)
    right = [round(a * n) for a, n in zip((baseline, other), counts, strict=True)]
    interval = confint_proportions_2indep(
        right[1], counts[1], right[0], counts[0], method='newcomb'
    )
    assert (found.low, found.high) == pytest.approx(interval, abs=1e-5)
    assert found.p == pytest.approx(proportions_ztest(right, counts)[1])
    assert found.value == pytest.approx(other - baseline)


# ------------------------------------------------------------ mIoU on a test set


def images(rng, count, classes=3, skill=(0.8, 0.8)):
    """Confusion matrices of two networks, for images of varying difficulty."""
    content = rng.multinomial(200, np.full(classes, 1 / classes), count)
    easy = rng.beta(8, 2, count)
    both = []
    for network in skill:
        hit = np.clip(easy * network / 0.8 + rng.normal(0, 0.05, count), 0.02, 0.98)
        matrices = np.empty((count, classes, classes), int)
        for true in range(classes):
            chances = np.repeat((1 - hit)[:, None] / (classes - 1), classes, axis=1)
            chances[:, true] = hit
            matrices[:, true] = rng.multinomial(content[:, true], chances)
        both.append(matrices)
    return both


def miou(matrices):
    return np.nanmean(class_iou(matrices.sum(axis=0)))


def test_permutation_of_few_images_is_exact():
    a, b = images(np.random.default_rng(0), 8, skill=(0.7, 0.8))
    found = compare_miou(a, b)

    def statistic(first, second, axis):
        """Indices of the first network's matrices, followed by the second's."""
        pool = np.concatenate([a, b])

        def score(index):
            return np.nanmean(class_iou(pool[np.moveaxis(index, axis, -1)].sum(-3)), -1)

        return score(second) - score(first)

    expected = stats.permutation_test(
        (np.arange(8), np.arange(8, 16)),
        statistic,
        permutation_type='samples',
        vectorized=True,
        n_resamples=np.inf,
    )
    assert found.value == pytest.approx(miou(b) - miou(a))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.smallest_p == 2 / 2**8


def test_permutation_of_many_images_approximates_the_exact_one():
    a, b = images(np.random.default_rng(4), 14, skill=(0.795, 0.8))
    observed = abs(miou(b) - miou(a))
    all_swaps = []
    for swap in itertools.product([False, True], repeat=14):
        swap = np.array(swap)[:, None, None]
        all_swaps.append(miou(np.where(swap, a, b)) - miou(np.where(swap, b, a)))
    exact = np.mean(np.abs(all_swaps) >= observed - 1e-12)
    assert 0.01 < exact < 0.9
    assert compare_miou(a, b).p == pytest.approx(exact, abs=0.02)


def test_interval_of_miou():
    a, b = images(np.random.default_rng(5), 60, skill=(0.75, 0.8))
    found = compare_miou(a, b)
    interval = stats.bootstrap(
        (np.arange(60),),
        lambda i, axis: (
            np.nanmean(class_iou(b[i].sum(-3)), -1)
            - np.nanmean(class_iou(a[i].sum(-3)), -1)
        ),
        vectorized=True,
        method='percentile',
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.low == pytest.approx(interval.low, abs=0.002)
    assert found.high == pytest.approx(interval.high, abs=0.002)


@pytest.mark.slow
def test_false_alarms_and_coverage_of_miou():
    rng = np.random.default_rng(6)
    found = [
        compare_miou(*images(rng, 500), resamples=499, seed=i) for i in range(1000)
    ]
    assert sum(each.p < 0.05 for each in found) <= upper_bound(1000)
    missed = sum(not each.low <= 0 <= each.high for each in found)
    assert 20 < missed <= upper_bound(1000, 0.06)


def test_a_real_gain_is_detected():
    a, b = images(np.random.default_rng(7), 500, skill=(0.78, 0.8))
    found = compare_miou(a, b)
    assert found.low > 0
    assert found.p < 0.01
    assert compare_miou(b, a).value == -found.value


def test_a_class_without_pixels():
    a, b = images(np.random.default_rng(8), 20)
    padded = [np.pad(m, ((0, 0), (0, 1), (0, 1))) for m in (a, b)]
    assert compare_miou(*padded) == compare_miou(a, b)


def test_the_smallest_possible_p_value_is_marked():
    a = np.tile([[90, 10], [10, 90]], (30, 1, 1))
    b = np.tile([[99, 1], [1, 99]], (30, 1, 1))
    assert 'p = 0.0001, the smallest possible (paired' in format_difference(
        compare_miou(a, b)
    )
    assert 'p = 1 (paired' in format_difference(compare_miou(a, a))
