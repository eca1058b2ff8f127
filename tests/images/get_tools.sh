#!/usr/bin/env bash
# What the tests of the images need beyond `make setup`; installed where it is missing, or the run fails and says why.
set -euo pipefail

missing=()
for tool in buildah runc debootstrap; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ "$(id -u)" != 0 ]; then
  echo "The images are tested as root only, because root file systems are made and mounted: sudo make test-images" >&2
  exit 1
fi
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || { echo "Install ${missing[*]}: the tests of the images need them." >&2; exit 1; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
