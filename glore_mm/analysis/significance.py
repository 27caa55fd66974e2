"""Significance tests for two networks: McNemar, permutation, bootstrap, t, Wilcoxon.

Two kinds of chance are meant, and a test covers one of them. Over *seeds*
(`paired_seeds`): would the recipe, trained again, differ like this? On a *test set*
(`compare_top1`, `compare_miou`, `compare_published`): would these two checkpoints
differ like this on other images of the same kind?

The procedures are scipy's where it has them. All are two-sided.

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

CONFIDENCE = 0.95  # of every interval
#: Pairs of seeds that a test needs. With fewer than 6 no p value of Wilcoxon's can be
#: below 0.05.
MIN_PAIRS = {'t': 2, 'wilcoxon': 6}
_RESAMPLES = 9999
_EXACT_PAIRS = 12  # up to so many all ways to swap or to sign them are gone through


@dataclass(frozen=True)
class Difference:
    """By how much one network is better than another, and how sure that is.

    Attributes:
        value (float): Other less baseline, in the unit of what was compared.
        low (float): Lower end of its 95 % interval.
        high (float): Upper end.
        p (float): Two-sided p value: how often a difference at least this large comes
            about where there is none.
        test (str): What gave the p value.
        count (int): Of what it was taken over: pairs of seeds, samples.
        smallest_p (float): The smallest p value that this many could have given; 0 for
            a test with no such bound.
    """

    value: float
    low: float
    high: float
    p: float
    test: str
    count: int
    smallest_p: float = 0.0


def format_difference(difference: Difference, scale: float = 1) -> str:
    """A difference in a few words.

    Args:
        difference (Difference): From one of the comparisons below.
        scale (float): What to multiply it by: 100 for per cent. Default: 1.
    """
    value, low, high = (
        scale * number for number in (difference.value, difference.low, difference.high)
    )
    least = 0 < difference.p <= difference.smallest_p < 1
    return (
        f'{value:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}, p = {difference.p:.2g}'
        f'{", the smallest possible" if least else ""} ({difference.test})'
    )


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """95 % interval of a mean, by Student's t; NaN for fewer than two values."""
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
    """Compare two recipes by what each of several seeds gave.

    Args:
        baseline (Sequence[float]): A score for each seed.
        other (Sequence[float]): The other recipe's, for the same seeds.
        test (str): 't', the paired t test, or 'wilcoxon', the signed-rank test, which
            does not suppose that differences are distributed normally but needs more
            seeds. Its p value is exact up to 12 pairs, without ties up to 50.
            Default: 't'.

    Returns:
        Difference: The mean one; its interval is Student's with either test.

    Raises:
        UserError: There are too few pairs for the test: 2, or 6 for 'wilcoxon', not
            counting those that are equal.
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
        else:  # no spread, no t
            p = np.nan if differences.any() else 1.0
        return Difference(value, **interval, p=float(p), test='paired t')
    unequal = np.count_nonzero(differences)
    if unequal < MIN_PAIRS[test]:
        raise UserError(
            f"Wilcoxon's test needs {MIN_PAIRS[test]} or more pairs that differ, "
            f'got {unequal}, with which no p is below {2.0 ** (1 - unequal):.3g}. '
            'Train more seeds, or take the t test.'
        )
    method = 'auto'
    if unequal <= _EXACT_PAIRS:  # exact with ties too
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

    The p value is that of McNemar's exact test, which looks at the samples that one of
    the two has right and the other has not; the interval is from a paired bootstrap.

    Args:
        baseline (np.ndarray): Whether each sample was classified rightly, bool (n,).
        other (np.ndarray): The same for the other network, on the same samples.
        seed (int): Of the bootstrap. Default: 0.

    Returns:
        tuple[Difference, tuple[int, int]]: In accuracy, from −1 to 1; and how many
        samples only the other has right, and only the baseline.
    """
    differences = _paired(baseline, other)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    discordant = gained + lost
    p = stats.binomtest(gained, discordant).pvalue if discordant else 1.0
    # what a bootstrap draws are numbers of samples won and lost
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
    """Compare two accuracies of which nothing else is known.

    As if each network had been tested on samples of its own: where both saw the same
    ones, and err on much the same, the real uncertainty is smaller. The p value is that
    of Pearson's χ² test, the interval Newcombe's hybrid score one (Interval estimation
    for the difference between independent proportions. Statistics in Medicine 17,
    1998).

    Args:
        baseline (float): Accuracy, from 0 to 1.
        other (float): The other network's.
        counts (tuple[int, int]): How many samples either was tested on.

    Returns:
        Difference: In accuracy, from −1 to 1.
    """
    right = [round(a * n) for a, n in zip((baseline, other), counts, strict=True)]
    (low_a, high_a), (low_b, high_b) = (
        stats.binomtest(k, n).proportion_ci(CONFIDENCE, method='wilson')
        for k, n in zip(right, counts, strict=True)
    )
    value = other - baseline
    table = [[k, n - k] for k, n in zip(right, counts, strict=True)]
    p = 1.0  # where both have all right, or none, there is nothing to tell apart
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

    Mean IoU is no mean over images, so it is computed anew for each resample. The p
    value is from a paired permutation: where the networks do not differ, swapping what
    they made of an image changes nothing. The interval is from the paired bootstrap,
    which draws images with replacement.

    Args:
        baseline (np.ndarray): The confusion matrices of n images, (n, C, C), pixels by
            true class (row) and predicted one.
        other (np.ndarray): Those of the other network, on the same images.
        resamples (int): Swaps and draws; all swaps are gone through where there are
            12 images or fewer. Default: 9999.
        seed (int): Default: 0.

    Returns:
        Difference: In mean IoU, from −1 to 1.
    """
    rng = np.random.default_rng(seed)
    parts = np.stack([_iou_parts(baseline), _iou_parts(other)])  # (2, n, 2 C)
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
    as_large = np.abs(swapped) >= abs(value) * (1 - 1e-12)  # equal, but for rounding
    # the pair as it is belongs to the swaps, and is among all of them already
    p = as_large.mean() if exact else (1 + as_large.sum()) / (1 + resamples)

    draws = rng.multinomial(count, np.full(count, 1 / count), resamples).astype(float)
    drawn = _mean_iou(draws @ parts[1]) - _mean_iou(draws @ parts[0])
    low, high = _percentiles(drawn)
    # a swap of all images turns the sign alone
    smallest = 2.0 ** (1 - count) if exact else 1 / (1 + resamples)
    return Difference(
        float(value), low, high, float(p), 'paired permutation', count, smallest
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's correction of the p values of several comparisons.

    Args:
        p_values (Sequence[float]): Of m comparisons; NaN is left out of them.

    Returns:
        np.ndarray: (m,). Those below α are significant while the chance of one false
        alarm among all of them stays below α.
    """
    p_values = np.asarray(p_values, float)
    corrected = np.full_like(p_values, np.nan)
    order = [i for i in np.argsort(p_values) if not np.isnan(p_values[i])]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return corrected


def _paired(baseline: ArrayLike, other: ArrayLike) -> np.ndarray:
    """Differences, other less baseline, as float (n,)."""
    baseline, other = np.asarray(baseline, float), np.asarray(other, float)
    if baseline.shape != other.shape or baseline.ndim != 1:
        raise ValueError(
            f'pairs are wanted, got shapes {baseline.shape} and {other.shape}'
        )
    # 0.3 − 0.2 is 0.2 − 0.1, as in decimals, of scores in float32 too
    sizes = np.abs([*baseline, *other])
    scale = sizes[np.isfinite(sizes)].max(initial=0) or 1
    return np.round(other - baseline, 5 - int(np.floor(np.log10(scale))))


def _iou_parts(confusion: np.ndarray) -> np.ndarray:
    """Intersections and unions, which sum over images, (n, 2 C)."""
    # as float, exact up to 2⁵³ pixels
    return np.concatenate(iou_parts(np.asarray(confusion, float)), axis=-1)


def _mean_iou(parts: np.ndarray) -> np.ndarray:
    """(*, 2 C) → (*), over the classes that labels or predictions have."""
    intersection, union = np.split(parts, 2, axis=-1)
    with np.errstate(invalid='ignore'):
        return np.nanmean(intersection / union, axis=-1)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)
