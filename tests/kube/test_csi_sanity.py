"""What csi-sanity, the test program of the specification's authors, checks of a node's driver; then the program itself.

Source: github.com/kubernetes-csi/csi-test, pkg/sanity/node.go and identity.go, v5.6.0.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from concurrent import futures
from typing import Any
from xml.etree import ElementTree

import grpc
import pytest

from skep.pb import csi_pb2
from tests.kube import csi_rig
from tests.kube.csi_rig import MODE, capability, code, publish, unpublish
from tests.parts import part


@pytest.fixture(scope="module")
def world() -> Iterator[csi_rig.World]:
    with csi_rig.world() as made:
        made.load("counter")
        yield made


@pytest.fixture(scope="module")
def driver(world: csi_rig.World) -> Iterator[csi_rig.Driver]:
    with world.driver() as made:
        yield made


HERE, SOMEWHERE = "here", "/somewhere/else"
"""HERE becomes a target of kubelet's."""
EMPTY = csi_pb2.VolumeCapability()
BLOCK = csi_pb2.VolumeCapability(block=EMPTY.BlockVolume(), access_mode=MODE(mode=MODE.SINGLE_NODE_WRITER))
STATUSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "publish: no volume id": ("publish", {"id": ""}, "INVALID_ARGUMENT"),
    "publish: no target path": ("publish", {"target": ""}, "INVALID_ARGUMENT"),
    "publish: no capability": ("publish", {"volume_capability": None}, "INVALID_ARGUMENT"),
    "publish: no access type": ("publish", {"volume_capability": EMPTY}, "INVALID_ARGUMENT"),
    "publish: block device": ("publish", {"volume_capability": BLOCK}, "INVALID_ARGUMENT"),
    "publish: fsType": ("publish", {"volume_capability": capability(fs_type="ext4")}, "INVALID_ARGUMENT"),
    "publish: mount flags": ("publish", {"volume_capability": capability(mount_flags=["ro"])}, "INVALID_ARGUMENT"),
    "publish: access mode of many": (
        "publish", {"volume_capability": capability(mode=MODE.MULTI_NODE_MULTI_WRITER)}, "INVALID_ARGUMENT",
    ),
    "publish: no attributes": ("publish", {"volume_context": {}}, "INVALID_ARGUMENT"),
    "publish: id that is a path": ("publish", {"id": "../../x"}, "INVALID_ARGUMENT"),
    "publish: target outside": ("publish", {"target": SOMEWHERE}, "INVALID_ARGUMENT"),
    "publish: target is the root": ("publish", {"target": "/"}, "INVALID_ARGUMENT"),
    "publish: relative target": ("publish", {"target": "pods/x"}, "INVALID_ARGUMENT"),
    "publish: unknown program": ("publish", {"program": "nobody"}, "NOT_FOUND"),
    "publish: unknown map": ("publish", {"maps": "nothing"}, "NOT_FOUND"),
    "unpublish: no volume id": ("unpublish", {"id": ""}, "INVALID_ARGUMENT"),
    "unpublish: no target path": ("unpublish", {"target": ""}, "INVALID_ARGUMENT"),
    "unpublish: target outside": ("unpublish", {"target": SOMEWHERE}, "INVALID_ARGUMENT"),
    "unpublish: what never was": ("unpublish", {}, "OK"),
}  # fmt: skip


@pytest.mark.parametrize("label", STATUSES)
def test_status(world: csi_rig.World, driver: csi_rig.Driver, label: str) -> None:
    verb, more, wanted = STATUSES[label]
    fields: dict[str, Any] = {"id": "sanity", "target": world.target("sanity")} | more
    if verb == "publish":
        assert code(driver.node.NodePublishVolume, publish(**fields)) == wanted
    else:
        assert code(driver.node.NodeUnpublishVolume, unpublish(**fields)) == wanted
    assert world.mounts() == {}


ABSENT = {
    "NodeStageVolume": csi_pb2.NodeStageVolumeRequest(volume_id="x"),
    "NodeUnstageVolume": csi_pb2.NodeUnstageVolumeRequest(volume_id="x"),
    "NodeGetVolumeStats": csi_pb2.NodeGetVolumeStatsRequest(volume_id="x"),
    "NodeExpandVolume": csi_pb2.NodeExpandVolumeRequest(volume_id="x"),
}


@pytest.mark.parametrize("name", ABSENT)
def test_what_no_capability_names_is_unimplemented(driver: csi_rig.Driver, name: str) -> None:
    assert code(getattr(driver.node, name), ABSENT[name]) == "UNIMPLEMENTED"


def test_the_driver_says_what_it_is(driver: csi_rig.Driver) -> None:
    info = driver.identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest())
    assert info.name == "csi.bpfman.io"
    assert info.vendor_version
    assert not driver.identity.GetPluginCapabilities(csi_pb2.GetPluginCapabilitiesRequest()).capabilities
    assert driver.identity.Probe(csi_pb2.ProbeRequest()).ready.value
    node = driver.node.NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    assert (node.node_id, node.max_volumes_per_node) == (csi_rig.NODE, 0)
    assert not node.HasField("accessible_topology")
    (only,) = driver.node.NodeGetCapabilities(csi_pb2.NodeGetCapabilitiesRequest()).capabilities
    assert only.rpc.type == csi_pb2.NodeServiceCapability.RPC.VOLUME_MOUNT_GROUP


# ---------------------------------------------------------------- csi-sanity itself


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field in protobuf's encoding; short ones only."""
    assert len(value) < 128
    return bytes((number << 3 | 2, len(value))) + value


def attribute(key: str, value: str) -> bytes:
    """One attribute of a volume's context."""
    return field(3, field(1, key.encode()) + field(2, value.encode()))


CONTEXT = attribute("csi.bpfman.io/program", "counter") + attribute("csi.bpfman.io/maps", "hits,extra")
CONTROLLER = {
    "CreateVolume": lambda asked: volume(hashlib.sha256(asked).hexdigest()),
    "DeleteVolume": lambda _: b"",
    "ControllerGetCapabilities": lambda _: field(1, field(1, b"\x08\x01")),  # CREATE_DELETE_VOLUME
}


def volume(id: str) -> bytes:
    """A CreateVolumeResponse."""
    inside = field(2, id.encode()) + CONTEXT
    assert len(inside) < 1 << 14
    return bytes((1 << 3 | 2, len(inside) & 0x7F | 0x80, len(inside) >> 7)) + inside


class Front(grpc.GenericRpcHandler):
    """The driver, with a controller beside it whose every volume has our attributes.

    csi-sanity makes its volumes by CreateVolume, which a driver of ephemeral volumes does not have; all calls to the
    node's services go to the driver as they are.
    """

    def __init__(self, behind: grpc.Channel) -> None:
        self._behind = behind

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        name = details.method.rpartition("/")[2]
        if details.method.startswith("/csi.v1.Controller/"):
            made = CONTROLLER.get(name)
            return made and grpc.unary_unary_rpc_method_handler(lambda asked, _: made(asked))
        if name == "GetPluginCapabilities":
            return grpc.unary_unary_rpc_method_handler(lambda *_: field(1, field(1, b"\x08\x01")))  # CONTROLLER_SERVICE
        call = self._behind.unary_unary(details.method, request_serializer=None, response_deserializer=None)

        def pass_on(asked: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                told: bytes = call(asked)
                return told
            except grpc.RpcError as error:
                failed: Any = error  # Any: a grpc.Call too, which no type says
                context.abort(failed.code(), failed.details())

        return grpc.unary_unary_rpc_method_handler(pass_on)


def test_csi_sanity_finds_nothing_wrong(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    sanity = part("csi-sanity")
    front = str(world.home / "front.sock")
    server = grpc.server(futures.ThreadPoolExecutor(8))
    with grpc.insecure_channel(f"unix:{driver.socket}") as channel:
        server.add_generic_rpc_handlers((Front(channel),))
        server.add_insecure_port(f"unix:{front}")
        server.start()
        report = world.home / "sanity.xml"
        done = subprocess.run(
            [*world.host, str(sanity), "-csi.endpoint", f"unix:{front}",
             "-csi.mountdir", f"{world.kubelet}/pods/sanity", "-csi.stagingdir", f"{world.kubelet}/pods/staging",
             "--ginkgo.focus", "Identity Service|Node Service", "--ginkgo.junit-report", str(report)],
            capture_output=True, text=True, check=False, cwd=world.home,
        )  # fmt: skip
        server.stop(0).wait()
    assert done.returncode == 0, done.stdout[-4000:]
    passed = {
        case.attrib["name"].removeprefix("[It] ")
        for case in ElementTree.parse(report).iter("testcase")
        if case.attrib["status"] == "passed"
    }
    assert passed >= CHECKED
    assert world.mounts() == {}


CHECKED = {
    "Identity Service GetPluginCapabilities should return appropriate capabilities",
    "Identity Service GetPluginInfo should return appropriate information",
    "Identity Service Probe should return appropriate information",
    "Node Service NodeGetCapabilities should return appropriate capabilities",
    "Node Service NodeGetInfo should return appropriate values",
    "Node Service NodePublishVolume should fail when no target path is provided",
    "Node Service NodePublishVolume should fail when no volume capability is provided",
    "Node Service NodePublishVolume should fail when no volume id is provided",
    "Node Service NodeUnpublishVolume should fail when no target path is provided",
    "Node Service NodeUnpublishVolume should fail when no volume id is provided",
    "Node Service NodeUnpublishVolume should remove target path",
    "Node Service should be idempotent",
    "Node Service should work",
}
"""What it must not have skipped. The rest is for capabilities that this driver does not have."""
