#!/usr/bin/env bash
# Runs a command in the container as the user who owns /workspace, unless --user chose another.
# So `docker run -v "$PWD:/workspace"` can write its results, and they belong to that user.
set -euo pipefail

folder=/workspace
owner=$(stat -c %u "$folder")
if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then
    exec setpriv --reuid "$owner" --regid "$(stat -c %g "$folder")" --clear-groups -- "$@"
fi
exec "$@"
