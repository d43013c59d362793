"""How `make docs` builds the site of the documentation: Sphinx reads the pages and the docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from airflow_provider.altcraft import __version__

project = "airflow-provider-altcraft"
author = "the authors of airflow-provider-altcraft"
release = version = __version__
extensions = [
    "error_texts",
    "myst_parser",
    "reference",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"Altcraft provider for Apache Airflow {release}"
html_copy_source = False
html_show_sphinx = False
# What a reader's browser loads comes from the site itself.
html_static_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
python_use_unqualified_type_names = True
nitpicky = False
linkcheck_anchors = False
