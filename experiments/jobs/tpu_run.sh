#!/usr/bin/env bash
# Searches on all workers of a TPU VM and trains what is found, until both are
# finished; if the VM is taken away, it makes a new one and goes on. From the
# root of the repository, after tpu_setup.sh:
#
#   experiments/jobs/tpu_run.sh [FLAG...]
#
# FLAGs, such as --config.compute=bfloat16, go to both launchers. It has to stay
# alive (tmux, screen); after it was stopped the same command goes on.

set -euo pipefail

source experiments/jobs/tpu_common.sh

readonly NOT_FINISHED=75
pause=${PAUSE:-60} # Seconds between attempts.

make_anew() {
  case $(state) in
    PREEMPTED | TERMINATED) tpu_vm delete "$tpu" --quiet ;;
  esac
  experiments/jobs/tpu_setup.sh
}

# run LAUNCHER FLAG...: returns when it has finished.
run() {
  local code failures=0
  while true; do
    code=0
    on_workers "opp_darts_jax/experiments/jobs/tpu_worker.sh ${*@Q}" || code=$?
    case $code in
      0) return ;;
      "$NOT_FINISHED") failures=0 ;;
      1 | 12[89] | 1[3-9]? | 2??) ((++failures)) ;; # gcloud, or a crash.
      *) exit "$code" ;;                            # It needs a person.
    esac
    if [[ $(state) != READY ]]; then
      failures=0
      until make_anew; do sleep "$pause"; done
    elif ((failures == 3)); then
      exit "$code"
    fi
    sleep "$pause"
  done
}

training=$config:train
if [[ $config == *:* ]]; then
  training=${config}_train
fi
run search --config="$config" --config.seed="$seed" \
  --workdir="$workdir/search" "$@"
run train --config="$training" --config.seed="$seed" \
  --config.genotype="$workdir/search/genotype.json" \
  --workdir="$workdir/train" "$@"
