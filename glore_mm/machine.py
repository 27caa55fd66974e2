"""What this machine is, for figures that depend on it."""

import platform
from pathlib import Path


def processor_name() -> str:
    """The model of the processor, as far as the system tells it."""
    cpus = Path('/proc/cpuinfo')
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line for line in lines if line.startswith('model name')]
    if models:
        return models[0].partition(':')[2].strip()
    return platform.processor() or platform.machine()
