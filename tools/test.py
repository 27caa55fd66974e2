"""Test a checkpoint of any task.

python tools/test.py configs/seg/glore_cityscapes.py CHECKPOINT
"""

from glore_mm.commands.test import main

if __name__ == '__main__':
    main(__doc__)
