# The image: a Python, what builder/ needs, the runner kit, builder/ itself. Built by `make image`; see docs/image.md.
# Any Docker with BuildKit builds it, old ones too. The host's package index and certificates come as secrets.

# Give a digest to pin one: --build-arg BASE=python:3.13-slim-trixie@sha256:...
ARG BASE=python:3.13-slim-trixie
# The kit of each CPython is built by that CPython, which alone can make its bytecode. On another base it is built without.
ARG BASE_311=python:3.11-slim-trixie
ARG BASE_312=python:3.12-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
COPY docker/with-index.sh /usr/local/bin/with-index
# /image becomes the root of the image. Whole trees with one fixed time: the same commit gives the same layers.
WORKDIR /image/opt/notebook-builder

# What builder/ needs. Bytecode is never checked against its source: no time stamps, and nothing to write at run time.
# Compiled by one process: several would share the files differently each time, and that shows in the bytes.
FROM build AS packages
COPY requirements/builder.txt /tmp/builder.txt
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    with-index pip install --quiet --require-hashes --no-deps --only-binary :all: --no-compile \
        --target . --requirement /tmp/builder.txt \
    && rm -rf bin \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /image -p / . \
    && chmod -R u=rwX,go=rX /image && find /image -exec touch -h -d 2000-01-01T00:00:00Z {} +

# What runs on the VM: for each CPython an archive of wheels, fetched by pip with hashes and taken apart. The source of it first.
FROM scratch AS kit-source
COPY docker/with-index.sh /source/docker/
COPY requirements/kit-cp*.txt /source/requirements/
COPY builder/__init__.py /source/builder/
COPY builder/kit /source/builder/kit
COPY builder/vm /source/builder/vm

FROM ${BASE_311} AS kit-cp311
COPY --from=kit-source /source /source
WORKDIR /source
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    --mount=type=cache,target=/source/build/kit/wheels,sharing=locked \
    PYTHONDONTWRITEBYTECODE=1 sh docker/with-index.sh python -m builder.kit.build build/kit cp311

FROM ${BASE_312} AS kit-cp312
COPY --from=kit-source /source /source
WORKDIR /source
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    --mount=type=cache,target=/source/build/kit/wheels,sharing=locked \
    PYTHONDONTWRITEBYTECODE=1 sh docker/with-index.sh python -m builder.kit.build build/kit cp312

FROM ${BASE} AS kit-cp313
COPY --from=kit-source /source /source
WORKDIR /source
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    --mount=type=cache,target=/source/build/kit/wheels,sharing=locked \
    PYTHONDONTWRITEBYTECODE=1 sh docker/with-index.sh python -m builder.kit.build build/kit cp313 uv

# All of them, and their index.
FROM build AS kit
COPY --from=kit-source /source /source
WORKDIR /kit/opt/notebook-builder/build/kit
COPY --from=kit-cp311 /source/build/kit/cp311.tar.gz ./
COPY --from=kit-cp312 /source/build/kit/cp312.tar.gz ./
COPY --from=kit-cp313 /source/build/kit/cp313.tar.gz /source/build/kit/uv.tar.gz ./
RUN PYTHONPATH=/source python -m builder.kit.build . \
    && chmod -R u=rwX,go=rX /kit && find /kit -exec touch -h -d 2000-01-01T00:00:00Z {} +

FROM build AS program
COPY entrypoint.py LICENSE ./
COPY builder builder
# The source of the Cloud Function that `deploy` makes: these two files, and builder/ beside them.
COPY function function
RUN python -m compileall -q --invalidation-mode unchecked-hash -s /image -p / builder \
    && mkdir /image/workspace \
    && chmod -R u=rwX,go=rX /image && find /image -exec touch -h -d 2000-01-01T00:00:00Z {} +

# The list of parts (SBOM), from what is installed and what is in the kit. Its tool stays in this stage.
FROM build AS parts
COPY requirements/sbom.txt docker/sbom.py /tmp/
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    python -m venv /venv \
    && with-index /venv/bin/pip install --quiet --require-hashes --no-deps --only-binary :all: \
        --requirement /tmp/sbom.txt
COPY --from=packages /image/opt/notebook-builder /packages
COPY --from=kit /kit/opt/notebook-builder/build/kit /kit
ARG VERSION=0
RUN /venv/bin/python /tmp/sbom.py --packages /packages --kit /kit --version "${VERSION}" sbom.cdx.json \
    && chmod -R u=rwX,go=rX /image && find /image -exec touch -h -d 2000-01-01T00:00:00Z {} +

FROM ${BASE}
# The folder of entrypoint.py is the first place that Python imports from: no variable leads there, and none can lead away.
COPY --from=packages /image /
COPY --from=kit /kit /
COPY --from=parts /image /
COPY --from=program /image /
WORKDIR /workspace
# Python as the base has it on its PATH; without variables and packages that earlier steps of a build left in HOME.
ENTRYPOINT ["python", "-BEs", "/opt/notebook-builder/entrypoint.py"]
RUN ["python", "-BEs", "/opt/notebook-builder/entrypoint.py", "--help"]
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Notebook Builder" \
      org.opencontainers.image.description="CI and CD for Jupyter notebooks on Google Cloud, as one Cloud Build step" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
