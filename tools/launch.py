"""Start a tool once for each process of a run, and say in a line what became of them.

What tools/dist_train.sh and tools/dist_test.sh call; the arguments are torchrun's.
"""

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from glore_mm.errors import STOPPED


def main() -> None:
    """Start, wait; exit with 75 where the run was stopped and can go on."""
    try:
        run(parse_args(sys.argv[1:]))
    except SignalException:  # which all processes got, and had 30 s to save
        sys.exit(STOPPED)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode != STOPPED:
            how = f'ended with exit code {failure.exitcode}'
            if failure.exitcode < 0:
                how = f'was killed by {failure.signal_name()}'
            print(f'error: process {rank} {how}', file=sys.stderr)
        sys.exit(STOPPED if failure.exitcode == STOPPED else 1)


if __name__ == '__main__':
    main()
