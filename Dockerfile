# An image that serves a model without internet, the model compiled ahead for Hopper:
#
#   mxfp4 bundle create --python 3.11
#   docker build --build-context bundle=dist/mxfp4-0.1.0-python3.11 --build-context model=/models/gpt-oss-20b \
#       --tag mxfp4 .
#   docker run --gpus all --publish 8000:8000 --volume /models/gpt-oss-20b:/models/model:ro mxfp4
#
# The model's files are read while the image is made, and are not in it. docs/guides/offline.md says more.

# Its python3 is 3.11, and its glibc newer than 2.34.
FROM debian:12-slim

RUN --mount=type=bind,source=scripts/image.sh,target=/image.sh \
    sh /image.sh packages
RUN --mount=type=bind,source=scripts/image.sh,target=/image.sh \
    --mount=type=bind,from=bundle,target=/bundle \
    sh /image.sh unpack
RUN --mount=type=bind,source=scripts/image.sh,target=/image.sh \
    --mount=type=bind,from=model,target=/models/model \
    sh /image.sh warm

# What NVIDIA's container toolkit brings in: the driver, and NVML for the checks before a start.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility HF_HUB_OFFLINE=1
WORKDIR /opt/mxfp4
EXPOSE 8000
ENTRYPOINT ["/opt/mxfp4/mxfp4"]
CMD ["serve", "--model", "/models/model", "--host", "0.0.0.0"]
