"""Names that NumPy has removed."""

import numpy as np
import torch
from mmaction.datasets.transforms import PoseCompact
from mmaction.evaluation import average_recall_at_avg_proposals
from mmaction.evaluation.metrics import RetrievalRecall as ClipRecall
from mmpretrain.evaluation import RetrievalAveragePrecision, RetrievalRecall


def test_cityscapesscripts_finds_in1d(libraries):
    assert libraries['labels'] == [[False, True], [True, False]]


def test_retrieval_metrics_find_in1d():
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.6, 0.1, 0.3]])
    options = dict(target_indices=True)
    for recall in (RetrievalRecall, ClipRecall):
        assert recall.calculate(scores, [[1], [2]], topk=1, **options) == [50]
    precision = RetrievalAveragePrecision.calculate(
        scores, [[1], [2]], topk=3, **options
    )
    assert precision == 75


def test_proposals_find_trapz():
    span = {'video': np.array([[0.0, 1.0]])}
    proposals = {'video': np.array([[0.0, 1.0, 0.9], [0.5, 1.0, 0.1]])}
    *_, area = average_recall_at_avg_proposals(span, proposals, 2, 2)
    assert 50 < area <= 100


def test_poses_find_inf():
    keypoint = np.array([[[[10.0, 10.0], [30.0, 40.0]]]])
    found = PoseCompact(padding=0)(dict(img_shape=(64, 64), keypoint=keypoint))
    assert found['img_shape'] == (30, 20)
