"""What Sphinx does not look at: whether links lead to files that are there, and whether a page needs the network."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = ("script", "img", "link", "iframe", "source")  # what a browser fetches without being asked


class _Page(HTMLParser):
    """Links, what is loaded, and the places that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.places.add(value or "")
            elif name in ("href", "src") and value:
                self.links.append((tag, value))


def problems(folder: Path) -> list[str]:
    """Return a sentence per link of the pages in `folder` that leads nowhere, and per thing that they fetch."""
    pages = {path.resolve(): _Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        for tag, address in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if tag in LOADED and parts.scheme != "data":
                    found.append(f"{name} loads {address}.")
                continue
            meant = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not meant.exists():
                found.append(f"{name} leads to {address}, which is not there.")
            elif meant in pages and tag == "a" and unquote(parts.fragment) not in pages[meant].places:
                found.append(f"{name} leads to {address}: that page has no such place.")
    return found
