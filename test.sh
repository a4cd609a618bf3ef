#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test but those labelled `long`.
# Arguments go to ctest: ./test.sh -L long, ./test.sh -R wire
set -euo pipefail
cd "$(dirname "$0")"
. .ci/packages.sh

install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
build_in build
if [ $# -eq 0 ]; then
    set -- -LE long
fi
exec ctest --test-dir build --output-on-failure --no-tests=error --parallel 2 "$@"
