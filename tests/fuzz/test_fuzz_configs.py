"""Fuzzing of our configs with one edit: built, or an error with the wrong key."""

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
OWN_DATA = 'custom|table|multilabel|inaturalist'  # in the name
MINI = ('seg/glore_mini.py', 'cls/glore_mini.py', 'video/glore_mini.py')
ROOT = SCRATCH / 'configs'
EDITED = ROOT / 'edited.py'
#: The parts of a config that training and testing use, and that are edited.
TRAINING = ('model', 'data_preprocessor', 'train_dataloader', 'val_dataloader',
            'optim_wrapper', 'param_scheduler', 'train_cfg', 'val_cfg', 'val_evaluator',
            'default_hooks', 'custom_hooks', 'env_cfg', 'visualizer', 'log_processor',
            'log_level', 'default_scope', 'custom_imports', 'load_from',
            'work_dir')  # fmt: skip
TESTING = ('test_dataloader', 'test_cfg', 'test_evaluator', 'env_cfg',
           'visualizer')  # fmt: skip


@dataclass
class Edit:
    """A config and an edit of one of its keys."""

    name: str
    path: tuple
    kind: str
    value: object

    def of(self, config: dict) -> dict | None:
        """Return the edited config, or None if this edit is not possible."""
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
        """Whether a message names the key, the file, or the type that is built."""
        built, node = self.path[:1], config
        for depth, key in enumerate(self.path[:-1], 1):
            node = node[key]
            if isinstance(node, dict) and 'type' in node:
                built = self.path[:depth]
        built = built[: max(1, len(self.path) - 2)]  # its parent may raise the error
        names = ['.'.join(map(str, built)), str(self.path[-1])]
        if self.path == ('load_from',):
            names.append(str(self.value))
        return any(re.search(rf'(?<!\w){re.escape(n)}(?!\w)', message) for n in names)


def nodes(node: object, path: tuple = ()) -> list[tuple[tuple, object]]:
    """All values below a key of a config, by path."""
    found = [(path, node)]
    if isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        found += [n for name, child in items for n in nodes(child, (*path, name))]
    return found


@functools.cache
def read(name: str) -> dict:
    """Load one of our configs; those of demos with small data and batches."""
    # where the data define the classes, they are given
    options = dict(classes=['a', 'b']) if re.search(OWN_DATA, name) else None
    work_dir = ROOT / 'work_dir' / name.replace('/', '_')  # not that of another task
    config = load_config(str(CONFIGS / name), options, str(work_dir))
    config = config._cfg_dict.to_dict()
    if name in MINI:
        for path, value in nodes(config):
            if path[-1:] == ('data_root',):
                config_at(config, path[:-1])['data_root'] = str(ROOT / value)
        config['train_dataloader']['batch_size'] = 2
    return config


def config_at(config: dict, path: tuple) -> object:
    """Value of a config at a path."""
    return functools.reduce(lambda node, key: node[key], path, config)


VALUES = [None, True, -1, 0, 1, 3, 0.5, 'x', '', '..', [], {}, [1, 2], (0,), 'ReLU',
          dict(type='x'), dict(type='ReLU')]  # fmt: skip


@st.composite
def edits(draw, names: tuple, keys: tuple) -> Edit:
    """Generate an edit of one of several configs; its own parts are values, too."""
    name = draw(st.sampled_from(names))
    found = [n for n in nodes(read(name)) if n[0] and n[0][0] in keys]
    path, _ = draw(st.sampled_from(found))
    kind = draw(st.sampled_from(['remove', 'replace', 'replace', 'misspell', 'add']))
    value = draw(st.sampled_from(VALUES) | st.sampled_from(found).map(lambda n: n[1]))
    return Edit(name, path, kind, value)


def written(config: dict) -> str:
    """Write a config to a file."""
    EDITED.write_text(''.join(f'{key} = {value!r}\n' for key, value in config.items()))
    return str(EDITED)


@pytest.fixture(scope='session', autouse=True)
def data(small_data):
    """Data of the demo configs in their default places, and a checkpoint of each."""
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
    """Stop a run where its loop would begin; download nothing."""
    for loop in (
        ResumableEpochBasedTrainLoop,
        ResumableIterBasedTrainLoop,
        LOOPS.get('TestLoop'),
    ):
        monkeypatch.setattr(loop, 'run', lambda self: {})
    monkeypatch.setenv('GLORE_OFFLINE', '1')


def outcome(edit: Edit, run) -> str | None:
    """Message of the error for an edited config; None if it is built."""
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
