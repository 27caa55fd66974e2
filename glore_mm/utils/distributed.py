"""Ranks of a run: the main process, failures of peers."""

import os

from torch import distributed


def is_main_process() -> bool:
    """Whether this is the process that speaks for all that a launcher has started."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0))) == 0


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error says that another process of the run did not answer."""
    lost = isinstance(error, distributed.DistError) or 'gloo/transport' in str(error)
    return lost and distributed.is_initialized()
