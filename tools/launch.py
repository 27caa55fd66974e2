"""Start the processes of a distributed run, and report in one line how they ended.

tools/dist_train.sh and tools/dist_test.sh call it; the arguments are torchrun's.
"""

import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from glore_mm.utils.errors import EXIT_INTERRUPTED


def main() -> None:
    """Start, wait; exit with 75 where training was interrupted and can be resumed."""
    args = parse_args(sys.argv[1:])
    try:
        run(args)
    except SignalException as error:  # all processes got it, and 30 s to save
        trained = Path(args.training_script).name == 'train.py'
        sys.exit(EXIT_INTERRUPTED if trained else 128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode != EXIT_INTERRUPTED:
            how = f'ended with exit code {failure.exitcode}'
            if failure.exitcode < 0:
                how = f'was killed by {failure.signal_name()}'
            print(f'error: process {rank} {how}', file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED if failure.exitcode == EXIT_INTERRUPTED else 1)


if __name__ == '__main__':
    main()
