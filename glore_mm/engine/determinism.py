"""Save and restore random states; seed the augmentation of each sample."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset, Sampler

T = TypeVar('T')


def get_rng_state() -> dict[str, Any]:
    """Return the random states of this process, in types that weights_only loads."""
    version, numbers, gauss = random.getstate()
    legacy: Any = np.random.get_state()
    _, keys, *rest = legacy
    states = dict(
        python=(version, torch.tensor(numbers), gauss),
        numpy=(torch.from_numpy(keys.astype(np.int64)), *rest),
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def set_rng_state(states: dict[str, Any]) -> None:
    """Restore the states that `get_rng_state` returned."""
    version, numbers, gauss = states['python']
    random.setstate((version, tuple(numbers.tolist()), gauss))
    keys, *rest = states['numpy']
    np.random.set_state(('MT19937', keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states['torch'])
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'])


def gather_rng_states() -> list[dict[str, Any]]:
    """Return the random states of all processes, by rank; all must call this."""
    return all_gather_object(get_rng_state())


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Restore the random states of this process at the end of the block."""
    states = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(states)


def iter_preserving_rng(loader: Iterable[T]) -> Iterator[T]:
    """Iterate over batches without changing the random states by loading them."""
    with preserve_rng_state():
        batches = iter(loader)
    while True:
        with preserve_rng_state():
            try:
                batch = next(batches)
            except StopIteration:
                return
        yield batch


class SampleIndex(int):
    """The index of a sample, with the position of the sample in the training.

    Attributes:
        number (tuple[int, int]): The epoch, and the position in the epoch among the
            samples of all processes.
    """

    number: tuple[int, int]


@DATA_SAMPLERS.register_module()
class IndexedSampler(Sampler[SampleIndex]):
    """A sampler that yields SampleIndex.

    Args:
        sampler (dict): Config of a sampler that gives each process every world-size-th
            sample of a common order, as mmengine's samplers do.
        dataset (Dataset): The data set.
        seed (int, optional): The seed of the order.
    """

    #: Number of samples to skip in the next epoch: when training resumes within an
    #: epoch, those of this process that were used before.
    skip = 0

    def __init__(
        self, sampler: dict[str, Any], dataset: Dataset[Any], seed: int | None
    ) -> None:
        build = dict(dataset=dataset, seed=seed)
        self.sampler = DATA_SAMPLERS.build(sampler, default_args=build)

    def __iter__(self) -> Iterator[SampleIndex]:
        rank, world_size = get_dist_info()
        epoch = getattr(self.sampler, 'epoch', 0)
        skip, self.skip = self.skip, 0
        for place, index in enumerate(self.sampler):
            if place >= skip:
                sample = SampleIndex(index)
                sample.number = epoch, place * world_size + rank
                yield sample

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the sampler."""
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)


@DATASETS.register_module()
class SeededDataset(Dataset[Any]):
    """A data set whose augmentation depends only on the seed and on SampleIndex.number.

    It does not depend on the number of workers or processes, nor on interruptions. All
    attributes are those of the wrapped data set.

    Args:
        dataset (dict): Config of the data set.
        seed (int): The seed of the run.
    """

    def __init__(self, dataset: dict[str, Any], seed: int) -> None:
        vars(self).update(_dataset=DATASETS.build(dataset), _seed=seed)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):  # not set yet while a worker unpickles this
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._dataset, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, SampleIndex):
            sequence = np.random.SeedSequence((self._seed, *index.number))
            python, numpy, pytorch = map(int, sequence.generate_state(3))
            random.seed(python)
            np.random.seed(numpy)
            # torch.manual_seed would also seed the GPUs
            torch.default_generator.manual_seed(pytorch)
        return self._dataset[int(index)]
