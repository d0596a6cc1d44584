"""The notebook of the documentation runs from its first cell to its last, and shows pictures and short words."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
MAX_TEXT_CHARS = 1500
"""Longest text of an output without its pictures: what fits on a screen."""
LIMIT_S = 900
"""Time for a cell; the report takes longest, on a busy machine minutes."""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import nbformat
    from nbclient import NotebookClient

    page: Any = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(page, timeout=LIMIT_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return page


def outputs(page: Any, source: str) -> list[dict[str, Any]]:
    """What the cell with this line has shown."""
    return [output for cell in page.cells if source in cell.source for output in cell.get("outputs", [])]


def test_the_stored_notebook_holds_no_results() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")
def test_texts_are_short_and_pictures_are_shown(executed: Any) -> None:
    texts = [output.get("data", {}).get("text/html", "") for cell in executed.cells for output in cell.get("outputs", [])]
    ours = [re.sub(r"data:image/png;base64,[\w+/=]+", "", text) for text in texts if "<figure" in text]
    assert ours and max(map(len, ours)) < MAX_TEXT_CHARS
    assert outputs(executed, "image = zs.read")[0]["data"]["text/html"].count("<img") == 1
    shown = outputs(executed, "result = zs.restore")
    assert any(output.get("data", {}).get("text/html", "").count("<img") == 3 for output in shown), "raw, denoised, deconvolved"
    assert any("image/png" in output.get("data", {}) for output in outputs(executed, "plt.imshow(image"))


def test_what_was_saved_is_opened_elsewhere(executed: Any) -> None:
    files = outputs(executed, "result.save(folder")[-1]["data"]["text/plain"]
    assert "cell_deconvolved.ome.tif" in files and "cell_report.html" in files
    layer = outputs(executed, "to_napari()")[-1]["data"]["text/plain"]
    assert "0.0325" in layer and "micrometer" in layer and "('y', 'x')" in layer
