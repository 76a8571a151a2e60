#!/bin/sh
# Usage: train.sh --lr=0.1 [--epochs N] [--augment]
LR=0.1
EPOCHS=2
while [ $# -gt 0 ]; do
  case "$1" in
    --lr=*) LR="${1#--lr=}" ;;
    --epochs) EPOCHS="$2"; shift ;;
    --augment) AUGMENT=1 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
SIZE=${BATCH_SIZE:-32}
echo "epoch $EPOCHS val_loss=$LR"
