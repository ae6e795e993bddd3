#!/usr/bin/env bash
# Installs the repository on a worker of a TPU VM, and mounts the share as its
# runs/; tpu_setup.sh calls it on all of them.
#
#   tpu_install.sh SHARE

set -euo pipefail

cd "$(dirname "$0")/../.."

# The image's own Python is older than 3.11.
python3 -m pip install --quiet --user uv
uv=$HOME/.local/bin/uv
"$uv" venv --quiet --clear --python=3.12 .venv
"$uv" pip install --quiet --editable . 'jax[tpu]'

mkdir -p runs
if ! mountpoint -q runs; then
  sudo apt-get install --quiet --yes nfs-common
  sudo mount -t nfs "$1" runs
fi
