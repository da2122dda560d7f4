# docker build -t natural2nanoscale .
# docker run --gpus all --rm -it -v "$PWD:/workspace" natural2nanoscale bash
FROM nvidia/cuda:13.0.1-base-ubuntu24.04

ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
RUN apt-get update \
    && apt-get install -y --no-install-recommends software-properties-common \
    && add-apt-repository -y ppa:deadsnakes/ppa \
    && apt-get update \
    && apt-get install -y --no-install-recommends python3.11 python3.11-venv git \
    && rm -rf /var/lib/apt/lists/*

# The environment first: it changes rarely and takes longest, so that edits to the code reuse this layer.
COPY req.txt /opt/req.txt
RUN python3.11 -m venv /opt/venv && /opt/venv/bin/pip install -r /opt/req.txt
ENV PATH=/opt/venv/bin:$PATH

RUN useradd --create-home user
USER user
WORKDIR /workspace
COPY --chown=user . .
CMD ["bash"]
