# docker build -t natural2nanoscale .
# docker run --gpus all --rm -it --user "$(id -u):$(id -g)" -v "$PWD:/workspace" natural2nanoscale
#
# The CUDA runtime comes with torch: its wheels in req.txt depend on CUDA 13.0, cuDNN and NCCL by version, and the host's driver is
# mounted by --gpus. A CUDA image below would hold a second runtime that nothing loads, and no Python 3.11 without a third
# party's repository. natural2nanoscale.def is the same for Apptainer.
FROM python:3.11.15-slim-bookworm

# What the driver's mount needs to know (CUDA images set the same); no packages from a home directory that is mounted.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1

# git, so that runs record their commit. Its version is the base image's: Debian keeps no old ones to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /workspace

# The environment before the code: it changes rarely and takes longest, so that edits to the code reuse this layer.
COPY req.txt /opt/req.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore -r /opt/req.txt

# Any --user may write its caches to the home folder.
RUN useradd --create-home --uid 1000 user && chmod 1777 /home/user
ENV HOME=/home/user
USER 1000
WORKDIR /workspace
COPY --chown=user:user . .
CMD ["bash"]
