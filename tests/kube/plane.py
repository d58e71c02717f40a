"""A control plane of one's own: etcd, API server and controllers, real ones, on loopback, in about four seconds.

CRDs, policies and roles of deploy/ are there before the controllers start: the garbage collector looks for new kinds
only every half minute.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.kube.direct import Direct
from tests.kube.pki import Authority
from tests.parts import CHECKOUT, Server, free_port, part

T = TypeVar("T")
DEPLOYED = tuple(CHECKOUT / "deploy" / name for name in ("crds", "policies", "rbac"))
SERVICES = "10.96.0.0/16"
CONTROLLERS = (
    "garbage-collector-controller", "namespace-controller", "serviceaccount-controller", "daemonset-controller",
    "deployment-controller", "replicaset-controller", "job-controller", "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller", "node-lifecycle-controller",
)  # fmt: skip


def until(what: str, look: Callable[[], T], seconds: float = 30, *, every: float = 0.05) -> T:
    """What ``look`` answers as soon as that is true; what it raises meanwhile is told if it never is."""
    end = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            last = look()
        except (AssertionError, LookupError, ValueError, OSError, subprocess.CalledProcessError) as error:
            last = getattr(error, "stderr", None) or error
        else:
            if last:
                return last
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s; the last look said {last!r}")
        time.sleep(every)


class ControlPlane:
    """All of it, from ``start`` to ``close``; ``with`` does both. ``directory`` holds keys, logs and data.

    ``enter``: words before each command, with which it runs in a network namespace; 10.96.0.1 is an address there, so
    that the API server is where pods look for it. ``empty``: nothing of deploy/ is there.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        scheduler: bool = False,
        enter: tuple[str, ...] = (),
        empty: bool = False,
    ) -> None:
        self.directory = directory
        self.address = address
        self.enter = enter
        self.port = 443 if enter else free_port()
        self.kubeconfig = directory / "admin.kubeconfig"
        self.programs = part("kubernetes").parent / "kubernetes.d"
        self._etcd_port = free_port()
        self._scheduler = scheduler
        self._deployed = () if empty else DEPLOYED
        self._running = contextlib.ExitStack()
        self._api: Server | None = None
        self._controllers: Server | None = None
        self._straight: Direct | None = None

    def __enter__(self) -> ControlPlane:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://{self.address}:{self.port}"

    def start(self) -> None:
        """Start everything and wait for it."""
        authority = self.authority = Authority(self.directory)
        authority.server(
            "server",
            addresses=dict.fromkeys(("127.0.0.1", self.address, "10.96.0.1")),
            names=("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
        )
        self.kubeconfig_of("admin", "admin", "system:masters")
        self.kubeconfig_of("controllers", "system:kube-controller-manager")
        self.kubeconfig_of("scheduler", "system:kube-scheduler")
        self._start_etcd()
        self.start_apiserver()
        self._running.callback(self.stop_apiserver)
        for directory in self._deployed:
            self.kubectl("apply", "--server-side", "-k", str(directory))
        if self._deployed:
            self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        self._start_controllers()
        if self._scheduler:
            self._start_scheduler()
        until("the default service account", lambda: self.get("serviceaccounts", "default", namespace="default"))

    def close(self) -> None:
        """Stop everything, the last first."""
        self._running.close()

    def kubectl(self, *words: str, input: str | None = None, kubeconfig: Path | None = None, check: bool = True) -> str:
        """Run kubectl as the administrator, or as somebody else; what it printed. CalledProcessError with stderr.

        The administrator's plain deletions and namespaces are done without it, and say as much.
        """
        if input is None and kubeconfig is None and (done_so := self._plain(words, check)) is not None:
            return done_so
        program = [*self.enter, str(self.programs / "kubectl")]
        command = [*program, "--kubeconfig", str(kubeconfig or self.kubeconfig), *words]
        done = subprocess.run(command, input=input, capture_output=True, text=True, check=False, timeout=120)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *objects: dict[str, Any], kubeconfig: Path | None = None) -> str:  # Any: JSON
        """Apply objects as they are; CalledProcessError with what the API server says against them."""
        direct = self._direct() if kubeconfig is None else None
        # What is refused is refused to kubectl as well, whose words tests know.
        left = [each for each in objects if direct is None or not direct.apply(each)]
        if not left:
            return f"{len(objects)} applied"
        documents = "\n---\n".join(map(json.dumps, left))
        return self.kubectl("apply", "-f", "-", input=documents, kubeconfig=kubeconfig)

    def _plain(self, words: tuple[str, ...], check: bool) -> str | None:
        """What kubectl would print of what takes no kubectl; None if it does."""
        direct = self._direct()
        if direct is None:
            return None
        match words:
            case ("create", "namespace", str(name)):
                return self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            case ("delete", str(kind), str(name), *more) if not {",", "/"} & set(kind) and not name.startswith("-"):
                flags, namespace = set(more), "default"
                if "-n" in more:
                    namespace = more[more.index("-n") + 1]
                    flags -= {"-n", namespace}
                if flags - {"--wait=false", "--ignore-not-found"}:
                    return None
                said = direct.delete(
                    kind, name, namespace, wait="--wait=false" not in flags, missing="--ignore-not-found" in flags
                )
                if said and check:
                    raise subprocess.CalledProcessError(1, words, "", said)
                return said if said is None or said else f'{kind} "{name}" deleted'
            case _:
                return None

    def get(self, kind: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:  # Any: JSON
        """One object; {} if there is none."""
        if (read := self._direct()) is not None and (told := read.get(kind, name, namespace or "default")) is not None:
            return told
        where = ("-n", namespace) if namespace else ()
        text = self.kubectl("get", kind, name, *where, "--ignore-not-found", "-o", "json")
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def list(self, kind: str, *, namespace: str | None = None, labels: str = "") -> list[dict[str, Any]]:  # Any: JSON
        """All objects of a kind."""
        if (read := self._direct()) is not None and (told := read.list(kind, namespace, labels)) is not None:
            return told
        where = ("-n", namespace) if namespace else ("-A",)
        chosen = ("-l", labels) if labels else ()
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *where, *chosen, "-o", "json"))["items"]
        return items

    def kubeconfig_for(self, namespace: str, account: str, bound: dict[str, str] | None = None) -> Path:
        """A file with which to be a service account, with a token that lasts an hour, and no longer than the object to
        which it is ``bound`` (apiVersion, kind, name)."""
        if (direct := self._direct()) is not None:
            token = direct.token(namespace, account, bound)
        else:
            words = [f"--bound-object-{key}={value}" for key, value in (bound or {}).items() if key != "apiVersion"]
            token = self.kubectl("create", "token", account, "-n", namespace, "--duration=1h", *words).strip()
        name = f"{namespace}-{account}"
        self._kubeconfig(name, {"token": token})
        return self.directory / f"{name}.kubeconfig"

    def start_apiserver(self) -> None:
        """Start the API server and wait until it is ready.

        The controllers begin anew as well: they wait longer and longer before they look for it again, and other tests
        wait for what they do.
        """
        self._api = Server(
            self.directory / "kube-apiserver.log",
            *self.enter,
            self.programs / "kube-apiserver",
            "--etcd-servers", f"http://127.0.0.1:{self._etcd_port}",
            "--bind-address", "0.0.0.0" if self.enter else self.address,
            "--advertise-address", self.address, "--secure-port", str(self.port),
            # It does not want to publish a loopback address for its service.
            "--endpoint-reconciler-type", "none",
            "--tls-cert-file", self._file("server.crt"), "--tls-private-key-file", self._file("server.key"),
            "--client-ca-file", self._file("ca.crt"),
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", self._file("sa.pub"),
            "--service-account-signing-key-file", self._file("sa.key"),
            "--service-cluster-ip-range", SERVICES,
            "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
            "--allow-privileged=true",
            "--kubelet-client-certificate", self._file("admin.crt"), "--kubelet-client-key", self._file("admin.key"),
            "--kubelet-preferred-address-types", "InternalIP",
            "--cert-dir", self._file("made"), "--profiling=false",
        )  # fmt: skip
        until("the API server", lambda: self._ready("/readyz"), 60)
        if self._controllers is not None:
            self._controllers.close()
            self._start_controllers()

    def stop_apiserver(self) -> None:
        """Stop the API server, as an upgrade would, and no later: it waits a minute for those who watch."""
        if self._api is not None:
            self._api.close(1)
            self._api = None

    def restart_apiserver(self) -> None:
        """Stop it and start it again: every watch ends, nothing is lost."""
        self.stop_apiserver()
        self.start_apiserver()

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{free_port()}"
        etcd = self._server(
            "etcd",
            "--data-dir", self._file("etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
            "--unsafe-no-fsync",
        )  # fmt: skip
        if not self.enter:  # elsewhere the API server waits for it
            etcd.wait_until_it_listens(self._etcd_port)

    def _start_controllers(self) -> None:
        self._controllers = self._server(
            "kube-controller-manager",
            "--kubeconfig", self._file("controllers.kubeconfig"),
            "--authentication-kubeconfig", self._file("controllers.kubeconfig"),
            "--authorization-kubeconfig", self._file("controllers.kubeconfig"),
            "--service-account-private-key-file", self._file("sa.key"), "--root-ca-file", self._file("ca.crt"),
            "--leader-elect=false", "--use-service-account-credentials=true",
            "--bind-address", "127.0.0.1", "--secure-port", str(free_port()), "--cert-dir", self._file("made-kcm"),
            "--controllers", ",".join(CONTROLLERS), "--kube-api-qps", "200", "--kube-api-burst", "400",
        )  # fmt: skip

    def _start_scheduler(self) -> None:
        self._server(
            "kube-scheduler",
            "--kubeconfig", self._file("scheduler.kubeconfig"),
            "--authentication-kubeconfig", self._file("scheduler.kubeconfig"),
            "--authorization-kubeconfig", self._file("scheduler.kubeconfig"),
            "--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", str(free_port()),
            "--cert-dir", self._file("made-scheduler"),
        )  # fmt: skip

    def _server(self, name: str, *words: str) -> Server:
        made = Server(self.directory / f"{name}.log", *self.enter, self.programs / name, *words)
        self._running.callback(made.close)
        return made

    def _ready(self, path: str) -> bool:
        if self.enter:
            return self.kubectl("get", "--raw", path) == "ok"
        with urllib.request.urlopen(self.url + path, context=self._administrator(), timeout=5) as response:
            return bool(response.read() == b"ok")

    def _administrator(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._file("ca.crt"))
        context.load_cert_chain(self._file("admin.crt"), self._file("admin.key"))
        return context

    def _direct(self) -> Direct | None:
        """None where the API server is in another network."""
        if self._straight is None and not self.enter:
            self._straight = Direct(self.address, self.port, self._administrator())
        return self._straight

    def kubeconfig_of(self, name: str, user: str, *groups: str) -> Path:
        """A file with which to be a user in some groups, by certificate."""
        self.authority.client(name, user, *groups)
        self._kubeconfig(
            name, {"client-certificate": self._file(f"{name}.crt"), "client-key": self._file(f"{name}.key")}
        )
        return self.directory / f"{name}.kubeconfig"

    def _kubeconfig(self, name: str, user: dict[str, str]) -> None:
        written = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [
                {"name": "tests", "cluster": {"server": self.url, "certificate-authority": self._file("ca.crt")}}
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": name}}],
        }
        path = self.directory / f"{name}.kubeconfig"
        path.write_text(json.dumps(written))
        path.chmod(0o600)

    def _file(self, name: str) -> str:
        return str(self.directory / name)
