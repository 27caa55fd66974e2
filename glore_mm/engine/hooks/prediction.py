"""A hook that writes a picture of each test sample with its prediction."""

import os.path as osp
from abc import abstractmethod
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from glore_mm.utils.paths import relative_name
from glore_mm.visualization.drawing import save_image


class PredictionHook(Hook):
    """Write a picture of each test sample, with prediction and ground truth.

    Args:
        folder (str): The output folder; its subfolders are those of the data set.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def after_test_iter(
        self, runner: Runner, data_batch: Any, outputs: Any, **_: Any
    ) -> None:
        """Write the pictures of a batch."""
        dataset = runner.test_dataloader.dataset
        for index, sample in enumerate(outputs):
            picture = self.draw(sample, dataset, data_batch, index)
            # img_path in mmseg and mmpretrain, filename in mmaction2
            path = sample.get('img_path') or sample.filename
            name = self.file_name(relative_name(path, dataset))
            save_image(picture, osp.join(self.folder, name))

    @abstractmethod
    def draw(
        self, sample: Any, dataset: BaseDataset, data_batch: Any, index: int
    ) -> Image.Image:
        """Draw the picture of a sample.

        Args:
            sample (Any): The output of the network, in the data structure of the task's
                library.
            dataset (BaseDataset): The test set.
            data_batch (dict): The batch with the sample.
            index (int): The index of the sample in the batch.
        """

    def file_name(self, name: str) -> str:
        """Return the file name of the picture of a sample."""
        return f'{osp.splitext(name)[0]}.png'
