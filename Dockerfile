# Casemate's image: the bot alone, without the sandbox, the client, the tests and npm.
# It runs as a user without rights on a read-only root; what it keeps in a file lies on /data.

FROM node:22-slim AS kusto
WORKDIR /kusto
COPY bot/kusto/package.json bot/kusto/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM python:3.11-slim-bookworm AS packages
WORKDIR /build
COPY requirements.txt requirements-azure-monitor.txt ./
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt \
        -r requirements-azure-monitor.txt

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORT=3978 \
    STORE_URL=sqlite:////data/casemate.db
WORKDIR /app
COPY --from=packages /venv /venv
COPY app.py ./
COPY bot ./bot
COPY dialogs ./dialogs
COPY prompts ./prompts
COPY --from=kusto /kusto/node_modules/@kusto/language-service-next/bridge.min.js \
    /kusto/node_modules/@kusto/language-service-next/Kusto.Language.Bridge.min.js \
    ./bot/kusto/node_modules/@kusto/language-service-next/
# Compiled here, since nothing can be written beside the sources later.
RUN python -m compileall -q app.py bot dialogs prompts \
    && install -d -o 10001 -g 10001 -m 0700 /data
USER 10001:10001
VOLUME /data
EXPOSE 3978
# The process serves; whether its services answer is told by /readyz.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["python", "app.py"]
