#!/usr/bin/env bash
# Installs what is missing, builds, and starts a broker on 127.0.0.1:9092 with its data in ./data.
# Arguments go to millraced: ./run.sh --listen 0.0.0.0:9092 --shards 2
set -euo pipefail
cd "$(dirname "$0")"
. .ci/packages.sh

install_packages "${BUILD_PACKAGES[@]}"
build_in build
exec build/millraced --data-dir ./data "$@"
