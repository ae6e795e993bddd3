#!/usr/bin/env bash
# A search and the training of what it finds, on several nodes: one run, its
# batches divided among all GPUs. From the root of the repository:
#
#   sbatch experiments/jobs/slurm_nodes.sh [FLAG...]
#
# FLAGs go to both launchers. The repository and the workdir must be on a file
# system that all nodes share. The batch size must be a multiple of the number of
# GPUs.

# Edit what the job needs; your cluster may want --partition and --account.
#SBATCH --job-name=opp_darts
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --mem=128G
#SBATCH --time=12:00:00
#SBATCH --output=%x-%j.log
# Leave these: one process a node, and a job that saves and goes on.
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

# Edit what is searched, and where it goes.
config=cifar10
workdir=runs/cifar10
seed=0

# Under Slurm JAX would take one GPU a process; a process takes all of its node.
if [[ ${SLURM_GPUS_ON_NODE:-0} -gt 0 ]]; then
  JAX_LOCAL_DEVICE_IDS=$(seq --separator=, 0 $((SLURM_GPUS_ON_NODE - 1)))
  export JAX_LOCAL_DEVICE_IDS
fi

source experiments/jobs/slurm_common.sh
search_and_train "$config" "$workdir" "$seed" --distributed "$@"
