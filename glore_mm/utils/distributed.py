"""Ranks of a run: the main process, failures of peers."""

import os
import sys


def is_main_process() -> bool:
    """Whether this is the process of rank 0, which prints and writes."""
    return int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0))) == 0


def is_initialized() -> bool:
    """Whether this process is connected to others."""
    distributed = sys.modules.get('torch.distributed')  # not imported: not connected
    return distributed is not None and distributed.is_initialized()


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error says that another process of the run did not answer."""
    if not is_initialized():
        return False
    from torch import distributed

    return isinstance(error, distributed.DistError) or 'gloo/transport' in str(error)
