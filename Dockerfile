# One image for every process; the command chooses which. Needs no compiler: every dependency has a wheel.

# By its digest, so that a build is of the same image until this line is changed (docs/deployment.md, Images)
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM $PYTHON_IMAGE AS build
WORKDIR /build
COPY requirements.lock ./
# the lock names development tools as well: all files are checked against its hashes here, and from these files alone
# the next steps build and install, so what is not in the lock cannot get in
RUN pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: --dest /wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY worker worker
COPY api api
RUN python -m venv /venv \
    && /venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-index --find-links /wheels . \
    && /venv/bin/pip uninstall --quiet --yes pip

FROM $PYTHON_IMAGE
RUN groupadd --gid 10001 darkroom \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data darkroom \
    && install -d -o darkroom -g darkroom /data /data/images
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
# by number, so that a cluster can see that it is not root
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "api"]
