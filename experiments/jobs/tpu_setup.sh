#!/usr/bin/env bash
# Creates a TPU VM, unless there is one, and installs what HEAD of the repository
# holds on all its workers. From the root of the repository, after editing
# tpu_common.sh:
#
#   experiments/jobs/tpu_setup.sh

set -euo pipefail

source experiments/jobs/tpu_common.sh

if [[ $(state) != READY ]]; then
  # Spot VMs cost less and are taken away at times; without --spot they are not.
  tpu_vm create "$tpu" --accelerator-type="$type" --version="$image" --spot
fi

archive=$(mktemp --suffix=.tar.gz)
trap 'rm -f "$archive"' EXIT
git archive --format=tar.gz --output="$archive" HEAD
tpu_vm scp "$archive" "$tpu:opp_darts_jax.tar.gz" --worker=all
on_workers "mkdir -p opp_darts_jax && cd opp_darts_jax &&
  tar -xzf ../opp_darts_jax.tar.gz && experiments/jobs/tpu_install.sh $share"
