"""`make test-book`: the built book as a reader meets it, from its folder, in a real browser (Debian's chromium).

Some pages, wide and narrow, light and dark: nothing on the console, nothing from another server, no page wider than the
screen, a text for each picture; screenshots under outputs/book-shots. Searches, opens an answer by keyboard and
the menu by touch, turns the light off, and, if the environment variable AXE names axe-core's axe.min.js (an npm
package), has it look for barriers.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "outputs" / "book"
SHOTS = ROOT / "outputs" / "book-shots"
CHAPTERS = ("01_scaling_analysis", "05_benchmarks", "06_beyond_the_paper")
LOOKED_AT = ("index", *(f"notebooks/{name}" for name in CHAPTERS), "docs/findings", "api", "assignments")
SIZES = {"desktop": (1400, 1000), "phone": (390, 844)}


def main() -> int:
    """Try everything and return the exit status: 0, or 1 if something is not as it should be."""
    if not (BOOK / "index.html").exists():
        raise SystemExit("There is no book in outputs/book: run `make book` first.")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        problems: list[str] = []
        for scheme in ("light", "dark"):
            for size, (width, height) in SIZES.items():
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                for name in LOOKED_AT:
                    problems += look(context, name, f"{name.replace('/', '-')}-{size}-{scheme}")
                context.close()
        problems += search(browser) + by_keyboard(browser) + by_touch(browser)
        browser.close()
    print("\n".join(problems) or f"All is well; screenshots are in {SHOTS}.")
    return bool(problems)


def watched(context: BrowserContext, problems: list[str], name: str) -> Page:
    """Return a new page that notes what its console says and what it wants from elsewhere."""
    page = context.new_page()
    page.on("console", lambda said: said.type in ("error", "warning") and problems.append(f"{name}: {said.text}"))
    page.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
    page.on("request", lambda asked: asked.url.startswith("http") and problems.append(f"{name} asks for {asked.url}"))
    page.on("requestfailed", lambda asked: problems.append(f"{name}: {asked.url} cannot be had"))
    return page


def look(context: BrowserContext, name: str, shot: str) -> list[str]:
    """Open one page, measure it and take a picture of its first screens."""
    problems: list[str] = []
    page = watched(context, problems, shot)
    page.goto((BOOK / f"{name}.html").as_uri())
    page.wait_for_load_state("load")
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if wide > screen:
        problems.append(f"{shot}: {wide} pixels wide on a screen of {screen}")
    for image in page.locator("article img").all():
        if not image.get_attribute("alt") or not image.evaluate("one => one.complete && one.naturalWidth > 0"):
            problems.append(f"{shot}: the picture {image.get_attribute('src')} is not there or has no text")
    height = min(page.evaluate("document.documentElement.scrollHeight"), 6000)
    page.screenshot(
        path=SHOTS / f"{shot}.png", full_page=True, clip={"x": 0, "y": 0, "width": screen, "height": height}
    )
    if axe := os.environ.get("AXE"):
        page.add_script_tag(content=Path(axe).read_text())
        rules = page.evaluate(
            "axe.run({preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']}).then(result => result.violations)"
        )
        for rule in rules:
            where = {
                node["target"][0] if isinstance(node["target"][0], str) else str(node["target"][0])
                for node in rule["nodes"]
            }
            problems.append(f"{shot}: {rule['id']} ({rule['help']}) at {', '.join(sorted(where)[:4])} ({len(where)})")
    page.close()
    return problems


def search(browser: Browser) -> list[str]:
    """Search for a word as a reader does, without a server."""
    problems: list[str] = []
    page = watched(browser.new_context(), problems, "search")
    page.goto((BOOK / "index.html").as_uri())
    box = page.locator("input[name=q]").first
    box.fill("AdapterFusion")
    box.press("Enter")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_timeout(1_000)
    found = page.locator("#search-results li").count()
    page.screenshot(path=SHOTS / "search.png")
    print(f"{found} pages found by search")
    return problems + ([] if found > 5 else [f"search: only {found} pages with AdapterFusion"])


def by_keyboard(browser: Browser) -> list[str]:
    """Open a folded answer without a mouse."""
    page = browser.new_context().new_page()
    page.goto((BOOK / "notebooks/assignments/source/scaling/scaling.html").as_uri())
    box = page.locator("details").first
    box.locator("summary").focus()
    page.keyboard.press("Enter")
    return [] if box.get_attribute("open") is not None else ["keyboard: an answer does not open by Enter"]


def by_touch(browser: Browser) -> list[str]:
    """On a phone: the menu opens and leads to a chapter, and the light can be turned off."""
    width, height = SIZES["phone"]
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto((BOOK / "index.html").as_uri())
    page.locator("label.nav-overlay-icon").tap()
    page.wait_for_timeout(600)
    page.screenshot(path=SHOTS / "menu-phone.png")
    page.locator(".sidebar-tree a", has_text="06").first.tap()
    page.wait_for_url("**/06_beyond_the_paper.html", timeout=20_000)
    seen = set()
    for _ in range(2):
        page.locator("button.theme-toggle:visible").tap()
        seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    return [] if len(seen) == 2 else ["touch: the button for light and dark changes nothing"]


if __name__ == "__main__":
    raise SystemExit(main())
