"""Run a checkpoint on pictures or clips.

python tools/infer.py CONFIG CHECKPOINT street.jpg
"""

from glore_mm.commands.infer import main

if __name__ == '__main__':
    main(__doc__)
