"""From a registry into the kernel, as a user has it: daemon, command line, both APIs."""

from __future__ import annotations

import base64
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from skep import errors, model
from skep.pb import bpfman_pb2 as pb
from skep.pb import bpfman_pb2_grpc
from skep.rpc import client
from tests import images
from tests.e2e import installed
from tests.image import rig
from tests.image.test_cache import layout
from tests.image.test_registry import pushed

SECONDS = 30.0


@pytest.fixture(scope="module")
def daemon() -> Iterator[installed.Daemon]:
    with installed.daemon() as running:
        yield running


@pytest.fixture(scope="module")
def url(registry: rig.Real, count: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return pushed(registry, count, "load/count:v1", tmp_path_factory.mktemp("pushed"))


def newest(daemon: installed.Daemon) -> list[dict[str, object]]:
    """The history."""
    return list(daemon.skep("events")["events"])


def test_a_program_is_loaded_from_an_image_and_says_so(daemon: installed.Daemon, url: str) -> None:
    (made,) = daemon.skep("program", "load", "image", url, "-a", "fw")["programs"]
    digest = rig.crane("digest", url)
    source = made["record"]["load"]["image_source"]
    assert source.pop("trust").startswith("accepted with a warning because there is no trust policy")
    assert source == {"url": url, "digest": digest, "pull_policy": "IfNotPresent"}
    assert (made["record"]["meta"]["name"], made["record"]["load"]["program_type"]) == ("count", "xdp")
    id = made["record"]["program_id"]
    shown = daemon.run("program", "get", str(id)).stdout
    assert url in shown
    assert digest in shown
    (listed,) = (each for each in daemon.skep("image", "list")["images"] if each["digest"] == digest)
    assert (listed["names"], listed["loaded"]) == ([url], [id])
    pull, load = newest(daemon)[-2:]
    assert (pull["verb"], pull["subject"]) == ("pull", f"image {url}@{digest}")
    assert (load["verb"], load["subject"]) == ("load", f"program {id} from {url}@{digest}")
    assert daemon.skep("image", "prune", "--all")["digests"] == [], "a program came from it"
    daemon.run("program", "unload", str(id))


def test_a_program_is_replaced_by_an_images(daemon: installed.Daemon, url: str, count: Path) -> None:
    (made,) = daemon.skep("program", "load", "file", str(count), "--programs", "xdp:count")["programs"]
    id = str(made["record"]["program_id"])
    digest = rig.crane("digest", url)

    planned = daemon.skep("program", "replace", id, "--image", url, "--dry-run")
    assert planned["dry_run"] and planned["capabilities"]
    (new,) = daemon.skep("program", "replace", id, "--image", url)["programs"]

    assert new["record"]["load"]["image_source"]["digest"] == digest
    assert new["record"]["program_id"] != made["record"]["program_id"]
    assert str(newest(daemon)[-1]["subject"]).endswith(f"from {url}@{digest}")
    for words, says in (([id], "nothing to replace it by"), ([id, str(count), "--image", url], "cannot both")):
        assert says in daemon.run("program", "replace", *words).stderr
    missing = daemon.run("program", "replace", str(new["record"]["program_id"]), "--image", f"{url}-not", "-p", "Never")
    assert missing.returncode == 3
    daemon.run("program", "unload", str(new["record"]["program_id"]))


def test_the_words_of_bpfmans_command_lines(daemon: installed.Daemon, url: str) -> None:
    for words in (
        ("program", "load", "image", url, "--programs", "xdp:count", "--pull-policy", "always"),
        ("load", "image", "--programs", "xdp:count", "-i", url, "-p", "IfNotPresent"),
        ("program", "load", "image", "--image-url", url, "--image-pull-policy", "Never", "--programs", "count"),
    ):
        done = daemon.run(*words, "-o", "name")
        assert done.returncode == 0, done.stderr
        assert daemon.run("program", "unload", done.stdout.strip()).returncode == 0
    assert daemon.run("image", "pull", "-i", url, "-p", "Always", "-o", "name").stdout.startswith("image/sha256:")


def test_a_dry_run_loads_nothing(daemon: installed.Daemon, url: str) -> None:
    done = daemon.run("program", "load", "image", url, "--dry-run")
    assert "load count" in done.stdout
    assert daemon.skep("program", "list")["programs"] == []


def test_a_refusal_loads_nothing(daemon: installed.Daemon, registry: rig.Real, url: str) -> None:
    for words, code, what in (
        ((f"{registry.host}/load/none:v1",), 3, "has no load/none:v1"),
        ((url, "--programs", "xdp:nope"), 3, "nope"),
        ((f"{registry.host}/LOAD",), 10, "does not name an image"),
        (("oci:/nowhere",), 3, "/nowhere"),
        ((url, "-p", "Sometimes"), 2, "Sometimes"),
        ((url, "-r", "nonsense!"), 10, "base64"),
    ):
        done = daemon.run("program", "load", "image", *words)
        assert (done.returncode, what in done.stderr) == (code, True), done.stderr
        assert "nonsense!" not in done.stderr
    assert daemon.skep("program", "list")["programs"] == []


def test_an_image_without_labels_needs_names(daemon: installed.Daemon, count: Path, tmp_path: Path) -> None:
    store = images.Store()
    store.image(images.layer(count.read_bytes()), labels={}, tag="v1")
    where = layout(tmp_path / "layout", store)
    refused = daemon.run("program", "load", "image", f"oci:{where}")
    assert (refused.returncode, "no io.ebpf labels" in refused.stderr) == (10, True)
    done = daemon.run("program", "load", "image", f"oci:{where}", "--programs", "xdp:count", "-o", "name")
    assert done.returncode == 0
    daemon.run("program", "unload", done.stdout.strip())


def test_files_are_read_with_the_rights_of_who_asks(daemon: installed.Daemon, tmp_path: Path) -> None:
    """The daemon is root; an image that only root may read is none for others."""
    store = images.Store()
    store.image(tag="v1")
    where = layout(tmp_path / "layout", store)
    os.chmod(tmp_path, 0o755)
    with client.Client(daemon.socket) as skep:
        wanted = model.ImageRequest(url=f"oci:{where}")
        os.chmod(f"{where}/index.json", 0o600)
        *_, found = skep.images.pull(wanted)
        assert isinstance(found, model.Image)
    os.chmod(daemon.socket, 0o666)
    os.chmod(Path(daemon.socket).parent, 0o755)
    os.chmod(Path(daemon.socket).parent.parent, 0o755)
    other = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, daemon.socket, f"oci:{where}"],
        env=installed.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert other.stdout.strip() == "Denied", other.stdout + other.stderr


AS_NOBODY = """
import os, sys
import google.protobuf.message
from skep import errors, model
from skep.pb import skep_pb2
from skep.rpc import call, client, image_client, status  # while this may still read the checkout
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    print(list(client.Client(sys.argv[1]).images.pull(model.ImageRequest(url=sys.argv[2]))))
except errors.SkepError as refused:
    print(type(refused).__name__)
"""


def test_bpfmans_api_loads_and_pulls(daemon: installed.Daemon, url: str) -> None:
    image = pb.BytecodeImage(url=url, image_pull_policy=0)
    with grpc.insecure_channel(f"unix:{daemon.socket}") as channel:
        stub = bpfman_pb2_grpc.BpfmanStub(channel)
        stub.PullBytecode(pb.PullBytecodeRequest(image=image), timeout=SECONDS)
        loaded = stub.Load(
            pb.LoadRequest(
                bytecode=pb.BytecodeLocation(image=pb.BytecodeImage(url=url, image_pull_policy=2)),
                info=[pb.LoadInfo(name="count", program_type=pb.XDP)],
            ),
            timeout=SECONDS,
        )
        info = loaded.programs[0].info
        assert (info.name, info.bytecode.image.url, info.bytecode.image.image_pull_policy) == ("count", url, 2)
        stub.Unload(pb.UnloadRequest(id=loaded.programs[0].kernel_info.id), timeout=SECONDS)
        wrong = pb.BytecodeImage(url=f"{url}-not-there", username="me", password="hunter2")
        with pytest.raises(grpc.RpcError) as refused:
            stub.PullBytecode(pb.PullBytecodeRequest(image=wrong), timeout=SECONDS)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert "hunter2" not in str(refused.value) + daemon.log.read_text()
        assert daemon.skep("program", "list")["programs"] == []


def test_our_api_tells_how_far_a_pull_is(daemon: installed.Daemon, url: str) -> None:
    with client.Client(daemon.socket) as skep:
        *progress, image = skep.images.pull(model.ImageRequest(url=url, policy=model.PullPolicy.ALWAYS))
        assert isinstance(image, model.Image)
        assert image.fresh
        assert progress
        assert {each.digest for each in progress} == {image.digest}
        source = model.ImageSource(url=url, pull_policy="Never", digest=image.digest)
        load = model.Load(object=b"", source=source, programs=(model.ProgramSpec(name="count"),))
        (program,) = skep.run(load).programs
        loaded = program.record.source
        assert isinstance(loaded, model.ImageSource)
        assert dataclasses.replace(loaded, trust="") == source
        skep.run(model.Unload(program=program.record.id))
        # Without a digest it is pulled on the way.
        bare = model.Load(
            object=b"", source=model.ImageSource(url=url, pull_policy="IfNotPresent"), programs=load.programs
        )
        assert skep.preview(bare).steps
        (program,) = skep.run(bare).programs
        loaded = program.record.source
        assert isinstance(loaded, model.ImageSource)
        assert (loaded.url, loaded.pull_policy, loaded.digest) == (url, "IfNotPresent", image.digest)
        skep.run(model.Unload(program=program.record.id))
        lie = model.Load(object=b"\x7fELF", source=source, programs=load.programs)
        with pytest.raises(errors.InvalidRequest, match="image's"):
            skep.run(lie)


def test_a_login_on_the_command_line_is_nowhere_to_be_seen(
    daemon: installed.Daemon, tmp_path: Path, count: Path
) -> None:
    with rig.real(tmp_path, htpasswd=True) as locked:
        config = tmp_path / "docker"
        config.mkdir()
        rig.crane("auth", "login", locked.host, "-u", rig.USER, "-p", rig.PASSWORD, DOCKER_CONFIG=str(config))
        url = pushed(locked, count, "a/count:v1", tmp_path, DOCKER_CONFIG=str(config))
        login = base64.b64encode(f"{rig.USER}:{rig.PASSWORD}".encode()).decode()
        done = daemon.run("image", "pull", url, "-r", login, "-o", "json")
        assert done.returncode == 0, done.stderr
        told = done.stdout + done.stderr + daemon.log.read_text() + daemon.run("events", "-o", "json").stdout
        assert login not in told
        assert rig.PASSWORD not in told.replace("secrets", "")


def test_the_cache_needs_no_network_and_no_daemon_that_remembers(count: Path, tmp_path: Path) -> None:
    """As after a reboot without a network: another daemon, in a namespace without a route, on the same cache."""
    store = images.Store()
    store.image(images.layer(count.read_bytes()), tag="v1")
    with rig.hostile(store) as registry, installed.daemon() as online:
        whole = f"{registry.url}:v1"
        digest = online.skep("image", "pull", whole)["digest"]
        cache = tmp_path / "cache"
        subprocess.run(["cp", "-a", online.layout.images, cache], check=True)
    with installed.daemon(prefix=("unshare", "--net")) as offline:
        subprocess.run(["rm", "-rf", offline.layout.images], check=True)
        subprocess.run(["cp", "-a", cache, offline.layout.images], check=True)
        (made,) = offline.skep("program", "load", "image", f"{registry.url}@{digest}")["programs"]
        assert made["record"]["load"]["image_source"]["digest"] == digest
        assert offline.run("program", "load", "image", whole, "-p", "Never", "-o", "name").returncode == 0
        assert offline.run("image", "pull", whole).returncode == 5
