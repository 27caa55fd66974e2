"""Train a config of any task.

python tools/train.py configs/seg/glore_cityscapes.py
"""

from glore_mm.commands.train import main

if __name__ == '__main__':
    main(__doc__)
