"""Hooks of mmengine: checkpoints, pictures of nodes, pictures of predictions."""
