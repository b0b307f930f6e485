#!/bin/sh
# The steps of the Dockerfile. A bare Debian takes them without a container engine, too: with a bundle in /bundle and a
# model in /models/model, `image.sh packages unpack warm` as root.
set -eu
into=/opt/mxfp4

for step; do
    case $step in
        packages)
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3
            rm -rf /var/lib/apt/lists/*
            ;;
        unpack) /bundle/mxfp4 bundle unpack --into "$into" ;;
        warm)
            # HF_HUB_OFFLINE: what the model's folder lacks is an error, and not a download.
            HF_HUB_OFFLINE=1 "$into/mxfp4" --root "$into" warm --no-setup --target cuda:sm_90a \
                --model /models/model
            ;;
        *)
            echo "image.sh: $step is none of packages, unpack, warm" >&2
            exit 2
            ;;
    esac
done
