"""Hooks for mmengine: checkpoints, pictures of nodes, pictures of predictions."""
