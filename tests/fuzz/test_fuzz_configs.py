"""Configs of ours after an edit: built, or refused with the key of what is wrong."""

import copy
import functools
import re
from dataclasses import dataclass

import pytest
from fuzzing import SCRATCH, assert_clear, fuzz, refusal
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import LOOPS
from mmengine.visualization import Visualizer
from paths import ROOT

from glore_mm.apis.test import test as run_test
from glore_mm.apis.train import train
from glore_mm.checkpoints.files import write_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.engine.loops import (
    ResumableEpochBasedTrainLoop,
    ResumableIterBasedTrainLoop,
)

CONFIGS = ROOT / 'configs'
ALL = sorted(
    str(path.relative_to(CONFIGS))
    for task in ('seg', 'cls', 'video')
    for path in (CONFIGS / task).glob('*.py')
)
MINI = ('seg/glore_mini.py', 'cls/glore_mini.py', 'video/glore_mini.py')
ROOT = SCRATCH / 'configs'
EDITED = ROOT / 'edited.py'
#: What training and testing take of a config; it is these that are edited.
TRAINING = ('model', 'data_preprocessor', 'train_dataloader', 'val_dataloader',
            'optim_wrapper', 'param_scheduler', 'train_cfg', 'val_cfg', 'val_evaluator',
            'default_hooks', 'custom_hooks', 'env_cfg', 'visualizer', 'log_processor',
            'log_level', 'default_scope', 'custom_imports', 'load_from',
            'work_dir')  # fmt: skip
TESTING = ('test_dataloader', 'test_cfg', 'test_evaluator', 'env_cfg',
           'visualizer')  # fmt: skip


@dataclass
class Edit:
    """A config, and what is to be done at one of its keys."""

    name: str
    path: tuple
    kind: str
    value: object

    def of(self, config: dict) -> dict | None:
        """The edited config; None where it cannot be edited so."""
        config = node = copy.deepcopy(config)
        *above, last = self.path
        for key in above:
            node = node[key]
        if isinstance(node, tuple):
            return None
        match self.kind:
            case 'remove':
                del node[last]
            case 'replace':
                node[last] = copy.deepcopy(self.value)
            case 'misspell' if isinstance(node, dict):
                node[f'{last}s'] = node.pop(last)
            case 'add' if isinstance(node[last], dict):
                node[last]['another'] = copy.deepcopy(self.value)
            case _:
                return None
        return config

    def is_named(self, config: dict, message: str) -> bool:
        """Whether a message has the key, the file given, or what is built there."""
        built, node = self.path[:1], config
        for depth, key in enumerate(self.path[:-1], 1):
            node = node[key]
            if isinstance(node, dict) and 'type' in node:
                built = self.path[:depth]
        built = built[: max(1, len(self.path) - 2)]  # its parent may be what refuses
        names = ['.'.join(map(str, built)), str(self.path[-1])]
        if self.path == ('load_from',):
            names.append(str(self.value))
        return any(re.search(rf'(?<!\w){re.escape(n)}(?!\w)', message) for n in names)


def nodes(node: object, path: tuple = ()) -> list[tuple[tuple, object]]:
    """All values in a config below a key, by their paths."""
    found = [(path, node)]
    if isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        found += [n for name, child in items for n in nodes(child, (*path, name))]
    return found


@functools.cache
def read(name: str) -> dict:
    """A config of ours; those of the demos with small data and batches."""
    config = load_config(str(CONFIGS / name), work_dir=str(ROOT / 'work_dir'))
    config = config._cfg_dict.to_dict()
    if name in MINI:
        for path, value in nodes(config):
            if path[-1:] == ('data_root',):
                config_at(config, path[:-1])['data_root'] = str(ROOT / value)
        config['train_dataloader']['batch_size'] = 2
    return config


def config_at(config: dict, path: tuple) -> object:
    """What a config has at a path."""
    return functools.reduce(lambda node, key: node[key], path, config)


VALUES = [None, True, -1, 0, 1, 3, 0.5, 'x', '', '..', [], {}, [1, 2], (0,), 'ReLU',
          dict(type='x'), dict(type='ReLU')]  # fmt: skip


@st.composite
def edits(draw, names: tuple, keys: tuple) -> Edit:
    """Something done to one of several configs: its own parts serve as values too."""
    name = draw(st.sampled_from(names))
    found = [n for n in nodes(read(name)) if n[0] and n[0][0] in keys]
    path, _ = draw(st.sampled_from(found))
    kind = draw(st.sampled_from(['remove', 'replace', 'replace', 'misspell', 'add']))
    value = draw(st.sampled_from(VALUES) | st.sampled_from(found).map(lambda n: n[1]))
    return Edit(name, path, kind, value)


def written(config: dict) -> str:
    """A config's file."""
    EDITED.write_text(''.join(f'{key} = {value!r}\n' for key, value in config.items()))
    return str(EDITED)


@pytest.fixture(scope='module', autouse=True)
def data(small_data):
    """Data for the configs of the demos, where these look, and a checkpoint of each."""
    (ROOT / 'data').mkdir(parents=True)
    names = dict(seg='mini_cityscapes', cls='mini_imagenet', video='mini_kinetics')
    for task, name in names.items():
        (ROOT / 'data' / name).symlink_to(small_data[task])
    for name in MINI:
        state = build_model(Config(read(name))).state_dict()
        write_checkpoint(dict(state_dict=state), checkpoint_of(name))


def checkpoint_of(name: str) -> str:
    return str(ROOT / name.replace('/', '_').replace('.py', '.pth'))


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch):
    """A run ends where its loop would begin; nothing is downloaded."""
    for loop in (
        ResumableEpochBasedTrainLoop,
        ResumableIterBasedTrainLoop,
        LOOPS.get('TestLoop'),
    ):
        monkeypatch.setattr(loop, 'run', lambda self: {})
    monkeypatch.setenv('GLORE_OFFLINE', '1')


def outcome(edit: Edit, run) -> str | None:
    """The message that refuses an edited config; None where it is built."""
    config = edit.of(read(edit.name))
    if config is None:
        return None
    try:
        message = refusal(lambda: run(load_config(written(config))))
    finally:
        for logger in MMLogger._instance_dict.values():
            for handler in logger.handlers:
                handler.close()
        for kept in (MMLogger, MessageHub, Visualizer, *Visualizer.__subclasses__()):
            kept._instance_dict.clear()
    if message:
        assert_clear(message)
        assert edit.is_named(read(edit.name), message), message
    return message


@pytest.mark.slow
@fuzz(20, edit=edits(MINI, TRAINING))
def test_training_by_edited_configs(edit):
    return outcome(edit, train)


@fuzz(10, edit=edits(MINI, TESTING))
def test_testing_by_edited_configs(edit):
    return outcome(edit, lambda cfg: run_test(cfg, checkpoint_of(edit.name)))


@fuzz(20, edit=edits(ALL, ('model',)))
def test_networks_of_edited_configs(edit):
    return outcome(edit, build_model)
