"""How Sphinx builds these pages: `make docs`."""

import re
from pathlib import Path

from mmengine.fileio import load

import glore_mm

ROOT = Path(__file__).parent.parent

project = 'glore-mm'
author = 'the glore-mm authors'
copyright = author
release = version = glore_mm.__version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build', 'compatibility/*']  # a part of a page
myst_heading_anchors = 3
nb_execution_mode = 'off'  # the notebook is committed with its outputs

html_theme = 'furo'
html_title = f'glore-mm {release}'
html_show_copyright = False

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings tell types
autodoc_default_options = dict(members=True, undoc_members=False)
default_role = 'code'  # the docstrings are in Markdown


def models_of(index: Path) -> str:
    """A table of the models that an index of mim lists, for each of its files."""
    tables = []
    for name in load(index)['Import']:
        content = load(ROOT / name)
        (title,) = (collection['Name'] for collection in content['Collections'])
        rows = [f'## {title}', '', '| config | network | data |', '|---|---|---|']
        for model in content['Models']:
            about = model['Metadata']
            network = ', '.join(about['Architecture'])
            link = f'[{model["Name"]}](../{model["Config"]})'
            rows.append(f'| {link} | {network} | {about["Training Data"]} |')
        tables.append('\n'.join(rows))
    return '\n\n'.join(tables)


def fill_in(app: object, name: str, source: list[str]) -> None:
    """Put what model-index.yml lists into the page of the models."""
    if name == 'models':
        source[0] = source[0].replace(
            '<!-- models -->', models_of(ROOT / 'model-index.yml')
        )


def keep_stars(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Shapes such as (N, K, *spatial) are no emphasis."""
    lines[:] = [re.sub(r'(?<![*\w])\*(?![*\s])', r'\\*', line) for line in lines]


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect('source-read', fill_in)
    app.connect('autodoc-process-docstring', keep_stars)
