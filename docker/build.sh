#!/usr/bin/env bash
# Builds every image as <name>:latest and <name>:<version> (`make images`). docker/README.md lists
# the variables.
set -euo pipefail
cd "$(dirname "$0")/.."

IMAGES=${IMAGES:-queue-manager scheduler resource-monitor proto-gcn}
BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim-bookworm}
IMAGE_PREFIX=${IMAGE_PREFIX:-}
TORCH=${TORCH:-cuda}

fail() { echo "$1" >&2; exit 1; }

# Prints IMAGE_TOOL, or else the first tool that works: docker without its daemon does not.
find_tool() {
  local tool
  for tool in ${IMAGE_TOOL:-docker podman buildah}; do
    if command -v "$tool" >/dev/null && "$tool" info >/dev/null 2>&1; then echo "$tool"; return; fi
  done
  [ -z "${IMAGE_TOOL:-}" ] ||
    fail "IMAGE_TOOL=$IMAGE_TOOL does not work (\`$IMAGE_TOOL info\` fails); fix or unset it."
  fail "No docker, podman or buildah works here; install one (Debian, Ubuntu: apt install buildah)."
}

# Writes this machine's pip settings to two files that only the build sees; they are in no layer.
write_pip_config() {
  local settings certificates
  settings=$(python3 -m pip config list 2>/dev/null |
    sed -nE "s/^(global|install|:env:)\.([a-z-]+)='(.*)'$/\2 = \3/p" || true)
  # The environment's settings come first in that list, and win as they do for pip.
  {
    echo "[global]"
    awk '/^(index-url|extra-index-url|trusted-host|proxy|retries) / && !seen[$1]++' <<<"$settings"
  } >"$1/pip.conf"
  certificates=$(sed -n 's/^cert = //p;T;q' <<<"$settings")
  cat "${certificates:-/dev/null}" >"$1/ca.pem"
  [ -z "$certificates" ] || echo "cert = /run/secrets/ca.pem" >>"$1/pip.conf"
}

# Prints what changes with the trainer's requirements.
trainer_lock() {
  cat docker/proto-gcn/{install.sh,requirements.txt,requirements-cpu.txt} | sha256sum | cut -c1-16
}

# build IMAGE TAG...: builds one image under several tags.
build() {
  local image=$1 tag options=(); shift
  for tag; do options+=(--tag "$IMAGE_PREFIX$image:$tag"); done
  if [ "$image" = proto-gcn ]; then
    options+=(--build-arg "TORCH=$TORCH" --build-arg "TORCH_INDEX_URL=${TORCH_INDEX_URL:-}"
      --build-arg "TORCH_HASH=${TORCH_HASH:-}" --build-arg "LOCK=$(trainer_lock)")
  fi
  # Only docker's image format has HEALTHCHECK.
  [ "$tool" = docker ] || options+=(--format docker --layers)
  echo "== $image ($*)"
  "$tool" build --file "docker/$image/Dockerfile" --build-arg "BASE_IMAGE=$BASE_IMAGE" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    --secret "id=pip.conf,src=$secrets/pip.conf" --secret "id=ca.pem,src=$secrets/ca.pem" \
    "${options[@]}" . ||
    fail "The image $image was not built; the messages of $tool are above."
}

tool=$(find_tool)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
secrets=$(mktemp -d)
trap 'rm -r "$secrets"' EXIT
write_pip_config "$secrets"
export DOCKER_BUILDKIT=1
for image in $IMAGES; do
  case $image-$TORCH in
  proto-gcn-cpu) build "$image" cpu "$version-cpu" ;;
  *) build "$image" latest "$version" ;;
  esac
done
