# shellcheck shell=bash disable=SC2034
# What the TPU scripts share. Edit these; the project is gcloud's own default
# (gcloud config set project PROJECT).

tpu='opp-darts'             # Name of the TPU VM.
zone='us-central2-b'        # gcloud compute tpus locations list
type='v4-8'                 # gcloud compute tpus accelerator-types list --zone=...
image='tpu-ubuntu2204-base' # gcloud compute tpus versions list --zone=...
share='10.0.0.2:/share'     # An NFS share of the same network, from Filestore.
config='cifar10'
workdir='runs/cifar10'      # runs/ is the share: it outlives the TPU VM.
seed=0

# tpu_vm VERB ARGUMENT...
tpu_vm() {
  gcloud compute tpus tpu-vm "$@" --zone="$zone"
}

# The state of the VM, such as READY or PREEMPTED; nothing if it is not known.
state() {
  tpu_vm describe "$tpu" --format='value(state)' 2>/dev/null || true
}

# on_workers COMMAND: runs it on every worker at the same time. The exit code is
# the first one, by worker, that is not 0; where gcloud itself fails, 1 or 255.
on_workers() {
  tpu_vm ssh "$tpu" --worker=all --command="$1"
}
