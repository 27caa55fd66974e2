"""Patches of mmpretrain."""

import pytest
import torch
from mmpretrain.models import (
    AverageClsScoreTTA,
    ClsHead,
    ImageClassifier,
    MultiLabelClsHead,
)
from mmpretrain.structures import DataSample

import glore_mm.compat  # noqa: F401, applies the patches


@pytest.mark.parametrize(
    ('head', 'labels'),
    [
        (ClsHead(), [1]),
        (MultiLabelClsHead(thr=0.48), [1, 2]),
        (MultiLabelClsHead(topk=2), [1, 2]),
    ],
    ids=['one', 'threshold', 'most likely'],
)
def test_tta_predicts_the_labels_of_the_mean_of_the_scores(head, labels):
    views = [[0.9, 0.6, 0.2], [0.0, 0.7, 0.8]]
    samples = [DataSample().set_pred_score(torch.tensor(view)) for view in views]
    for sample in samples:
        sample.set_pred_label(torch.tensor([0]))
    backbone = dict(type='ResNet', depth=18)
    classifier = ImageClassifier(backbone, head=head)
    (merged,) = AverageClsScoreTTA(classifier).merge_preds([samples])
    assert sorted(merged.pred_label.tolist()) == labels
    torch.testing.assert_close(merged.pred_score, torch.tensor([0.45, 0.65, 0.5]))
