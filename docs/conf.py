"""How Sphinx builds these pages: ``bash tools/test.sh docs`` writes ``docs/_build/html``.

Nothing is fetched from the network while building, and every warning is an error.
"""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

project = "kernelllm-jupyter"
author = "the authors of kernelllm-jupyter"
copyright = "2026, " + author
version = release = json.loads((HERE.parent / "package.json").read_text())["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "code_tables"]
exclude_patterns = ["_build"]
needs_sphinx = "8.1"

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "ignore-module-all": True}
python_maximum_signature_line_length = 80
# Options are spelt with two hyphens, not with a dash.
smartquotes = False

nitpicky = True
nitpick_ignore_regex = [
    # Types of other packages, which are not looked up because nothing is fetched.
    (r"py:.*", r"(torch|numpy|pathlib|threading|typing|collections|argparse|types)\b.*"),
    # The names and pieces of annotations, as they stand in a signature.
    (r"py:class", r"[^.]+"),
]

html_theme = "furo"
html_title = f"kernelllm-jupyter {version}"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False


def exists(name):
    """Whether ``name`` is a module of this package, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        try:
            for part in parts[count:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def without_a_page(app, env, node, shown):
    """Docstrings may name what has no page here, as long as there is such a thing."""
    name = node.get("reftarget", "")
    if node.get("refdomain") == "py" and name.startswith("kernelllm_jupyter.") and exists(name):
        return shown
    return None


def setup(app):
    app.connect("missing-reference", without_a_page)

    # The model card lies with the model; a link that GitHub follows to there is a page here.
    card = "../kernelllm_jupyter/starter/checkpoint/README.md"

    def to_pages(_, name, source):
        if name != "starter":
            source[0] = source[0].replace(f"]({card})", "](starter.md)")

    app.connect("source-read", to_pages)
