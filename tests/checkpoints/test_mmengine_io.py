"""Saving checkpoints with mmengine."""

import pytest
import torch

from glore_mm.checkpoints.mmengine_io import install_atomic_save


def test_a_checkpoint_is_written_atomically(tmp_path):
    """With each name of the function in mmengine."""
    import mmengine.runner.runner

    install_atomic_save()
    path = tmp_path / 'iter_1.pth'
    for module in (mmengine.runner.checkpoint, mmengine.runner.runner):
        module.save_checkpoint(dict(weights=torch.ones(3)), str(path))
        written = path.read_bytes()
        with pytest.raises(TypeError, match='pickle'):
            module.save_checkpoint(dict(no=(i for i in ())), str(path))
        assert path.read_bytes() == written
        assert list(tmp_path.iterdir()) == [path]
