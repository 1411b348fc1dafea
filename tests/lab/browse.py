"""`make test-lab`: JupyterLab as a student meets it, in a real browser.

Starts JupyterLab, opens notebooks 01 and 03 and assignment 1 in Debian's chromium, runs all cells in the smoke budget,
moves a slider and a switch, and checks that figures are there, that they follow, and that no cell failed. Screenshots
are kept under outputs/lab/. Assignment 1 is the reference answered in the release: what a student has at the end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scalearn_lib.course.release import release  # noqa: E402
from tests.course.cases import submission  # noqa: E402

SHOTS = ROOT / "outputs" / "lab"
SMOKE = {"SUITE": "toy", "ENCODER": "tiny", "BUDGET": "smoke", "SEEDS": [0]}
NOTEBOOKS = {
    "01_scaling_analysis": SMOKE
    | {"TARGETS": ["toy_topic"], "PARTNER": "toy_polarity", "GRID": [0.0, 0.5, 1.0], "HEADS": [0]},
    "03_transfer_variants": SMOKE | {"TARGETS": ["toy_score"]},
}
MINUTES = 6
"""How long a notebook may take, on a loaded machine."""


def main() -> int:
    """Try everything and return the exit status: 0, or 1 if something is not as it should be."""
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder / "class")
        with lab(folder) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            problems = []
            for name in (*NOTEBOOKS, "learning_to_scale"):
                try:
                    found = try_notebook(page, address, folder / "class" / f"{name}.ipynb")
                except PlaywrightError as error:
                    found = [str(error).splitlines()[0]]
                    page.screenshot(path=SHOTS / f"{name}_failed.png")
                problems += [f"{name}: {problem}" for problem in found]
            browser.close()
    print("\n".join(problems) or f"All is well; screenshots are in {SHOTS}.")
    return bool(problems)


def prepare(folder: Path) -> None:
    """Put the notebooks into a new folder, with the smoke budget in their cell of parameters."""
    folder.mkdir()
    for name, values in NOTEBOOKS.items():
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        cell.source += "\n" + "\n".join(f"{key} = {value!r}" for key, value in values.items())
        nbformat.write(notebook, folder / f"{name}.ipynb")
    name = "learning_to_scale"
    released = release(ROOT / "notebooks" / "assignments" / "source", folder.parent / "release", [name]) / name
    notebook = submission(nbformat.read(released / f"{name}.ipynb", as_version=4), name)
    nbformat.write(notebook, folder / f"{name}.ipynb")


@contextmanager
def lab(folder: Path) -> Iterator[str]:
    """Run JupyterLab on a free port of this machine, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"--ServerApp.port={port}",
        "--ServerApp.ip=127.0.0.1",
        "--no-browser",
        "--IdentityProvider.token=",
        "--allow-root",
    ]
    environment = os.environ | {
        "SCALEARN_OUTPUT": str(folder / "outputs"),
        "SCALEARN_DATA": str(folder / "data"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    with open(SHOTS / "jupyterlab.log", "wb") as log:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("jupyter")), "lab", *options],
            cwd=folder / "class",
            env=environment,
            stdout=log,
            stderr=log,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def try_notebook(page: Page, address: str, file: Path) -> list[str]:
    """Open a notebook, run all its cells, use what can be moved, take screenshots; what is not as it should be."""
    name = file.stem
    page.goto(f"{address}/lab/tree/{file.name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", state="attached", timeout=120_000)
    started = time.monotonic()
    for _ in range(3):  # on a loaded machine the first click may come before the notebook listens
        page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(5000)
        if page.locator(".jp-InputPrompt", has_text=re.compile(r"\[(\*|\d+)\]")).count():
            break
    cells = wait_until_run(page, file)
    print(f"{name}: {time.monotonic() - started:.0f} s")
    left = sum(cell["cell_type"] == "code" and not cell["execution_count"] for cell in cells)
    errors, figures = count_in(cells, "output_type", "error"), count_in(cells, "data", "image/png")
    problems = [f"{left} cells did not run"] if left else []
    if errors:
        problems.append(f"{errors} cells failed")
    if name in NOTEBOOKS and not figures:
        problems.append("no figure")
    problems += {"01_scaling_analysis": move_slider, "03_transfer_variants": flip_switch}.get(name, end)(page, name)
    return problems


def saved(page: Page, file: Path) -> list[dict]:
    """Save the notebook as a student would, and return its cells as they lie in the file."""
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1000)
    return json.loads(file.read_text())["cells"]


def count_in(cells: list[dict], key: str, value: str) -> int:
    """How many outputs have a value, or a kind of data."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return sum(value == output.get(key) or value in (output.get(key) or {}) for output in outputs)


def wait_until_run(page: Page, file: Path) -> list[dict]:
    """Wait until every code cell has run, or for `MINUTES`, and return the cells."""
    end = time.monotonic() + 60 * MINUTES
    while True:
        cells = saved(page, file)
        busy = page.locator(".jp-Notebook-ExecutionIndicator[data-status='busy']").count()
        if not busy and all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code"):
            return cells
        if time.monotonic() > end:
            return cells
        page.wait_for_timeout(1000)


def picture_of(page: Page, controls: str) -> tuple[Locator, Locator]:
    """The controls of a kind and the picture below them, scrolled into view."""
    page.locator(".jp-WindowedPanel-outer").first.evaluate("panel => panel.scrollTo(0, 0)")
    control = page.locator(f".jp-OutputArea {controls}").first
    for _ in range(60):  # cells out of sight are not in the page: scroll until it is
        if control.count():
            break
        page.mouse.move(700, 600)
        page.mouse.wheel(0, 500)
        page.wait_for_timeout(250)
    control.scroll_into_view_if_needed(timeout=20_000)
    picture = page.locator(".jp-OutputArea .widget-image, .jp-OutputArea img.jupyter-widgets").first
    picture.scroll_into_view_if_needed(timeout=20_000)
    return control, picture


def move_slider(page: Page, name: str) -> list[str]:
    """Move the first slider and measure how long its picture takes to follow."""
    control, picture = picture_of(page, ".noUi-handle, .widget-hslider .ui-slider-handle")
    page.screenshot(path=SHOTS / f"{name}_slider_before.png")
    control.focus()
    key = "ArrowRight" if float(page.locator(".widget-readout").first.inner_text()) < 0.5 else "ArrowLeft"
    times, before = [], picture.get_attribute("src")
    for _ in range(8):
        started = time.perf_counter()
        page.keyboard.press(key)
        for _ in range(1000):
            if picture.get_attribute("src") != before:
                break
            time.sleep(0.002)
        times.append(1000 * (time.perf_counter() - started))
        before = picture.get_attribute("src")
        page.wait_for_timeout(400)
    page.screenshot(path=SHOTS / f"{name}_slider_after.png")
    middle = sorted(times)[len(times) // 2]
    print(f"{name}: the picture follows the slider after {middle:.0f} ms (median of {len(times)}, browser included)")
    return [] if max(times) < 2000 else ["the picture does not follow the slider"]


def flip_switch(page: Page, name: str) -> list[str]:
    """Switch the first source off."""
    control, picture = picture_of(page, ".widget-toggle-button")
    page.screenshot(path=SHOTS / f"{name}_switch_before.png")
    before = picture.get_attribute("src")
    control.click()
    page.wait_for_timeout(4000)
    page.screenshot(path=SHOTS / f"{name}_switch_after.png")
    return [] if picture.get_attribute("src") != before else ["the picture does not follow the switch"]


def end(page: Page, name: str) -> list[str]:
    """Show the beginning, the middle and the end of a notebook."""
    panel = page.locator(".jp-WindowedPanel-outer").first
    for place, share in (("top", 0), ("middle", 0.4), ("end", 1)):
        panel.evaluate("(panel, share) => panel.scrollTo(0, share * panel.scrollHeight)", share)
        page.wait_for_timeout(2000)
        page.screenshot(path=SHOTS / f"{name}_{place}.png")
    return []


if __name__ == "__main__":
    sys.exit(main())
