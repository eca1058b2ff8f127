#!/usr/bin/env bash
# Installs the trainer's requirements into /opt/venv while the image proto-gcn is built.
# Reads TORCH (cuda or cpu), TORCH_INDEX_URL and TORCH_HASH.
set -euo pipefail
cd "$(dirname "$0")"

refuse() { echo "$1" >&2; exit 1; }

install() {
  # The build machine's pip settings (docker/README.md); they are not stored in any layer.
  PIP_CONFIG_FILE=/run/secrets/pip.conf tools/bin/pip --python /opt/venv/bin/python --no-cache-dir \
    --disable-pip-version-check install --quiet --no-deps "$@"
}

python3 -m venv --without-pip /opt/venv
case $TORCH in
cuda) install --require-hashes -r requirements.txt ;;
cpu)
  test -n "$TORCH_INDEX_URL" ||
    refuse "TORCH=cpu needs TORCH_INDEX_URL, the index of the CPU builds on pytorch.org."
  install --require-hashes -r requirements-cpu.txt
  # The same version as in requirements.txt, whose hashes are those of the CUDA builds.
  torch=$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.txt)
  echo "$torch${TORCH_HASH:+ --hash=$TORCH_HASH}" >/tmp/torch.txt
  install --index-url "$TORCH_INDEX_URL" -r /tmp/torch.txt
  rm /tmp/torch.txt
  ;;
*) refuse "TORCH=$TORCH is refused: it must be cuda or cpu." ;;
esac
