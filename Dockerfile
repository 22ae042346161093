# Two images from one file: `service` (the API, no torch) and `worker` (training and scoring).
#
#   docker build --target service -t usual-suspects-service .
#   docker build --target worker  -t usual-suspects-worker  .
#
# The worker gets the default build of torch, which brings CUDA. For a small image without it, name PyTorch's index of
# CPU builds:  --build-arg TORCH_INDEX=<address>
ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The dependencies alone first: they change seldom, and the layer is kept. hatchling wants the packages to exist.
RUN mkdir service worker && touch service/__init__.py worker/__init__.py \
    && pip install -c constraints.txt .

FROM build AS build-service
COPY service service
RUN pip install --no-deps --force-reinstall .

FROM build AS build-worker
ARG TORCH_INDEX=
RUN pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[worker]"
COPY service service
COPY worker worker
RUN pip install --no-deps --force-reinstall .

FROM python:${PYTHON} AS base
LABEL org.opencontainers.image.title="Usual Suspects" \
      org.opencontainers.image.description="Tells which samples of a training set are wrong" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 SUSPECTS_HOME=/data
RUN useradd --uid 10001 --no-create-home suspects && mkdir /data && chown suspects /data
VOLUME /data
USER 10001
WORKDIR /data

FROM base AS service
COPY --from=build-service /opt/venv /opt/venv
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["uvicorn", "--factory", "service.main:create_app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]

FROM base AS worker
COPY --from=build-worker /opt/venv /opt/venv
# Threads that wait by spinning take the cores from whoever has work.
ENV OMP_WAIT_POLICY=PASSIVE
HEALTHCHECK --interval=30s --timeout=20s --start-period=40s \
    CMD ["sh", "-c", "celery --app worker.app inspect ping --destination celery@$(hostname) --timeout 10"]
CMD ["celery", "--app", "worker.app", "worker", "--queues", "jobs", "--pool", "prefork", "--concurrency", "1", "--loglevel", "info"]
