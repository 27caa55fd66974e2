"""Random states, saved and restored; seeding by sample."""

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
    """The random states of this process, in types that weights_only takes."""
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
    """The states of each process, by rank; all processes must call this."""
    return all_gather_object(get_rng_state())


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Restore the random states of Python, NumPy and torch at the end of the block."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def iter_preserving_rng(loader: Iterable[T]) -> Iterator[T]:
    """Iterate over batches; loading them does not change the random states."""
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
    """The index of a sample that also holds its position in the training.

    Attributes:
        number (tuple[int, int]): The epoch, and the position in it among the samples of
            all processes.
    """

    number: tuple[int, int]


@DATA_SAMPLERS.register_module()
class IndexedSampler(Sampler[SampleIndex]):
    """A sampler that yields SampleIndex.

    Args:
        sampler (dict): Of a sampler that gives each process every world-size-th sample
            of one order, as mmengine's do.
        dataset (Dataset): What to sample from.
        seed (int, optional): Of the order.
    """

    #: How many samples of this process to skip, once: those before the point in the
    #: epoch where training resumes.
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
                draw = SampleIndex(index)
                draw.number = epoch, place * world_size + rank
                yield draw

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the sampler."""
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)


@DATASETS.register_module()
class SeededDataset(Dataset[Any]):
    """A data set whose augmentation depends only on the seed and on SampleIndex.number.

    The number of workers or processes does not matter, nor where a run was interrupted.
    All attributes are those of the data set.

    Args:
        dataset (dict): Of the data set.
        seed (int): Of the run.
    """

    def __init__(self, dataset: dict[str, Any], seed: int) -> None:
        vars(self).update(_dataset=DATASETS.build(dataset), _seed=seed)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):  # not there yet, while a worker unpickles
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._dataset, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, draw: int) -> Any:
        if isinstance(draw, SampleIndex):
            sequence = np.random.SeedSequence((self._seed, *draw.number))
            python, numpy, pytorch = map(int, sequence.generate_state(3))
            random.seed(python)
            np.random.seed(numpy)
            # torch.manual_seed would set a GPU's, too
            torch.default_generator.manual_seed(pytorch)
        return self._dataset[int(draw)]
