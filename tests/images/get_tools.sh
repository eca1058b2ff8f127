#!/usr/bin/env bash
# Installs the tools that the tests of the images need beyond `make setup`, if they are missing.
# If that is impossible, it fails and prints why.
set -euo pipefail

missing=()
for tool in buildah runc debootstrap; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ "$(id -u)" != 0 ]; then
  echo "The tests of the images make and mount root file systems, so they must run as root:" \
    "sudo make test-images" >&2
  exit 1
fi
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || {
    echo "Install ${missing[*]}: the tests of the images need them." >&2
    exit 1
  }
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
