# The image of the steps with Beam's `boot`, the program that Dataflow and the environment
# `docker` of other engines start. Worker pools (kubeflow/manifests/flink) do without.
#
#   docker build -f kubeflow/Dockerfile.boot --build-arg IMAGE=two-tower:1 -t two-tower:1-boot .
#
# BEAM has the versions of Python and Beam in IMAGE:
#   apache/beam_python3.10_sdk:2.59.0 (TFX 1.16)   apache/beam_python3.13_sdk:2.77.0 (TFX 1.21)
ARG IMAGE
ARG BEAM=apache/beam_python3.10_sdk:2.59.0

FROM ${BEAM} AS beam

FROM ${IMAGE}
COPY --from=beam /opt/apache/beam /opt/apache/beam
# Else `boot` makes an environment of its own, which lacks the packages of the image's.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
# Dataflow mounts folders of its machine that only root may write to.
USER 0
ENTRYPOINT ["/opt/apache/beam/boot"]
