"""Significance tests for two networks: McNemar, permutation, bootstrap, t, Wilcoxon.

Each test covers one of two sources of randomness. Over *seeds* (`paired_seeds`): would
the recipes differ in the same way if they were trained again? On a *test set*
(`compare_top1`, `compare_miou`, `compare_published`): would these two checkpoints
differ in the same way on other images of the same kind?

The tests are scipy's where it has them. All are two-sided.

- McNemar: Note on the sampling error of the difference between correlated proportions
  or percentages. Psychometrika 12, 1947.
- Holm: A simple sequentially rejective multiple test procedure. Scandinavian Journal of
  Statistics 6, 1979.
- Efron, Tibshirani: An Introduction to the Bootstrap. 1993.
- Phipson, Smyth: Permutation P-values Should Never Be Zero. Statistical Applications in
  Genetics and Molecular Biology 9, 2010.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from glore_mm.analysis.dumps import iou_parts
from glore_mm.utils.errors import UserError

CONFIDENCE = 0.95  # of all intervals
#: Pairs of seeds that a test needs. With fewer than 6, no p value of the Wilcoxon test
#: can be below 0.05.
MIN_PAIRS = {'t': 2, 'wilcoxon': 6}
_RESAMPLES = 9999
_EXACT_PAIRS = 12  # up to this number, all permutations are enumerated


@dataclass(frozen=True)
class Difference:
    """Difference between two networks, with its confidence interval and p value.

    Attributes:
        value (float): Other minus baseline, in the unit of the compared scores.
        low (float): Lower end of the 95 % confidence interval.
        high (float): Upper end of the 95 % confidence interval.
        p (float): Two-sided p value: probability of a difference at least this large if
            the networks do not differ.
        test (str): Name of the test.
        count (int): Number of pairs of seeds, or of samples.
        smallest_p (float): Smallest p value that is possible with this number; 0 for a
            test without such a bound.
    """

    value: float
    low: float
    high: float
    p: float
    test: str
    count: int
    smallest_p: float = 0.0


def format_difference(difference: Difference, scale: float = 1) -> str:
    """Format a difference with its interval, p value and test.

    Args:
        difference (Difference): From one of the comparisons below.
        scale (float): Factor for the values, such as 100 for per cent. Default: 1.
    """
    value, low, high = (
        scale * number for number in (difference.value, difference.low, difference.high)
    )
    is_smallest = 0 < difference.p <= difference.smallest_p < 1
    return (
        f'{value:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}, p = {difference.p:.2g}'
        f'{", the smallest possible" if is_smallest else ""} ({difference.test})'
    )


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % t interval of a mean; NaN for fewer than two values."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return np.nan, np.nan
    if not np.ptp(values):
        return values[0], values[0]
    interval = stats.ttest_1samp(values, 0).confidence_interval(CONFIDENCE)
    return float(interval.low), float(interval.high)


def paired_seeds(
    baseline: Sequence[float], other: Sequence[float], test: str = 't'
) -> Difference:
    """Compare two recipes by their scores for several seeds.

    Args:
        baseline (Sequence[float]): Score of the baseline for each seed.
        other (Sequence[float]): Score of the other recipe for the same seeds.
        test (str): 't', the paired t test, or 'wilcoxon', the signed-rank test. The
            latter does not assume that differences are normally distributed, but needs
            more seeds. Its p value is exact up to 12 pairs, and without ties up to 50.
            Default: 't'.

    Returns:
        Difference: The mean difference. Its interval is the t interval with both tests.

    Raises:
        UserError: There are too few pairs for the test: it needs 2, or 6 pairs that
            differ for 'wilcoxon'.
    """
    differences = _paired(baseline, other)
    count = len(differences)
    if test not in MIN_PAIRS:
        raise UserError(f'test must be one of {", ".join(MIN_PAIRS)}, got {test!r}')
    if count < MIN_PAIRS['t']:
        raise UserError(f'a paired test needs 2 pairs of runs or more, got {count}')
    low, high = mean_interval(differences)
    interval: dict[str, Any] = dict(low=low, high=high, count=count)
    value = float(differences.mean())
    if test == 't':
        if np.ptp(differences):
            p = stats.ttest_1samp(differences, 0).pvalue
        else:  # without variance, t is undefined
            p = np.nan if differences.any() else 1.0
        return Difference(value, **interval, p=float(p), test='paired t')
    unequal = np.count_nonzero(differences)
    if unequal < MIN_PAIRS[test]:
        raise UserError(
            f"Wilcoxon's test needs {MIN_PAIRS[test]} or more pairs that differ, "
            f'got {unequal}, with which no p is below {2.0 ** (1 - unequal):.3g}. '
            'Train more seeds, or use the t test.'
        )
    method = 'auto'
    if unequal <= _EXACT_PAIRS:  # exact, even with ties
        method = stats.PermutationMethod(n_resamples=np.inf)
    p = stats.wilcoxon(differences[differences != 0], method=method).pvalue
    smallest = 2.0 ** (1 - unequal)
    return Difference(
        value, **interval, p=float(p), test='Wilcoxon', smallest_p=smallest
    )


def compare_top1(
    baseline: np.ndarray, other: np.ndarray, seed: int = 0
) -> tuple[Difference, tuple[int, int]]:
    """Compare two classifiers on one test set.

    The p value is from McNemar's exact test, which uses the samples that only one of
    the two classifies correctly. The interval is from a paired bootstrap.

    Args:
        baseline (np.ndarray): Whether the baseline classifies each sample correctly,
            bool (n,).
        other (np.ndarray): The same for the other network, on the same samples.
        seed (int): Seed of the bootstrap. Default: 0.

    Returns:
        tuple[Difference, tuple[int, int]]: Difference in accuracy, from −1 to 1; and
        the number of samples that only the other, and only the baseline, classifies
        correctly.
    """
    differences = _paired(baseline, other)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    discordant = gained + lost
    p = stats.binomtest(gained, discordant).pvalue if discordant else 1.0
    # a bootstrap only needs the numbers of samples gained and lost
    count = len(differences)
    shares = np.array([gained, lost, count - discordant]) / count
    drawn = np.random.default_rng(seed).multinomial(count, shares, _RESAMPLES)
    low, high = _percentiles((drawn[:, 0] - drawn[:, 1]) / count)
    return Difference(
        (gained - lost) / count,
        low,
        high,
        float(p),
        'McNemar, exact',
        count,
        min(1.0, 2.0 ** (1 - discordant)),
    ), (gained, lost)


def compare_published(
    baseline: float, other: float, counts: tuple[int, int]
) -> Difference:
    """Compare two accuracies without the results of single samples.

    Assumes that the networks were tested on different samples. If they were tested on
    the same ones and make similar errors, the real uncertainty is smaller. The p value
    is from Pearson's χ² test. The interval is Newcombe's hybrid score interval
    (Interval estimation for the difference between independent proportions. Statistics
    in Medicine 17, 1998).

    Args:
        baseline (float): Accuracy of the baseline, from 0 to 1.
        other (float): Accuracy of the other network, from 0 to 1.
        counts (tuple[int, int]): Number of test samples of the baseline and of the
            other network.

    Returns:
        Difference: Difference in accuracy, from −1 to 1.
    """
    right = [round(a * n) for a, n in zip((baseline, other), counts, strict=True)]
    (low_a, high_a), (low_b, high_b) = (
        stats.binomtest(k, n).proportion_ci(CONFIDENCE, method='wilson')
        for k, n in zip(right, counts, strict=True)
    )
    value = other - baseline
    table = [[k, n - k] for k, n in zip(right, counts, strict=True)]
    p = 1.0  # if both accuracies are 1, or both are 0
    if np.any(table, axis=0).all():
        p = stats.chi2_contingency(table, correction=False).pvalue
    return Difference(
        value,
        value - float(np.hypot(other - low_b, high_a - baseline)),
        value + float(np.hypot(high_b - other, baseline - low_a)),
        float(p),
        'χ², unpaired',
        sum(counts),
    )


def compare_miou(
    baseline: np.ndarray,
    other: np.ndarray,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two segmentation networks on one test set by mean IoU.

    The p value is from a paired permutation test, which randomly swaps the two
    networks' results of an image. The interval is from a paired bootstrap, which draws
    images with replacement. Mean IoU is computed from the pixel counts of each
    resample, as it is not a mean over images.

    Args:
        baseline (np.ndarray): Confusion matrices of the baseline for n images,
            (n, C, C), pixels by true class (row) and predicted class (column).
        other (np.ndarray): The same for the other network, on the same images.
        resamples (int): Number of permutations and of bootstrap samples. With 12 images
            or fewer, all permutations are enumerated. Default: 9999.
        seed (int): Seed of both. Default: 0.

    Returns:
        Difference: Difference in mean IoU, from −1 to 1.
    """
    rng = np.random.default_rng(seed)
    confusion = np.stack([baseline, other]).astype(float)  # exact up to 2⁵³ pixels
    # intersections and unions, which can be summed over images: (2, n, 2 C)
    parts = np.concatenate(iou_parts(confusion), axis=-1)
    count = parts.shape[1]
    totals = parts.sum(axis=1)
    value = _mean_iou(totals[1]) - _mean_iou(totals[0])

    exact = count <= _EXACT_PAIRS
    if exact:
        swaps = np.array(list(product((0.0, 1.0), repeat=count)))
    else:
        swaps = rng.integers(2, size=(resamples, count)).astype(float)
    moved = swaps @ (parts[0] - parts[1])
    swapped = _mean_iou(totals[1] + moved) - _mean_iou(totals[0] - moved)
    as_large = np.abs(swapped) >= abs(value) * (1 - 1e-12)  # tolerance for rounding
    # the observed pair counts as a permutation; the full enumeration contains it
    p = as_large.mean() if exact else (1 + as_large.sum()) / (1 + resamples)

    draws = rng.multinomial(count, np.full(count, 1 / count), resamples).astype(float)
    drawn = _mean_iou(draws @ parts[1]) - _mean_iou(draws @ parts[0])
    low, high = _percentiles(drawn)
    # swapping all images only changes the sign, so two permutations are as large
    smallest = 2.0 ** (1 - count) if exact else 1 / (1 + resamples)
    return Difference(
        float(value), low, high, float(p), 'paired permutation', count, smallest
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Correct the p values of several comparisons with Holm's method.

    Args:
        p_values (Sequence[float]): p values of m comparisons. NaN is not counted and
            stays NaN.

    Returns:
        np.ndarray: Corrected p values, (m,). If those below α count as significant, the
        probability of at least one false positive among all is at most α.
    """
    p_values = np.asarray(p_values, float)
    corrected = np.full_like(p_values, np.nan)
    order = [i for i in np.argsort(p_values) if not np.isnan(p_values[i])]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return corrected


def _paired(baseline: ArrayLike, other: ArrayLike) -> np.ndarray:
    """Return the differences, other minus baseline, as float (n,)."""
    baseline, other = np.asarray(baseline, float), np.asarray(other, float)
    if baseline.shape != other.shape or baseline.ndim != 1:
        raise ValueError(
            f'expected two vectors of one length, got shapes {baseline.shape} and '
            f'{other.shape}'
        )
    # round, so that 0.3 − 0.2 equals 0.2 − 0.1 as in decimals, also in float32
    sizes = np.abs([*baseline, *other])
    scale = sizes[np.isfinite(sizes)].max(initial=0) or 1
    return np.round(other - baseline, 5 - int(np.floor(np.log10(scale))))


def _mean_iou(parts: np.ndarray) -> np.ndarray:
    """Compute (*, 2 C) → (*): the mean over the classes in labels or predictions."""
    intersection, union = np.split(parts, 2, axis=-1)
    with np.errstate(invalid='ignore'):
        return np.nanmean(intersection / union, axis=-1)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)
