"""Text streams from the Jupyter kernel into a cell of the notebook, whatever happens meanwhile."""

from __future__ import annotations

import pytest
from servers import Server
from streaming_magic import text_of

LOAD = "%load_ext streaming_magic"


@pytest.mark.parametrize("kind", ["lab", "notebook7"])
def test_text_streams_into_a_new_cell_directly_below(kind, request, open_notebook):
    server: Server = request.getfixturevalue(kind)
    page = open_notebook(server, [LOAD, "%%stream length=2000\nx", "last = 1"])
    page.run(0)
    page.run(1)
    assert page.sources() == [LOAD, "%%stream length=2000\nx", text_of(2000), "last = 1"]
    assert "finished by CellStream" in page.outputs(1)
    assert page.mark(2)["source_cell"] == "cell-1"
