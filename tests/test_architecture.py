"""The layers of docs/architecture.md: imports point down, and there are no circles."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from paths import ROOT

PLUGIN = {
    'unit', 'fused', 'matmul', 'insertion', 'placement', 'block_info', 'registry',
    'models', 'compat', 'windows',
}  # fmt: skip
#: Folders of the toolkit, the lowest first; a folder imports only from rows above it.
TOOLKIT = [
    {'utils'},
    {'analysis', 'checkpoints', 'synthetic'},
    {'visualization'},
    {'config'},
    {'engine'},
    {'seg', 'cls', 'video'},
    {'apis'},
    {'commands', 'demos'},
]


def imports_of(path):
    """The modules of glore_mm that a file imports, at any place in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        found |= {name for name in names if name.split('.')[0] == 'glore_mm'}
    return {module for module in map(module_of, found) if module}


def module_of(name):
    """The module in a dotted name, which may end with one of its attributes."""
    path = ROOT / name.replace('.', '/')
    if path.with_suffix('.py').is_file():
        return name
    if (path / '__init__.py').is_file():
        return name
    return module_of(name.rpartition('.')[0]) if '.' in name else ''


def modules():
    for path in sorted((ROOT / 'glore_mm').rglob('*.py')):
        name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        yield name.removesuffix('.__init__'), path


MODULES = dict(modules())
EDGES = {name: imports_of(path) - {name, 'glore_mm'} for name, path in MODULES.items()}


def folder(name):
    return name.split('.')[1] if '.' in name else ''


def test_every_folder_is_in_a_layer():
    folders = {folder(name) for name in MODULES} - {''}
    assert folders == PLUGIN.union(*TOOLKIT)


@pytest.mark.parametrize('name', [n for n in MODULES if folder(n) in PLUGIN | {''}])
def test_plugin_does_not_import_the_toolkit(name):
    assert {folder(other) for other in EDGES[name]} <= PLUGIN


def test_imports_point_down():
    level = {r: i for i, folders in enumerate([PLUGIN, *TOOLKIT]) for r in folders}
    climbing = [
        (name, other)
        for name, others in EDGES.items()
        for other in others
        if folder(name) != folder(other)
        and folder(name) not in PLUGIN | {''}
        and level[folder(other)] >= level[folder(name)]
    ]
    assert climbing == []


def test_no_import_circle():
    try:
        list(TopologicalSorter(EDGES).static_order())
    except CycleError as error:
        pytest.fail(f'{" → ".join(error.args[1])}')


def test_only_entry_points_import_by_name():
    """import_module would hide an import from the tests above."""
    users = {
        folder(name)
        for name, path in MODULES.items()
        if 'import_module' in path.read_text()
    }
    assert users <= {'apis', 'config'}  # config: custom_imports of users
