"""Patches that are applied when a module is imported."""

import importlib
import importlib.resources
import inspect
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec

import pytest
from paths import ROOT
from processes import seen, write

from glore_mm.compat import import_hook


@pytest.fixture
def patched(tmp_path, monkeypatch):
    """A package `broken` on the path; a patch changes its `value` from 1 to 2."""
    write(tmp_path / 'broken/__init__.py', 'value = 1\n\ndef function():\n    pass\n')
    write(tmp_path / 'broken/data.txt', 'data')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(import_hook, '_patches', {})

    @import_hook.after_import('broken')
    def patch(module):
        assert module is sys.modules['broken']
        assert module.value == 1
        module.value = 2

    yield
    sys.modules.pop('broken', None)


def test_a_patch_runs_after_import_and_after_reload(patched):
    import_hook.install()
    module = importlib.import_module('broken')
    assert module.value == 2
    assert importlib.reload(module).value == 2


def test_a_patched_module_keeps_its_loader(patched):
    assert find_spec('broken').loader.is_package('broken')
    module = importlib.import_module('broken')
    assert type(module.__loader__) is type(module.__spec__.loader) is SourceFileLoader
    assert module.__spec__.origin == module.__file__
    assert 'def function' in inspect.getsource(module.function)
    assert importlib.resources.files(module).joinpath('data.txt').read_text() == 'data'


def test_install_patches_imported_modules_only_once(patched, monkeypatch):
    finders = [
        finder for finder in sys.meta_path if finder is not import_hook._PatchFinder
    ]
    monkeypatch.setattr(sys, 'meta_path', finders)
    module = importlib.import_module('broken')
    assert module.value == 1
    import_hook.install()
    import_hook.install()
    assert module.value == 2
    assert sys.meta_path.count(import_hook._PatchFinder) == 1


def test_install_imports_no_large_package():
    heavy = seen(f"""
        import sys, types
        package = sys.modules['glore_mm'] = types.ModuleType('glore_mm')
        package.__path__ = [{str(ROOT / 'glore_mm')!r}]
        from glore_mm import compat
        compat.install()
        heavy = ('torch', 'numpy', 'mmengine', 'mmcv')
        seen['heavy'] = [name for name in heavy if name in sys.modules]
    """)['heavy']
    assert heavy == []


@pytest.mark.slow
def test_modules_imported_before_glore_mm_are_patched(tmp_path):
    early = seen("""
        import io, numpy, pickle, sys
        import mmcv, mmengine.hub, mmengine.runner, mmaction, torch
        from mmaction.datasets.transforms import ColorJitter
        from mmengine.logging import HistoryBuffer
        from mmengine.utils import dl_utils

        import glore_mm
        import mmcv.ops, mmaction.models
        file = io.BytesIO()
        torch.save(HistoryBuffer([1.0], [1]), file)
        file.seek(0)
        seen['history'] = torch.load(file).current()
        name = 'mmseg::_base_/default_runtime.py'
        seen['scope'] = mmengine.hub.get_config(name).default_scope
        seen['installed'] = mmengine.is_installed('mmseg')
        seen['ddp'] = hasattr(
            mmengine.model.MMDistributedDataParallel.__init__, '__wrapped__'
        )
        seen['dist'] = hasattr(mmengine.dist.utils._init_dist_pytorch, '__wrapped__')
        red = numpy.full((1, 1, 3), (255, 0, 0), numpy.uint8)
        seen['hue'] = [
            adjust_hue(red, -0.5).ravel().tolist()
            for adjust_hue in (mmcv.adjust_hue, ColorJitter.adjust_hue)
        ]
    """)
    assert early.pop('history') == 1
    assert early.pop('scope') == 'mmseg'
    # blue (BGR), rotated by -127 / 256, and red (RGB), rotated by -127 / 180
    assert early.pop('hue') == [[0, 255, 246], [59, 255, 0]]
    assert early == {'installed': True, 'ddp': True, 'dist': True}


def test_correct_functions_are_not_patched(tmp_path):
    write(tmp_path / 'pkg_resources.py')
    write(tmp_path / 'distutils/__init__.py')
    write(tmp_path / 'distutils/errors.py')
    write(tmp_path / '_ext.py', 'def __getattr__(name):\n    return len')
    write(tmp_path / 'mmaction/__init__.py')
    write(tmp_path / 'mmaction/models/localizers/drn/drn.py')
    evaluation = 'cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling'
    write(tmp_path / f'{evaluation.replace(".", "/")}.py')
    changed = seen(
        f"""
        import importlib, sys
        from importlib.util import spec_from_file_location

        class FullMMCV:
            def find_spec(name, path=None, target=None):
                if name == 'mmcv._ext':
                    return spec_from_file_location(name, '{tmp_path}/_ext.py')

        sys.meta_path.insert(0, FullMMCV)
        import numpy, torch
        numpy.in1d = len
        import mmengine.device.utils
        mmengine.device.utils.DEVICE = 'cuda'

        import glore_mm
        import mmaction, mmcv.ops, mmengine.hub.hub, mmengine.runner
        import {evaluation}

        for name in ('mmengine', 'mmengine.utils', 'mmengine.config.config'):
            seen[name] = sys.modules[name].is_installed.__module__
        seen['hub'] = mmengine.hub.hub.get_installed_path.__module__
        seen['load_ext'] = mmcv.utils.ext_loader.load_ext.__module__
        seen['nms'] = sys.modules['mmcv.ops.nms'].ext_module.__name__
        seen['drn'] = 'mmaction.models.localizers.drn.drn' in sys.modules
        import distutils
        seen['distutils'] = distutils.__spec__.origin is None
        seen['in1d'] = numpy.in1d is not len
        seen['ddp'] = hasattr(
            mmengine.model.MMDistributedDataParallel.__init__, '__wrapped__'
        )
        seen['dist'] = hasattr(mmengine.dist.utils._init_dist_pytorch, '__wrapped__')
        """,
        path=[tmp_path],
    )
    utils = 'mmengine.utils.package_utils'
    for name in ('mmengine', 'mmengine.utils', 'mmengine.config.config', 'hub'):
        assert changed.pop(name) == utils
    assert changed.pop('load_ext') == 'mmcv.utils.ext_loader'
    assert changed.pop('nms') == 'mmcv._ext'
    assert {name for name, value in changed.items() if value} == set()
