"""Configs of this package and of the libraries, to compare them."""

from mmengine.config import Config


def upstream_config(path: str) -> Config:
    """Read a config of the library whose scope the path begins with."""
    return Config.fromfile(Config._get_cfg_path(path, '')[0])


def without_scopes(node):
    """Return a part of a config without the scopes of its library."""
    if isinstance(node, dict):
        return {k: without_scopes(v) for k, v in node.items() if k != '_scope_'}
    return list(map(without_scopes, node)) if isinstance(node, list | tuple) else node


def without_units(config: dict) -> dict:
    """Return a config with each WithGloRe replaced by the part that it contains."""
    if config.get('type') == 'WithGloRe':
        return config['backbone']
    return {
        key: without_units(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }
