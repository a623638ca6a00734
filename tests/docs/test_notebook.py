"""The notebook runs from top to bottom, says what it shows, and is kept without its outputs."""

import re

import nbformat
import pytest
from nbclient import NotebookClient
from tests.docs.conftest import ROOT

PATH = ROOT / "examples" / "pool_to_deployment.ipynb"


@pytest.fixture(scope="module")
def printed() -> str:
    """What all cells print, run in the notebook's folder by a kernel of its own."""
    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(PATH.parent)}}).execute()
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return "".join(out.get("text", "") for cell in cells for out in cell.outputs)


@pytest.mark.xdist_group("notebook")
def test_the_notebook_ends_with_a_gate_that_beats_the_lookup_and_the_best_single_model(printed):
    gate, lookup, single = (
        float(re.search(rf"^{name} +([\d.]+)", printed, re.MULTILINE).group(1))
        for name in ("gate", "lookup", "best single model")
    )
    assert single < lookup < gate < 0.8
    planned = float(re.search(r"^planned ([\d.]+)$", printed, re.MULTILINE).group(1))
    assert abs(planned - gate) < 0.05


@pytest.mark.xdist_group("notebook")
def test_the_notebook_proves_its_plans_and_measures_its_regret(printed):
    assert printed.count(", optimal") == 3
    regret = float(re.search(r"^regret ([+-][\d.]+),", printed, re.MULTILINE).group(1))
    assert abs(regret) < 0.05


def test_the_notebook_is_kept_without_outputs_and_explains_every_step():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    before = None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            assert before == "markdown", "a step without a word about it"
        before = cell.cell_type
