"""Names of the hardware that a process runs on."""

import os
import platform
from pathlib import Path

import torch


def cpu_name() -> str:
    """Return the model name of the CPU, or its architecture if there is no name."""
    cpus = Path('/proc/cpuinfo')
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line for line in lines if line.startswith('model name')]
    if models:
        return models[0].partition(':')[2].strip()
    return platform.processor() or platform.machine()


def device_name() -> str:
    """Return the device of this process: its GPU, or the CPU with its threads."""
    if torch.cuda.is_available():
        index = int(os.environ['LOCAL_RANK'])
        return f'cuda:{index} ({torch.cuda.get_device_name(index)})'
    return f'cpu ({cpu_name()}, {torch.get_num_threads()} threads)'
