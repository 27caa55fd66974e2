from collections import Counter

import pytest

from glore_mm.utils.class_folders import draw_split
from glore_mm.utils.errors import UserError


def draw(classes, share, seed=0, labels=None):
    """Draw from the indices of the classes; check that each is in one split."""
    indices = list(range(len(classes)))
    train, val = (
        draw_split(indices, split, share, seed, 'here', labels)
        for split in ('train', 'val')
    )
    assert sorted(train + val) == indices
    assert (train, val) == (sorted(train), sorted(val))
    return [Counter(classes[index] for index in split) for split in (train, val)]


@pytest.mark.parametrize('seed', range(5))
def test_each_class_has_its_share(seed):
    labels = [*'a' * 100, *'b' * 10, *'c' * 5, 'd']
    train, val = draw(labels, 0.2, seed, labels=labels)
    assert val == dict(a=20, b=2, c=1)
    assert train['d'] == 1


def test_small_classes_give_the_share_together():
    labels = [i // 2 for i in range(40)]
    train, val = draw(labels, 0.2, labels=labels)
    assert len(train) == 20
    assert [*val.values()] == 8 * [1]
    other = draw(labels, 0.2, 1, labels=labels)[1]
    assert other.keys() != val.keys()


def test_one_sample_of_each_class_stays_in_training():
    labels = [*'a' * 4, 'b', 'b', 'c']
    train, _ = draw(labels, 0.9, labels=labels)
    assert train == dict(a=1, b=1, c=1)


def test_samples_without_classes_are_drawn_alike():
    labels = [0] * 10
    assert draw(labels, 0.33) == [{0: 7}, {0: 3}]
    assert draw(labels, 0.33, labels=[None] * 10) == [{0: 7}, {0: 3}]


@pytest.mark.parametrize(
    ('count', 'share', 'labels', 'text'),
    [
        (
            1,
            0.2,
            None,
            r'has 1 sample\(s\), .* out 1: a split is empty. .* two samples,',
        ),
        (5, 1.5, None, 'val_share=1.5 holds out 8'),
        (3, 0.2, 'abc', 'holds out 0: a split is empty.* two samples of a class, and'),
    ],
)
def test_an_empty_split_is_an_error(count, share, labels, text):
    with pytest.raises(UserError, match=text):
        draw_split([*range(count)], 'train', share, 0, 'here', labels)
