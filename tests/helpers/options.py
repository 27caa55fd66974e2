"""Command-line options for runs of seconds."""


def cfg_options(values):
    """Return --cfg-options with these keys and values."""
    return ['--cfg-options', *(f'{key}={value}' for key, value in values.items())]


def tiny_epochs(data, head, **more):
    """Return --cfg-options for a tiny backbone with this head, and few epochs."""
    return cfg_options(
        {
            'data_root': data,
            'model.backbone.backbone.base_channels': 4,
            f'model.{head}.in_channels': 128,
            'train_dataloader.batch_size': 4,
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 2,
            'default_hooks.checkpoint.interval': 1,
            'default_hooks.logger.interval': 2,
        }
        | more
    )
