#!/usr/bin/env bash
# While proto-gcn is built: the trainer's requirements into /opt/venv. TORCH=cuda|cpu, TORCH_INDEX_URL, TORCH_HASH.
set -euo pipefail
cd "$(dirname "$0")"

refuse() { echo "$1" >&2; exit 1; }

install() {
  # Where pip finds a package index, if that takes more than the default (docker/README.md); it stays in no layer.
  PIP_CONFIG_FILE=/run/secrets/pip.conf tools/bin/pip --python /opt/venv/bin/python --no-cache-dir \
    --disable-pip-version-check install --quiet --no-deps "$@"
}

python3 -m venv --without-pip /opt/venv
case $TORCH in
cuda) install --require-hashes -r requirements.txt ;;
cpu)
  test -n "$TORCH_INDEX_URL" ||
    refuse "TORCH=cpu needs TORCH_INDEX_URL, the index of PyTorch's CPU builds as pytorch.org names it."
  install --require-hashes -r requirements-cpu.txt
  # The very version of requirements.txt; the hashes there are those of the CUDA builds.
  torch=$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.txt)
  echo "$torch${TORCH_HASH:+ --hash=$TORCH_HASH}" >/tmp/torch.txt
  install --index-url "$TORCH_INDEX_URL" -r /tmp/torch.txt
  rm /tmp/torch.txt
  ;;
*) refuse "TORCH=$TORCH is refused: it is cuda or cpu." ;;
esac
