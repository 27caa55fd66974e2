"""What the tools share: setting up, running, reporting."""

import glore_mm._toolkit  # noqa: F401
from glore_mm.engine.amp import CPUAmpOptimWrapper
from glore_mm.engine.building import build_model
from glore_mm.engine.images import bad_image
from glore_mm.engine.lists import class_names, lines_of, listed_file, samples_of
from glore_mm.engine.predicting import Predictor
from glore_mm.engine.reporting import (
    plain_errors,
    ranked,
    write_csv,
    write_json,
    write_npz,
    write_text,
)
from glore_mm.engine.running import (
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
    example_inputs,
    expand_inputs,
    inputs_parser,
    load_config,
    metainfo_of,
    output_files,
    parser_of,
    runner_parser,
    set_views,
    task_of,
)
from glore_mm.engine.skipping import SkippedSamples, SkipUnreadable, Unreadable
from glore_mm.engine.videos import (
    VIDEO_SUFFIXES,
    PyAV,
    frames_of,
    is_video,
    open_video,
    read_frames,
    rewrite_video,
)
from glore_mm.engine.watching import WatchNodes

__all__ = [
    'VIDEO_SUFFIXES',
    'CPUAmpOptimWrapper',
    'PerSampleScores',
    'Predictor',
    'PyAV',
    'SkipUnreadable',
    'SkippedSamples',
    'Unreadable',
    'WatchNodes',
    'add_cfg_options',
    'add_outputs',
    'bad_image',
    'build_model',
    'check_checkpoint',
    'class_names',
    'config_parser',
    'convert_checkpoint',
    'example_inputs',
    'expand_inputs',
    'frames_of',
    'inputs_parser',
    'is_video',
    'lines_of',
    'listed_file',
    'load_classifier',
    'load_config',
    'load_weights',
    'metainfo_of',
    'open_video',
    'output_files',
    'parser_of',
    'plain_errors',
    'ranked',
    'read_frames',
    'rewrite_video',
    'runner_parser',
    'samples_of',
    'set_views',
    'task_of',
    'test',
    'train',
    'train_and_dump',
    'write_csv',
    'write_json',
    'write_npz',
    'write_text',
]
