#!/usr/bin/env bash
# Runs a launcher on a worker of a TPU VM; tpu_run.sh calls it on all of them.
#
#   tpu_worker.sh LAUNCHER FLAG...

set -euo pipefail

cd "$(dirname "$0")/../.."

# A connection that was lost has left its launcher running, with the TPU in its
# hands: it is asked to save, and waited for.
if [[ -f launcher.pid ]]; then
  old=$(<launcher.pid)
  if [[ $(ps -ww -o args= -p "$old") == *experiments/* ]]; then
    kill -TERM "$old" || true
    tail --pid="$old" --follow /dev/null
  fi
fi
echo "$$" >launcher.pid
exec .venv/bin/python "experiments/$1.py" --distributed "${@:2}"
