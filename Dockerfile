# docker build -t natural2nanoscale .
# docker run --gpus all --rm -it -v "$PWD:/workspace" natural2nanoscale
#
# Commands run as the owner of the mounted folder; --user chooses another user.
#
# torch brings the CUDA runtime: its wheels pin CUDA 13.0, cuDNN and NCCL, and --gpus mounts the
# host's driver. A CUDA base image would add a second runtime that nothing loads, and has no
# Python 3.11 of its own. natural2nanoscale.def does the same for Apptainer.
FROM python:3.11.15-slim-bookworm

# The driver's mount reads the two NVIDIA variables. PYTHONNOUSERSITE keeps packages of a mounted
# home folder out.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1

# Runs record their git commit. Debian keeps no old versions of git to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /workspace

# The packages first: they change rarely and take longest, so edits to the code reuse this layer.
# `-e .` needs pyproject.toml and makes Python look for the code in /workspace.
WORKDIR /workspace
COPY pyproject.toml req.txt ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check \
    --root-user-action ignore -r req.txt

# Any --user may write its caches to the home folder.
RUN useradd --create-home --uid 1000 user && chmod 1777 /home/user && chown user:user .
ENV HOME=/home/user
COPY --chown=user:user . .
# Outside /workspace, where the user's folder hides the image's files. It leaves root behind.
COPY --chmod=755 scripts/container_entry.sh /usr/local/bin/container_entry
ENTRYPOINT ["container_entry"]
CMD ["bash"]
