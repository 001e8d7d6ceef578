# The image: Python, the packages of builder/, the runner kit, and builder/. `make image` builds it; see docs/image.md.
# Any Docker with BuildKit can build it, even an old one. The host's package index and certificates come as secrets.

# To pin the base, give a digest: --build-arg BASE=python:3.13-slim-trixie@sha256:...
ARG BASE=python:3.13-slim-trixie
# Each CPython builds its own kit: no other CPython can make its bytecode. On another base, the kit has no bytecode.
ARG BASE_311=python:3.11-slim-trixie
ARG BASE_312=python:3.12-slim-trixie
ARG BASE_314=python:3.14-slim-trixie
ARG BASE_315=python:3.15-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
COPY docker/with-index.sh /usr/local/bin/with-index
# /image becomes the root of the image. All files get one fixed time, so that the same commit gives the same layers.
WORKDIR /image/opt/notebook-builder

# The packages of builder/. Bytecode is never checked against its source: it has no time stamps and is not rewritten.
# One process compiles it: with several, the bytes would depend on how they share the files.
FROM build AS packages
COPY requirements/builder.txt /tmp/builder.txt
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    with-index pip install --quiet --require-hashes --no-deps --only-binary :all: --no-compile \
        --target . --requirement /tmp/builder.txt \
    && rm -rf bin \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /image -p / . \
    && chmod -R u=rwX,go=rX /image && find /image -exec touch -h -d 2000-01-01T00:00:00Z {} +

# The kit runs on the VM: one archive of unpacked wheels per CPython. pip fetches them with hashes. First, its source.
FROM scratch AS kit-source
COPY docker/with-index.sh /source/docker/
COPY requirements/kit-cp*.txt /source/requirements/
COPY builder/__init__.py builder/strict_json.py /source/builder/
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

FROM ${BASE_314} AS kit-cp314
COPY --from=kit-source /source /source
WORKDIR /source
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    --mount=type=cache,target=/source/build/kit/wheels,sharing=locked \
    PYTHONDONTWRITEBYTECODE=1 sh docker/with-index.sh python -m builder.kit.build build/kit cp314

FROM ${BASE_315} AS kit-cp315
COPY --from=kit-source /source /source
WORKDIR /source
RUN --mount=type=secret,id=pip-config --mount=type=secret,id=ca-bundle \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    --mount=type=cache,target=/source/build/kit/wheels,sharing=locked \
    PYTHONDONTWRITEBYTECODE=1 sh docker/with-index.sh python -m builder.kit.build build/kit cp315

# All kits, and their index.
FROM build AS kit
COPY --from=kit-source /source /source
WORKDIR /kit/opt/notebook-builder/build/kit
COPY --from=kit-cp311 /source/build/kit/cp311.tar.gz ./
COPY --from=kit-cp312 /source/build/kit/cp312.tar.gz ./
COPY --from=kit-cp313 /source/build/kit/cp313.tar.gz /source/build/kit/uv.tar.gz ./
COPY --from=kit-cp314 /source/build/kit/cp314.tar.gz ./
COPY --from=kit-cp315 /source/build/kit/cp315.tar.gz ./
RUN PYTHONPATH=/source python -m builder.kit.build . \
    && chmod -R u=rwX,go=rX /kit && find /kit -exec touch -h -d 2000-01-01T00:00:00Z {} +

FROM build AS program
COPY entrypoint.py LICENSE ./
COPY builder builder
# The source of the Cloud Function that `deploy` creates: these two files, with builder/ beside them.
COPY function function
# The modules that only build the kit are not part of the image (BUILD_ONLY in builder/deploy/function_source.py).
RUN rm builder/kit/build.py builder/kit/wheels.py \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /image -p / builder \
    && mkdir /image/workspace \
    && chmod -R u=rwX,go=rX /image && find /image -exec touch -h -d 2000-01-01T00:00:00Z {} +

# The list of parts (SBOM) of the installed packages and of the kit. Its tool stays in this stage.
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
# Python imports from the folder of entrypoint.py first. No environment variable can change this.
COPY --from=packages /image /
COPY --from=kit /kit /
COPY --from=parts /image /
COPY --from=program /image /
WORKDIR /workspace
# Use the base's Python, and ignore variables and packages in HOME that earlier steps of a build have left.
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
