# shellcheck shell=bash
# What the Slurm scripts share: a search and the training of what it finds, in a
# job that goes back into the queue until both are finished.
#
# A launcher that gets SIGTERM saves, and exits with 75: the same command goes
# on. It gets it
# - ahead of the time limit (and of preemption, where the cluster is configured
#   with preempt_send_user_signal): `--signal=B:USR1@120` tells this shell, which
#   passes it on;
# - by preemption with a grace time: from Slurm, which tells this shell nothing;
# - by scancel, or preemption without grace: from Slurm, which sends SIGTERM to
#   this shell too. Then the job is not requeued here: what was cancelled stays
#   so, and what Slurm preempts it requeues itself.

readonly NOT_FINISHED=75
readonly TERMINATED=143 # By SIGTERM, before the launcher was ready for it.

python=${PYTHON:-.venv/bin/python}
# One job of an array has the number of the whole array as its own.
job=${SLURM_ARRAY_TASK_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}
# srun does not take this over from sbatch.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

stop_asked=
cancelled=
trapped=

pass_on() {
  trapped=yes stop_asked=yes
  # Not to srun, which would kill the launcher: to all steps, but not this shell.
  scancel --signal=TERM "$job" || true
}
trap pass_on USR1
trap 'trapped=yes cancelled=yes' TERM

requeue() {
  if [[ -z $cancelled ]]; then
    scontrol requeue "$job"
  fi
  exit "$NOT_FINISHED"
}

# run LAUNCHER FLAG...: runs it, a process a task, and returns if it finishes.
run() {
  local code process
  if [[ -n $stop_asked$cancelled ]]; then
    requeue
  fi
  # Of several processes none waits longer than this for one that has failed.
  srun --wait=300 "$python" "experiments/$1.py" "${@:2}" &
  process=$!
  while # A trap ends `wait`, but not what it waits for.
    trapped=
    code=0
    wait "$process" || code=$?
    [[ -n $trapped ]]
  do :; done
  case $code in
    0) ;;
    "$NOT_FINISHED" | "$TERMINATED") requeue ;;
    *) exit "$code" ;; # It needs a person.
  esac
}

# search_and_train CONFIG WORKDIR SEED FLAG...: all flags go to both launchers.
search_and_train() {
  local config=$1 workdir=$2 seed=$3 training=$1:train
  if [[ $config == *:* ]]; then
    training=${config}_train
  fi
  run search --config="$config" --config.seed="$seed" \
    --workdir="$workdir/search" "${@:4}"
  run train --config="$training" --config.seed="$seed" \
    --config.genotype="$workdir/search/genotype.json" \
    --workdir="$workdir/train" "${@:4}"
}
