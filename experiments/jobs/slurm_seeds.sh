#!/usr/bin/env bash
# An array of jobs, each a search and the training of what it finds; its index
# is the seed. From the root of the repository:
#
#   sbatch --array=0-4 experiments/jobs/slurm_seeds.sh [FLAG...]
#
# FLAGs go to both launchers. When all are finished, this runs nothing again and
# prints the table:
#
#   python experiments/sweep.py --configs=cifar10 --workdir=runs/sweep \
#     --seeds=0,1,2,3,4

# Edit what a job needs; your cluster may want --partition and --account.
#SBATCH --job-name=opp_darts
#SBATCH --array=0-4
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --output=%x-%A_%a.log
# Leave these: they make the job save, and go on where it was.
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

# Edit what is searched.
config=cifar10

name=$(basename "${config/.py/}")
seed=$SLURM_ARRAY_TASK_ID
workdir=runs/sweep/${name/:/_}/seed$seed # As a sweep names it.

source experiments/jobs/slurm_common.sh
search_and_train "$config" "$workdir" "$seed" "$@"
