"""A hook that writes a picture of each sample of a test, with its prediction."""

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
    """While testing, write a picture of each sample, with prediction and truth.

    Args:
        folder (str): Where to write, in the folders that the data set has.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Write the pictures of a batch."""
        dataset = runner.test_dataloader.dataset
        for index, sample in enumerate(outputs):
            picture = self.draw(sample, dataset, data_batch, index)
            # the images of mmseg and mmpretrain, the videos of mmaction2
            path = sample.get('img_path') or sample.filename
            name = self.file_name(relative_name(path, dataset))
            save_image(picture, osp.join(self.folder, name))

    @abstractmethod
    def draw(
        self, sample: Any, dataset: BaseDataset, data_batch: Any, index: int
    ) -> Image.Image:
        """The picture of a sample.

        Args:
            sample (Any): The output of the network, of the library's own class.
            dataset (BaseDataset): The data set that is tested.
            data_batch (dict): The batch that the sample is from.
            index (int): Its place in the batch.
        """

    def file_name(self, name: str) -> str:
        """The name of a sample's picture, by that of its file."""
        return f'{osp.splitext(name)[0]}.png'
