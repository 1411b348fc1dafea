# A CPU image with everything installed and the offline suite's data inside: nothing is fetched when it runs.
#
#     docker build -t scalearn .
#     docker run --rm -p 8888:8888 scalearn                       # JupyterLab; the address is in what it prints
#     docker run --rm scalearn make demo
#     docker run --rm -v scalearn-outputs:/home/scalearn/study/outputs scalearn scalearn run offline scalearn nyt
#
# pip's usual torch brings several GB of CUDA libraries. `--build-arg PIP_EXTRA_INDEX_URL=...` with an index of torch's
# CPU builds avoids them: pip prefers such a build to the plain one of the same version.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

# Notebooks run whatever code they are given: not as root.
RUN useradd --create-home --uid 1000 scalearn
USER scalearn
WORKDIR /home/scalearn/study

# Texts and notebooks change more often than packages and data, and come last.
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1
COPY --chown=scalearn Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=scalearn scalearn_lib scalearn_lib
RUN make .venv/.installed-lab
RUN .venv/bin/scalearn fetch
COPY --chown=scalearn . .

ENV PATH=/home/scalearn/study/.venv/bin:$PATH HF_HUB_OFFLINE=1
EXPOSE 8888
CMD ["jupyter", "lab", "--no-browser", "--ip=0.0.0.0", "--notebook-dir=notebooks"]
