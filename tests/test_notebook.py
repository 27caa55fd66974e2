"""The notebook of the tutorials runs, and is committed as it runs.

``python tests/test_notebook.py`` runs it and writes its outputs anew.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FILE = Path(__file__).parent.parent / 'docs' / 'tutorials' / 'glore.ipynb'
#: What the text of the notebook says of its figures.
CLAIMS = """
assert scores['with a unit'] > 95, scores
assert scores['without a unit'] < 40, scores
assert accuracy(nets['with a unit'], val_erased) < 40
cues = (val_strips[0] != val_erased[0]).any(0)
assert not gradient(nets['without a unit'], 0)[cues].any()
assert gradient(nets['with a unit'], 0)[cues].all()
*at_cues, at_region, elsewhere = np.abs(by_place)
assert (at_region > 1).sum() > 4, by_place
assert elsewhere.max() < np.max(at_cues) / 10, by_place
"""


def read() -> nbformat.NotebookNode:
    return nbformat.read(FILE, as_version=4)


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run all cells in place; an error in one of them is raised."""
    # without the time of each cell, which would differ each time
    options = dict(timeout=600, record_timing=False, coalesce_streams=True)
    NotebookClient(notebook, **options).execute()


@pytest.mark.slow
def test_it_runs_and_its_text_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('IPYTHONDIR', 'JUPYTER_RUNTIME_DIR', 'JUPYTER_CONFIG_DIR'):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = read()
    notebook.cells.append(nbformat.v4.new_code_cell(CLAIMS))
    execute(notebook)


def test_it_is_committed_with_its_outputs():
    cells = [cell for cell in read().cells if cell.cell_type == 'code']
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    pictures = [output for output in outputs if 'image/jpeg' in output.get('data', {})]
    assert len(pictures) >= 5
    assert not [output for output in outputs if output.output_type == 'error']
    assert not [output for output in outputs if output.get('name') == 'stderr']


def test_it_is_small_and_names_no_machine():
    text = FILE.read_text()
    assert len(text) < 400_000
    found = re.search(r'"(execution|iopub\.\w+)"|/(home|root|tmp|work|Users)/', text)
    assert not found, found


if __name__ == '__main__':
    executed = read()
    execute(executed)
    nbformat.write(executed, FILE)
