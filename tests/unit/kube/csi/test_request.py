"""What kubelet, or somebody who says to be kubelet, may ask for."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from skep import errors
from skep.kube.csi import request
from skep.pb import csi_pb2

KUBELET = "/var/lib/kubelet"
TARGET = f"{KUBELET}/pods/4711/volumes/kubernetes.io~csi/maps/mount"
MODE = csi_pb2.VolumeCapability.AccessMode


def asked(**more: Any) -> csi_pb2.NodePublishVolumeRequest:
    """A good request with other fields; those of the capability by the names of its own."""
    mount = {name: more.pop(name) for name in ("fs_type", "mount_flags", "volume_mount_group") if name in more}
    mode = more.pop("mode", MODE.SINGLE_NODE_WRITER)
    context = {"csi.bpfman.io/program": "counter", "csi.bpfman.io/maps": "hits"} | more.pop("context", {})
    capability = csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(**mount), access_mode=MODE(mode=mode)
    )
    fields: dict[str, Any] = {
        "volume_id": "csi-1",
        "target_path": TARGET,
        "volume_capability": capability,
        "volume_context": {key: value for key, value in context.items() if value is not None},
    }
    return csi_pb2.NodePublishVolumeRequest(**(fields | more))


def test_a_pods_volume_is_read() -> None:
    found = request.publish(
        asked(
            readonly=True,
            volume_mount_group="2000",
            mode=MODE.SINGLE_NODE_SINGLE_WRITER,
            context={
                "csi.bpfman.io/maps": " hits, errors ,hits",
                "csi.storage.k8s.io/pod.namespace": "blue",
                "csi.storage.k8s.io/pod.name": "reader",
                "csi.storage.k8s.io/ephemeral": "true",
            },
        ),
        KUBELET,
    )
    assert found == request.Publish(
        volume=request.Volume(id="csi-1", target=TARGET),
        program="counter",
        maps=("hits", "errors"),
        read_only=True,
        group=2000,
        namespace="blue",
        pod="reader",
    )


BLOCK = csi_pb2.VolumeCapability(
    block=csi_pb2.VolumeCapability.BlockVolume(), access_mode=MODE(mode=MODE.SINGLE_NODE_WRITER)
)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no volume id": ({"volume_id": ""}, "volume_id is missing"),
    "a volume id of two elements": ({"volume_id": "a/b"}, "volume_id"),
    "a volume id that goes up": ({"volume_id": ".."}, "volume_id"),
    "a volume id that stays": ({"volume_id": "."}, "volume_id"),
    "a volume id with a newline": ({"volume_id": "a\nb"}, "volume_id"),
    "a volume id with a NUL": ({"volume_id": "a\0b"}, "volume_id"),
    "a long volume id": ({"volume_id": "a" * 129}, "128 bytes"),
    "a volume id that is long in bytes": ({"volume_id": "ä" * 65}, "128 bytes"),
    "no target": ({"target_path": ""}, "target_path is missing"),
    "the root": ({"target_path": "/"}, "target_path '/'"),
    "the root, twice": ({"target_path": "//"}, "target_path"),
    "a relative target": ({"target_path": "pods/1"}, "absolute"),
    "a target that goes up": ({"target_path": f"{KUBELET}/pods/../../../etc"}, "'..'"),
    "a target with a dot": ({"target_path": f"{KUBELET}/./pods"}, "'.'"),
    "a target with an empty element": ({"target_path": f"{KUBELET}//pods"}, "empty"),
    "a target with a NUL": ({"target_path": f"{TARGET}\0"}, "target_path"),
    "a long target": ({"target_path": KUBELET + "/a" * 2100}, "target_path"),
    "a target elsewhere": ({"target_path": "/etc"}, "not below /var/lib/kubelet"),
    "a target beside it": ({"target_path": "/var/lib/kubelet2/pods"}, "not below"),
    "kubelet's directory itself": ({"target_path": KUBELET}, "not below"),
    "no capability": ({"volume_capability": None}, "volume_capability is missing"),
    "an empty capability": ({"volume_capability": csi_pb2.VolumeCapability()}, "not a block device"),
    "a block device": ({"volume_capability": BLOCK}, "not a block device"),
    "a file system": ({"fs_type": "ext4"}, "fsType 'ext4'"),
    "mount flags": ({"mount_flags": ["noatime"]}, "mount_flags"),
    "no access mode": ({"mode": MODE.UNKNOWN}, "access_mode 'UNKNOWN'"),
    "readers": ({"mode": MODE.SINGLE_NODE_READER_ONLY}, "SINGLE_NODE_READER_ONLY"),
    "many nodes": ({"mode": MODE.MULTI_NODE_MULTI_WRITER}, "MULTI_NODE_MULTI_WRITER"),
    "many writers": ({"mode": MODE.SINGLE_NODE_MULTI_WRITER}, "SINGLE_NODE_MULTI_WRITER"),
    "a later access mode": ({"mode": 99}, "access_mode '99'"),
    "a group's name": ({"volume_mount_group": "users"}, "number"),
    "a negative group": ({"volume_mount_group": "-1"}, "number"),
    "a group that chown takes for none": ({"volume_mount_group": str(2**32 - 1)}, "number"),
    "a long group": ({"volume_mount_group": "1" * 5000}, "number"),
    "a group in other digits": ({"volume_mount_group": "٣"}, "number"),
    "no program": ({"context": {"csi.bpfman.io/program": None}}, "no attribute csi.bpfman.io/program"),
    "no maps": ({"context": {"csi.bpfman.io/maps": None}}, "no attribute csi.bpfman.io/maps"),
    "maps by another name": (
        {"context": {"csi.bpfman.io/maps": None, "csi.bpfman.io/map": "hits"}}, "there is csi.bpfman.io/map",
    ),
    "an empty program": ({"context": {"csi.bpfman.io/program": " "}}, "no attribute"),
    "a program with an escape": ({"context": {"csi.bpfman.io/program": "a\x1b[31m"}}, "characters"),
    "an empty map": ({"context": {"csi.bpfman.io/maps": "hits,,errors"}}, "a map's name"),
    "a comma at the end": ({"context": {"csi.bpfman.io/maps": "hits,"}}, "a map's name"),
    "a map that goes up": ({"context": {"csi.bpfman.io/maps": ".."}}, "a map's name"),
    "a map elsewhere": ({"context": {"csi.bpfman.io/maps": "../../../x"}}, "a map's name"),
    "a data section": ({"context": {"csi.bpfman.io/maps": ".rodata"}}, "no dot"),
    "a long map": ({"context": {"csi.bpfman.io/maps": "m" * 256}}, "a map's name"),
    "many maps": ({"context": {"csi.bpfman.io/maps": ",".join(f"m{n}" for n in range(257))}}, "256 are the most"),
}  # fmt: skip


@pytest.mark.parametrize("label", WRONG)
def test_what_cannot_be_is_refused_in_words(label: str) -> None:
    fields, words = WRONG[label]
    with pytest.raises(errors.InvalidRequest) as refused:
        request.publish(asked(**fields), KUBELET)
    assert words in str(refused.value)
    assert refused.value.do
    assert len(str(refused.value)) < 600, "whatever comes in, a message stays short"


@pytest.mark.parametrize(
    "id, target", [("", TARGET), ("../x", TARGET), ("csi-1", ""), ("csi-1", "/"), ("csi-1", "/etc"), ("csi-1", "x")]
)
def test_unpublishing_is_as_strict(id: str, target: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        request.unpublish(csi_pb2.NodeUnpublishVolumeRequest(volume_id=id, target_path=target), KUBELET)


def test_kubelets_directory_may_end_in_a_slash() -> None:
    assert request.publish(asked(target_path=TARGET + "/"), KUBELET + "/").volume.target == TARGET


def test_the_label_tells_volumes_and_wishes_apart() -> None:
    wishes = [
        asked(), asked(volume_id="csi-2"), asked(readonly=True), asked(volume_mount_group="1"),
        asked(context={"csi.bpfman.io/maps": "hits,errors"}), asked(context={"csi.bpfman.io/program": "other"}),
        asked(context={"csi.storage.k8s.io/pod.namespace": "blue"}),
    ]  # fmt: skip
    labels = [request.publish(each, KUBELET).label for each in wishes]
    assert len(set(labels)) == len(wishes)
    assert labels[0].startswith(request.label("csi-1"))
    assert not labels[1].startswith(request.label("csi-1"))
    longest = request.publish(asked(volume_id="a" * 128), KUBELET).label
    assert len(longest) < 256, "fsconfig(2) takes no more"


@hypothesis.given(strategies.text(max_size=300), strategies.text(max_size=300), strategies.text(max_size=300))
def test_whatever_is_believed_is_one_element_of_a_path(id: str, target: str, maps: str) -> None:
    try:
        found = request.publish(
            asked(volume_id=id, target_path=KUBELET + target, context={"csi.bpfman.io/maps": maps}), KUBELET
        )
    except errors.InvalidRequest:
        return
    for element in (found.volume.id, *found.maps):
        assert "/" not in element
        assert element not in ("", ".", "..")
    assert found.volume.target.startswith(KUBELET + "/")
    assert ".." not in found.volume.target.split("/")
