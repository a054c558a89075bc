# One image for the bus, Airflow and the simulated agencies. It is built from the checkout, and from versions with hashes alone.
#
#   docker compose build
FROM python:3.11.14-slim-bookworm AS base
ENV PATH=/opt/motlan/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 LANG=C.UTF-8 TZ=UTC
WORKDIR /opt/motlan

FROM base AS build
RUN python -m venv .venv
COPY requirements-celery.lock ./
RUN pip install --require-hashes -r requirements-celery.lock
COPY pyproject.toml README.md LICENSE ./
COPY motlan motlan
COPY adapters adapters
COPY schemas schemas
COPY mapping mapping
COPY simulators simulators
COPY bench bench
COPY demo demo
COPY dags dags
COPY plugins plugins
COPY deploy/airflow-init deploy/airflow-init
# A checkout that only its owner may read is one that the image's account could not.
RUN pip install --no-deps --no-build-isolation --editable . \
 && python -m compileall -q .venv/lib motlan adapters \
 && chmod -R a+rX /opt/motlan

FROM base
# The account that made the secrets on the host, since it alone may read them; docker-compose.yml passes it on.
ARG MOTLAN_UID=10001
ARG MOTLAN_GID=10001
RUN (getent group "$MOTLAN_GID" || groupadd --gid "$MOTLAN_GID" motlan) \
 && useradd --uid "$MOTLAN_UID" --gid "$MOTLAN_GID" --create-home --shell /usr/sbin/nologin motlan \
 && install -d -m 0700 -o "$MOTLAN_UID" -g "$MOTLAN_GID" /var/lib/motlan /var/lib/airflow \
    /var/lib/agencies /var/lib/backups /var/lib/checkpoints
COPY --from=build /opt/motlan /opt/motlan
ENV MOTLAN_HOME=/opt/motlan MOTLAN_VAR=/var/lib/motlan AIRFLOW_HOME=/var/lib/airflow SCARF_ANALYTICS=false
USER motlan
CMD ["motlan", "--help"]
