"""What the tools share: setting up, running, reporting."""

from glore_mm.engine.amp import CPUAmpOptimWrapper
from glore_mm.engine.lists import class_names, lines_of
from glore_mm.engine.pictures import caption, font_for, stacked
from glore_mm.engine.reporting import (
    plain_errors,
    ranked,
    write_csv,
    write_json,
    write_npz,
)
from glore_mm.engine.running import (
    build_model,
    check_checkpoint,
    convert_checkpoint,
    load_classifier,
    load_weights,
    test,
    train,
    train_and_dump,
)
from glore_mm.engine.scores import PerSampleScores
from glore_mm.engine.setup import (
    add_cfg_options,
    add_outputs,
    config_parser,
    expand_inputs,
    load_config,
    metainfo_of,
    output_files,
    runner_parser,
    set_views,
    task_of,
)
from glore_mm.engine.skipping import SkippedSamples, SkipUnreadable, Unreadable

__all__ = [
    'CPUAmpOptimWrapper',
    'PerSampleScores',
    'SkipUnreadable',
    'SkippedSamples',
    'Unreadable',
    'add_cfg_options',
    'add_outputs',
    'build_model',
    'caption',
    'check_checkpoint',
    'class_names',
    'config_parser',
    'convert_checkpoint',
    'expand_inputs',
    'font_for',
    'lines_of',
    'load_classifier',
    'load_config',
    'load_weights',
    'metainfo_of',
    'output_files',
    'plain_errors',
    'ranked',
    'runner_parser',
    'set_views',
    'stacked',
    'task_of',
    'test',
    'train',
    'train_and_dump',
    'write_csv',
    'write_json',
    'write_npz',
]
