# Everything runs in .venv, which is made and filled on first use. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_LAB := .venv/.installed-lab
INSTALLED_COURSE := .venv/.installed-course
INSTALLED_BROWSER := .venv/.installed-browser
INSTALLED_GRID := .venv/.installed-grid
INSTALLED_BOOK := .venv/.installed-book

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:  # half a .venv is made again
.PHONY: help demo test test-interrupts test-slurm lint lab bench reference findings assignments grade course-data test-course test-lab test-book notebooks book clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## fetch data and encoder once, run the notebooks, print the table
	@$(BIN)/scalearn fetch
	@$(BIN)/scalearn demo

# Two processes of one thread each suit two cores; more threads per process only get in each other's way.
test: export OMP_NUM_THREADS = 1
test: export TOKENIZERS_PARALLELISM = false
test: export HF_HUB_OFFLINE = 1
test: lint $(INSTALLED_COURSE)  ## linter, format check and tests; needs neither data nor network
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-interrupts: $(INSTALLED)  ## a local grid whose driver and worker are killed, against an undisturbed one: bit for bit
	$(BIN)/python tests/slurm/interrupted.py

test-slurm: $(INSTALLED_GRID)  ## a grid through a private Slurm cluster, with a job killed (Debian, needs root)
	$(BIN)/scalearn fetch
	$(BIN)/python tests/slurm/grid.py

lint: $(INSTALLED)  ## linter and format check only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: $(INSTALLED_LAB)  ## open the notebooks in JupyterLab
	cd notebooks && ../$(BIN)/jupyter lab

BENCHMARKS := stage2_step source_count inference memory batches whole_runs probing_grid kept_stack lora

bench: $(addprefix bench-,$(BENCHMARKS))  ## measure speed and memory, one after the other, into outputs/benchmarks (an hour)

bench-%: $(INSTALLED)  ## one of them: bench-stage2_step, bench-memory, ...; see benchmarks/NOTES.md
	$(BIN)/python benchmarks/$*.py --json outputs/benchmarks/$*.json

HUB ?= ../shared/hub
reference: $(INSTALLED)  ## go on with the reference study (hours; HUB=... mirrors GLUE), keep what is complete, write what was found
	$(BIN)/scalearn fetch
	-$(BIN)/scalearn grid studies/reference.yaml --jobs 2 --hub $(HUB)
	$(BIN)/scalearn keep studies/reference.yaml
	$(MAKE) findings

findings: $(INSTALLED)  ## write README's table and figure, docs/findings.md and the comparison of precisions from outputs/reference
	$(BIN)/python benchmarks/first_screen.py
	$(BIN)/scalearn findings --output outputs/reference > docs/findings.md.new && mv docs/findings.md.new docs/findings.md
	$(BIN)/python benchmarks/precision.py --json outputs/reference/precision.json

assignments: $(INSTALLED_COURSE)  ## write the students' version of the assignments to notebooks/assignments/release
	$(BIN)/python -m scalearn_lib.course assignments

SUBMISSIONS ?= submissions
grade: $(INSTALLED_COURSE)  ## grade SUBMISSIONS=DIR: marks.csv and feedback under outputs/course
	$(BIN)/python -m scalearn_lib.course grade $(SUBMISSIONS)

course-data: $(INSTALLED)  ## compute again the small files that the assignments read, about an hour
	$(BIN)/scalearn fetch
	$(BIN)/python -m scalearn_lib.course data

test-course: export OMP_NUM_THREADS = 1
test-course: $(INSTALLED_COURSE)  ## grade reference, release, typical wrong answers and bad submissions of every assignment
	$(BIN)/python tests/course/marks.py

test-lab: $(INSTALLED_BROWSER)  ## open notebooks in JupyterLab, in a real browser (Debian's chromium); screenshots under outputs/lab
	$(BIN)/python tests/lab/browse.py

test-book: $(INSTALLED_BROWSER)  ## look at the book that `make book` built, in a real browser; screenshots under outputs/book-shots
	$(BIN)/python tests/lab/browse_book.py

notebooks: export HF_HUB_OFFLINE = 1
notebooks: $(INSTALLED)  ## execute the notebooks with their defaults into outputs/reference/notebooks, for the book
	$(BIN)/scalearn fetch
	$(BIN)/python docs/book/chapters.py

book: export HF_HUB_OFFLINE = 1
book: $(INSTALLED_BOOK)  ## texts, notebooks and API as pages under outputs/book, to be read without a network
	@$(BIN)/python docs/book/build.py

clean:  ## remove .venv, caches and outputs (all but outputs/reference); data/ stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . \( -name .git -o -path ./data \) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
	if [ -d outputs ]; then find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +; fi

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "No Python found as '$(PYTHON)': install Python 3.11 or newer, or name yours with 'make PYTHON=/path/to/python3.11 ...'." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, but '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1): name a newer one with 'make PYTHON=/path/to/python3.11 ...'." >&2; exit 1; }
	@echo "Making .venv with $$("$(PYTHON)" --version) ..."
	@"$(PYTHON)" -m venv --clear .venv || { \
		echo "Python could not make .venv: see its words above (on Debian and Ubuntu, python3-venv has to be installed), then run make again." >&2; exit 1; }

$(INSTALLED): pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing scalearn_lib and the packages pinned in constraints.txt into .venv, once; the largest is torch ..."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

$(INSTALLED_LAB): $(INSTALLED)
	@echo "Installing JupyterLab into .venv, once ..."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,lab]"
	@touch $@

$(INSTALLED_COURSE): $(INSTALLED)
	@echo "Installing nbgrader into .venv, once ..."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,lab,course]"
	@touch $@

$(INSTALLED_BROWSER): $(INSTALLED_COURSE)
	@command -v chromium >/dev/null || { \
		echo "No chromium found: install it first (on Debian: apt-get install chromium)." >&2; exit 1; }
	@echo "Installing Playwright into .venv, once (it drives the system's chromium and fetches no browser) ..."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,lab,course,browser]"
	@touch $@

$(INSTALLED_GRID): $(INSTALLED)
	@echo "Installing Snakemake's Slurm executor into .venv, once ..."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,grid]"
	@touch $@

$(INSTALLED_BOOK): $(INSTALLED)
	@echo "Installing Sphinx into .venv, once ..."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,book]"
	@touch $@
