#!/usr/bin/env bash
# A search and the training of what it finds, on one node; of several GPUs all
# are used. From the root of the repository:
#
#   sbatch experiments/jobs/slurm_one_node.sh [FLAG...]
#
# FLAGs, such as --config.compute=bfloat16, go to both launchers.

# Edit what the job needs; your cluster may want --partition and --account.
#SBATCH --job-name=opp_darts
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --output=%x-%j.log
# Leave these: they make the job save, and go on where it was.
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

# Edit what is searched, and where it goes.
config=cifar10
workdir=runs/cifar10
seed=0

source experiments/jobs/slurm_common.sh
search_and_train "$config" "$workdir" "$seed" "$@"
