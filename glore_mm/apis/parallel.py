"""Run jobs one after the other, or several at a time as processes of their own."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

#: A variant and a seed.
Job: TypeAlias = tuple[str, int]
#: Trains one variant with one seed; raises an exception if that fails.
Worker: TypeAlias = Callable[[str, int], None]
T = TypeVar('T')

_running: set[subprocess.Popen[str]] = set()


def in_processes(
    command: Sequence[str],
    count: int = 1,
    gpus: Sequence[str] = (),
    slurm: str | None = None,
) -> list[Worker]:
    """Return workers that start each run as a separate process.

    Args:
        command (Sequence[str]): Command that trains a single run; `--only VARIANT SEED`
            is appended.
        count (int): Number of parallel runs, here or as Slurm jobs. Default: 1.
        gpus (Sequence[str]): Ids of GPUs, for one run at a time on each of them.
        slurm (str, optional): Slurm partition, for each run as a job on one GPU.
            CPUS_PER_TASK and SRUN_ARGS in the environment change the job, as with
            tools/slurm_train.sh.

    Returns:
        list[Worker]: One worker for each parallel run.
    """
    if gpus:
        return [
            partial(_start, [*command], dict(CUDA_VISIBLE_DEVICES=gpu)) for gpu in gpus
        ]
    if slurm:
        cpus = os.environ.get('CPUS_PER_TASK', '4')
        srun = ['srun', '--partition', slurm, '--ntasks', '1', '--gres', 'gpu:1']
        srun += ['--cpus-per-task', cpus, *os.environ.get('SRUN_ARGS', '').split()]
        return [partial(_start, [*srun, *command], {})] * count
    threads = max(1, (os.cpu_count() or 1) // count)
    share = dict(OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', str(threads)))
    return [partial(_start, [*command], share)] * count


def run_jobs(
    run: Callable[[Worker, Job], T], jobs: Sequence[Job], workers: Sequence[Worker]
) -> Iterator[tuple[Job, T]]:
    """Run jobs in parallel, one at a time on each worker.

    Args:
        run (Callable): Runs a job on a worker.
        jobs (Sequence[Job]): The jobs, in the order in which they start.
        workers (Sequence[Worker]): A single one runs in this thread.

    Yields:
        tuple: Each job when it ends, with what `run` returned.
    """
    if len(workers) == 1:
        for job in jobs:
            yield job, run(workers[0], job)
        return
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run_on_idle(job: Job) -> T:
        worker = idle.get()
        try:
            return run(worker, job)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(len(workers))
    try:
        futures = {pool.submit(run_on_idle, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:  # when interrupted: cancel waiting jobs, stop running ones
        pool.shutdown(wait=False, cancel_futures=True)
        for process in [*_running]:
            process.terminate()
        pool.shutdown()


def _start(
    command: Sequence[str], environment: Mapping[str, str], variant: str, seed: int
) -> None:
    with subprocess.Popen(
        [*command, '--only', variant, str(seed)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _running.add(process)
        errors = process.communicate()[1]
        _running.remove(process)
    if process.returncode:
        lines = errors.strip().splitlines() or ['no error message']
        lines = [line for line in lines if not line.startswith('srun: ')] or lines
        reason = lines[-1].removeprefix('error: ')
        raise RuntimeError(f'exit code {process.returncode}: {reason}')
