#!/bin/sh
# Make every secret that docker-compose.yaml reads, once, and `.env`. What exists is kept: run it as often as you like.
# Needs either the checkout's environment (`make venv`) or the image (`docker compose build`).
set -eu
cd "$(dirname "$0")/.."

if [ ! -e .env ]; then
    sed "s/^TIDEWATCH_SECRETS_GID=.*/TIDEWATCH_SECRETS_GID=$(id -g)/" .env.example > .env
    echo "created .env"
fi
if [ -x .venv/bin/python ]; then
    exec .venv/bin/python compose/make_secrets.py --dir compose/secrets --offline-dir compose/offline
fi
mkdir -p -m 0700 compose/secrets compose/offline
exec docker run --rm --network none --user "$(id -u):$(id -g)" \
    --volume "$PWD/compose/secrets:/secrets" --volume "$PWD/compose/offline:/offline" \
    "$(sed -n 's/^TIDEWATCH_IMAGE=//p' .env)" \
    python /opt/tidewatch/compose/make_secrets.py --dir /secrets --offline-dir /offline
