"""Builds the book into outputs/book; every warning is an error.

.venv/bin/python docs/book/build.py
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from check import problems
from sphinx.cmd.build import build_main
from stage import ROOT, stage


def main() -> int:
    """Put the sources together, build the pages, and return an exit status."""
    started = time.perf_counter()
    sources, pages = ROOT / "outputs" / "book-sources", ROOT / "outputs" / "book"
    shutil.rmtree(pages, ignore_errors=True)  # a page that is no more would still be found
    stage(sources)
    options = ["--fresh-env", "--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
    folders = ["--conf-dir", Path(__file__).parent, "--doctree-dir", sources.with_name("book-doctrees"), sources, pages]
    failed = build_main([*options, *map(str, folders)])
    if failed:
        return failed
    found = problems(pages)
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    if not found:
        print(f"The book is at {pages / 'index.html'} ({time.perf_counter() - started:.0f} s).")
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main())
