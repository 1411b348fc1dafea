"""How Sphinx makes the book; `make book` calls it on the sources that stage.py has put together.

Nothing in it needs a network: no font, script or style is fetched, while it is built or when it is read.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import scalearn_lib  # noqa: E402 (found by the line before)

project = "scalearn_lib"
author = "the authors of scalearn_lib"
copyright = "the authors of scalearn_lib, Apache-2.0"
release = version = scalearn_lib.__version__

extensions = ["myst_nb", "mathml", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["README.md"]  # included in parts by index.md and using.md

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False
nb_execution_mode = "off"  # `make notebooks` executes, and keeps what came out
nb_merge_streams = True
nb_ipywidgets_js = {}  # sliders need a kernel; their scripts would come from elsewhere
nb_code_prompt_show = "Show code"  # folded where a cell is tagged hide-input; answers have words of their own
nb_code_prompt_hide = "Hide code"

html_theme = "furo"
html_title = "scalearn_lib"
html_static_path = [str(HERE / "static")]
html_css_files, html_js_files = ["book.css"], ["book.js"]
html_math_renderer = "mathml"
html_show_search_summary = False  # fetched from the pages, which browsers refuse for file://
html_copy_source = html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}

autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_use_rtype = False
default_role = "code"  # docstrings write names as `name`
