"""Patches of mmengine."""

import io
import json
import os
import re
import socket
import textwrap
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace

import mmengine.hub
import mmengine.runner
import mmengine.utils
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS, DefaultScope, Registry
from processes import python, seen, write

from glore_mm.compat import mmengine as mmengine_patches


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def test_environment_is_collected_without_distutils():
    environment = seen("""
        import importlib.machinery, sys

        class PathFinder(importlib.machinery.PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name.split('.')[0] != 'distutils':
                    return super().find_spec(name, path, target)

        real = importlib.machinery.PathFinder
        importlib.machinery.PathFinder = PathFinder
        sys.meta_path = [
            PathFinder if finder is real else finder
            for finder in sys.meta_path
            if 'distutils' not in getattr(finder, '__module__', '')
        ]
        sys.modules.pop('_distutils_hack', None)

        import glore_mm
        from mmengine.utils.dl_utils import collect_env
        seen['version'] = collect_env()['MMEngine']
        seen['distutils'] = sys.modules['distutils'].__spec__.origin
    """)
    assert environment == {'version': mmengine.__version__, 'distutils': None}


@pytest.mark.parametrize(
    'package, module',
    [
        ('mmengine', 'mmengine'),
        ('MMEngine', 'mmengine'),
        ('mmseg', 'mmseg'),
        ('mmsegmentation', 'mmseg'),
        ('mmaction2', 'mmaction'),
        ('mmcv', 'mmcv'),
        ('glore_mm', 'glore_mm'),
    ],
)
def test_package_is_found_by_either_name(package, module):
    assert mmengine_patches.is_installed(package)
    folder = os.path.dirname(find_spec(module).origin)
    assert mmengine_patches.get_installed_path(package) == folder


@pytest.mark.parametrize('spelling', ['some-name', 'some_name', 'Some.Name'])
def test_an_editable_package_is_found(spelling, tmp_path, monkeypatch):
    source = write(tmp_path / 'source/somemodule/__init__.py').parent
    info = tmp_path / 'site/some_name-1.0.dist-info'
    write(info / 'METADATA', 'Metadata-Version: 2.1\nName: some-name\nVersion: 1.0\n')
    write(info / 'top_level.txt', 'somemodule\n')
    monkeypatch.syspath_prepend(tmp_path / 'site')
    with pytest.raises(ValueError, match='the name to import it is unknown'):
        mmengine_patches.get_installed_path(spelling)
    monkeypatch.syspath_prepend(tmp_path / 'source')
    assert mmengine_patches.is_installed(spelling)
    assert mmengine_patches.get_installed_path(spelling) == str(source)


def test_missing_and_namespace_packages_are_not_installed(tmp_path, monkeypatch):
    write(tmp_path / 'somespace/module.py')
    monkeypatch.syspath_prepend(tmp_path)
    assert not mmengine_patches.is_installed('somespace')
    with pytest.raises(RuntimeError, match='namespace'):
        mmengine_patches.get_installed_path('somespace')
    assert not mmengine_patches.is_installed('no-such-package')
    with pytest.raises(PackageNotFoundError):
        mmengine_patches.get_installed_path('no-such-package')


def test_config_of_another_package_is_found(tmp_path):
    file = write(tmp_path / 'a.py', "_base_ = 'mmseg::_base_/default_runtime.py'")
    assert Config.fromfile(file).default_scope == 'mmseg'
    name = 'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'
    assert mmengine.hub.get_config(name).model.type == 'EncoderDecoder'


def test_python_style_config_of_another_package_is_found(tmp_path, monkeypatch):
    write(tmp_path / 'somepackage/__init__.py')
    write(tmp_path / 'somepackage/base.py', 'depth = 50')
    monkeypatch.syspath_prepend(tmp_path)
    config = """
        from mmengine.config import read_base
        with read_base():
            from somepackage.base import *
        """
    assert Config.fromfile(write(tmp_path / 'b.py', config)).depth == 50


def test_config_of_glore_mm_is_built_in_the_scope_of_its_task(tmp_path, monkeypatch):
    write(tmp_path / 'glore_mm/.mim/model-index.yml', 'Import: []')
    write(tmp_path / 'glore_mm/.mim/configs/seg/x.py', "model = dict(type='Some')")
    monkeypatch.setattr(
        'mmengine.config.config.get_installed_path', lambda name: tmp_path / name
    )
    task = Registry('model', parent=MODELS, scope='some_task', locations=[])
    task.register_module('Some', module=dict)
    model = Config.fromfile(
        write(tmp_path / 'c.py', "_base_ = 'glore_mm::seg/x.py'\nmodel = dict(a=1)")
    ).model
    with DefaultScope.overwrite_default_scope('some_task'):
        assert MODELS.build(model) == {'a': 1}
    MODELS.children.pop('some_task')


class Reduced:
    """An object that is pickled as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class Stated:
    """An object that is pickled as another value with a state."""

    def __init__(self, value, state):
        self.call = (*value.__reduce__()[:2], state)

    def __reduce__(self):
        return self.call


def load(value, numpy_core=None):
    """Save a value as torch does and load it as mmengine does."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    if numpy_core:
        data, count = re.subn(rb'numpy\._?core\b', numpy_core.encode(), data)
        assert count
    return torch.load(io.BytesIO(data), weights_only=True)


@pytest.mark.parametrize('numpy_core', ['numpy.core', 'numpy._core'])
@pytest.mark.parametrize('values', [[1, 2], [0.5, 1.5]])
def test_history_is_loaded(values, numpy_core):
    history = load(HistoryBuffer(values, [1] * len(values)), numpy_core)
    assert [array.tolist() for array in history.data] == [values, [1] * len(values)]
    assert history.statistics('mean') == sum(values) / 2
    again = load(history, numpy_core)  # as in the next checkpoint of a resumed run
    assert [array.tolist() for array in again.data] == [values, [1] * len(values)]


@pytest.mark.parametrize('numpy_core', ['numpy.core', 'numpy._core'])
@pytest.mark.parametrize('number', [np.float32(1.5), np.float64(1.5), np.int64(1)])
def test_score_is_loaded(number, numpy_core):
    loaded = load(number, numpy_core)
    assert loaded == number and type(loaded) is type(number)


def test_statistics_of_the_history_are_loaded():
    for name in ('min', 'max', 'mean', 'current'):
        method = getattr(HistoryBuffer, name)
        assert load(Reduced(getattr, HistoryBuffer, name)) is method


@pytest.mark.parametrize(
    'hostile',
    [
        Reduced(getattr, HistoryBuffer, '__init__'),
        Reduced(getattr, Reduced(getattr, HistoryBuffer, 'mean'), '__globals__'),
        Reduced(getattr, np.ndarray, 'mean'),
        Reduced(getattr, HistoryBuffer(), 'mean'),
        Reduced(np.ndarray, (1,), 'O', b'pointers'),
        Reduced(np.ndarray, (1,), 'f8'),
        np.array([None]),
        np.zeros(1, [('field', 'O')]),
        Stated(np.dtype('f8'), (3, '<', None, None, None, -1, -1, 63)),
        Stated(np.dtype('f8'), (3, '<', (np.dtype('O'), 1), None, None, 8, 8, 0)),
        Reduced(bytearray, 10**11),
        Reduced(os.system, 'true'),
        Reduced(eval, '1'),
    ],
    ids=lambda value: str(getattr(value, 'call', value))[:50],
)
def test_hostile_checkpoint_is_refused(hostile):
    with pytest.raises(UnpicklingError):
        load(hostile)


def test_real_getattr_is_not_allowed():
    allowed = torch.serialization.get_safe_globals()
    names = [
        e[1] if isinstance(e, tuple) else f'{e.__module__}.{e.__name__}'
        for e in allowed
    ]
    assert 'builtins.getattr' in names
    assert getattr not in [e[0] if isinstance(e, tuple) else e for e in allowed]


RUNNER = """
    import atexit, json, os, sys, time
    import glore_mm
    import torch
    from mmengine.evaluator import BaseMetric
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from torch import nn


    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            generator = torch.Generator().manual_seed(index)
            return torch.rand(3, 4, 4, generator=generator), index % 2


    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.bn = nn.SyncBatchNorm(3)
            self.fc = nn.Linear(3, 2)

        def forward(self, image, label, mode):
            score = self.fc(self.bn(image).mean((2, 3)))
            if mode == 'loss':
                return dict(loss=nn.functional.cross_entropy(score, label))
            return list(zip(score.argmax(1), label))


    class Accuracy(BaseMetric):
        def process(self, batch, samples):
            self.results += [float(a == b) for a, b in samples]

        def compute_metrics(self, results):
            return dict(accuracy=sum(results) / len(results), samples=len(results))


    def train(epochs, resume, launcher):
        data = dict(
            dataset=Data(),
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler'),
            collate_fn=dict(type='default_collate'),
        )
        runner = Runner(
            Model(),
            'work',
            train_dataloader=data,
            val_dataloader=data,
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            val_cfg=dict(),
            val_evaluator=[Accuracy()],
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(
                    type='CheckpointHook', save_best='accuracy', rule='greater'
                ),
            ),
            launcher=launcher,
            resume=resume,
            experiment_name=f'until_{epochs}',
        )
        runner.train()
        return runner


    def count_threads():
        time.sleep(0.5)  # Linux lists a thread that was joined for a moment
        names = [open(f'/proc/self/task/{task}/comm').read()
                 for task in os.listdir('/proc/self/task')]
        count = sum('gloo' in name for name in names)
        sys.stdout.write(f'threads of gloo: {count}\\n')  # whole, unlike print


    atexit.register(count_threads)  # called after what is registered later
    train(1, False, sys.argv[1])
    runner = train(2, True, sys.argv[1])
    scalars = runner.message_hub.log_scalars
    seen = dict(
        backend=torch.distributed.is_initialized() and torch.distributed.get_backend(),
        epoch=runner.epoch,
        iterations=len(scalars['train/loss'].data[0]),
        samples=int(scalars['val/samples'].current()),
        weight=[float(value) for value in next(runner.model.parameters())],
    )
    rank = os.environ.get('RANK', '0')
    json.dump(seen, open(f'rank{rank}.json', 'w'))
"""


WARNING = 'the model falls back to BN'


@pytest.fixture
def runner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / 'runner.py', RUNNER)


def test_training_resumes(runner):
    log = python(runner, 'none')
    seen = json.loads(Path('rank0.json').read_text())
    assert 'Auto resumed from the latest checkpoint' in log
    assert (seen['epoch'], seen['iterations'], seen['samples']) == (2, 8, 8)
    assert WARNING not in log  # mmengine itself reverts SyncBN in a single process


@pytest.mark.slow
def test_two_processes_train_validate_save_and_resume(runner):
    torchrun = ('-m', 'torch.distributed.run', '--nproc-per-node', 2)
    port = ('--master-addr', '127.0.0.1', '--master-port', free_port())
    log = python(*torchrun, *port, runner, 'pytorch')
    seen = [json.loads(Path(f'rank{rank}.json').read_text()) for rank in (0, 1)]
    for rank in seen:
        assert rank['backend'] == 'gloo'
        assert (rank['epoch'], rank['iterations'], rank['samples']) == (2, 4, 8)
    assert seen[0]['weight'] == seen[1]['weight'] != [1, 1, 1]
    # freeing a tensor without an interpreter would abort the process
    assert log.count('threads of gloo: 0') == 2
    assert log.count(WARNING) == 2  # once for each wrapped model, on rank 0
    logs = [file.read_text() for file in Path('work').glob('*/*.log')]
    assert [text.count(WARNING) for text in logs] == [1, 1]


@pytest.mark.parametrize('backend', ['nccl', 'gloo'])
def test_slurm_without_gpu(backend):
    group = seen(
        f"""
        import glore_mm, torch
        set_device = torch.cuda.set_device
        from mmengine.dist import init_dist
        init_dist('slurm', backend={backend!r})
        seen['backend'] = torch.distributed.get_backend()
        seen['restored'] = torch.cuda.set_device is set_device
        torch.distributed.destroy_process_group()
        """,
        SLURM_PROCID='0',
        SLURM_LOCALID='0',
        SLURM_NTASKS='1',
        SLURM_NODELIST='localhost',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(free_port()),
    )
    assert group == {'backend': 'gloo', 'restored': True}


def test_the_process_group_ends_with_the_program():
    """Otherwise gloo's threads sometimes abort it after its work is done."""
    printed = python(
        '-c',
        textwrap.dedent("""
            import atexit, glore_mm, torch.distributed as dist
            atexit.register(lambda: print('initialized:', dist.is_initialized()))
            from mmengine.dist import init_dist
            init_dist('pytorch')
        """),
        RANK='0',
        LOCAL_RANK='0',
        WORLD_SIZE='1',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(free_port()),
    )
    assert printed == 'initialized: False\n'


def test_onedl_allows_no_other_globals():
    checkpoint = SimpleNamespace(get_torch_safe_globals=lambda: [getattr])
    mmengine_patches.fix_onedl_safe_globals(checkpoint)
    assert checkpoint.get_torch_safe_globals() == []


def test_globals_before_torch_2_6(tmp_path):
    """Where torch does not take names with the types, but reads them from each type."""
    run = seen(
        """
        import io, sys, torch
        from torch import serialization
        vars(serialization).pop('get_unsafe_globals_in_checkpoint', None)
        import glore_mm, mmengine.runner
        import numpy as np
        from mmengine.logging import HistoryBuffer

        allowed = serialization.get_safe_globals()
        seen['plain'] = not [each for each in allowed if isinstance(each, tuple)]
        seen['getattr'] = getattr in allowed
        file = io.BytesIO()
        torch.save([HistoryBuffer([1.0], [1]), np.float64(2)], file)
        file.seek(0)
        history, number = torch.load(file, weights_only=True)
        seen['loaded'] = [history.current(), float(number)]
        """
    )
    assert run == {'plain': True, 'getattr': False, 'loaded': [1.0, 2.0]}


def test_lazy_config_calls_os_path(tmp_path):
    config = write(
        tmp_path / 'config.py',
        """
        import os
        import os.path as osp
        from os.path import join
        from mmengine.dataset import BaseDataset
        paths = [os.path.join('a', 'b'), osp.join('a', 'b'), join('a', 'b')]
        data = dict(type=BaseDataset)
        """,
    )
    plain = write(tmp_path / 'plain.py', 'import os\n')
    assert Config.fromfile(config).paths == ['a/b'] * 3
    assert not Config._is_lazy_import(str(plain))


@pytest.mark.parametrize('call', ['BaseDataset()', 'dataset.BaseDataset()'])
def test_lazy_config_names_what_it_cannot_call(tmp_path, call):
    imports = 'from mmengine import dataset\nfrom mmengine.dataset import BaseDataset\n'
    config = write(tmp_path / 'config.py', f'{imports}data = {call}\n')
    with pytest.raises(RuntimeError, match="config.py.* calls 'BaseDataset' of 'mmeng"):
        Config.fromfile(config)
