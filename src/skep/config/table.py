"""The one table of settings: field, key in the file, flag, environment, default, help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skep import model
from skep.config import values


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one instance of skep is told. Paths are absolute, or None to follow from ``runtime_dir``."""

    runtime_dir: str | None = None
    state_dir: str | None = None
    bpffs_dir: str | None = None
    image_cache_dir: str | None = None
    apps_dir: str | None = None
    socket_path: str | None = None
    socket_mode: int = 0o660
    socket_group: str = ""
    read_only_uids: tuple[int, ...] = ()
    read_only_gids: tuple[int, ...] = ()
    lock_timeout: float = 30.0
    """Seconds; 0 waits for ever."""
    log_level: str = "info"
    log_format: str = "text"
    log_components: Mapping[str, str] = field(default_factory=dict)
    """Logger below ``skep`` -> level."""
    xdp_mode: model.XdpMode = model.XdpMode.DRV
    xdp_fallback: bool = True
    interfaces: Mapping[str, model.XdpMode] = field(default_factory=dict)
    """Interface name -> XDP mode, where it differs from ``xdp_mode``."""

    trust_policy: str = "/etc/skep/trust.yaml"
    """The file that says whose images may be loaded."""
    registry_auth_file: str | None = None
    """Logins for registries."""
    registry_ca_file: str | None = None
    registry_plain_http: tuple[str, ...] = ()
    registry_mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Registry -> where to ask first."""
    registry_timeout: float = 30.0
    """Seconds."""
    metrics_address: str = ""
    """"HOST:PORT" or a path; "" serves none."""
    cgroup_dir: str = "/sys/fs/cgroup"
    """Where the host's control groups are, by which a pod's processes are found."""
    cri_socket: str = ""
    """Of a container runtime, for pods that are not found by control groups; "" asks none."""
    sanctioned: tuple[model.Sanctioned, ...] = (model.Sanctioned(),)
    """Foreign programs that are meant to be there."""

    def xdp_modes(self, interface: str) -> tuple[model.XdpMode, ...]:
        """The modes to try for an interface, in order; the generic path is the fallback of the driver's."""
        first = self.interfaces.get(interface, self.xdp_mode)
        if first is model.XdpMode.DRV and self.xdp_fallback:
            return (first, model.XdpMode.SKB)
        return (first,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table. ``parse`` turns a TOML value, or the text of a flag or variable, into the field's value.

    ``flag`` "" means that only the file and the environment set it. ``parse`` raises ``ValueError`` with what it wants.
    """

    name: str
    key: str
    flag: str = ""
    environment: tuple[str, ...] = ()
    parse: Callable[[object], object]
    default: str
    """As a person reads it; the value itself is the field's default in ``Settings``."""
    path: bool = False
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="runtime_dir",
        key="runtime_dir",
        flag="--runtime-dir",
        path=True,
        parse=values.directory,
        default="/run/skep",
        environment=("SKEP_RUNTIME_DIR", "BPFMAN_RUNTIME_DIR"),
        help="Directory of the lock and of the daemon's address; other directories follow from it.",
    ),
    Setting(
        name="state_dir",
        key="state_dir",
        flag="--state-dir",
        path=True,
        parse=values.directory,
        default="/var/lib/skep",
        environment=("SKEP_STATE_DIR",),
        help="Directory of the store.",
    ),
    Setting(
        name="bpffs_dir",
        key="bpffs_dir",
        flag="--bpffs-dir",
        path=True,
        parse=values.directory,
        default="/sys/fs/bpf/skep",
        environment=("SKEP_BPFFS_DIR",),
        help="Directory of the pins, in the host's bpffs.",
    ),
    Setting(
        name="image_cache_dir",
        key="image_cache_dir",
        flag="--image-cache-dir",
        path=True,
        parse=values.directory,
        default="/var/cache/skep",
        environment=("SKEP_IMAGE_CACHE_DIR",),
        help="Directory of fetched bytecode images.",
    ),
    Setting(
        name="apps_dir",
        key="apps_dir",
        flag="--apps-dir",
        path=True,
        parse=values.directory,
        default="/etc/skep/apps.d",
        environment=("SKEP_APPS_DIR",),
        help="Directory of application files that the daemon brings at every start.",
    ),
    Setting(
        name="socket_path",
        key="socket_path",
        flag="--socket-path",
        path=True,
        parse=values.directory,
        default="/run/bpfman-sock/bpfman.sock",
        environment=("SKEP_SOCKET", "BPFMAN_SOCKET_PATH"),
        help="Unix socket on which the daemon listens.",
    ),
    Setting(
        name="socket_mode",
        key="socket_mode",
        parse=values.octal,
        default="0660",
        help="Permission bits of the socket.",
    ),
    Setting(
        name="socket_group",
        key="socket_group",
        parse=values.text,
        default='""',
        help="Group that owns the socket; empty leaves the daemon's own.",
    ),
    Setting(
        name="read_only_uids",
        key="access.read_only_uids",
        parse=values.ids,
        default="[]",
        help="Users who may look through the socket but change nothing, as numbers.",
    ),
    Setting(
        name="read_only_gids",
        key="access.read_only_gids",
        parse=values.ids,
        default="[]",
        help="Groups whose members, root apart, may look but change nothing, as numbers.",
    ),
    Setting(
        name="lock_timeout",
        key="lock_timeout",
        flag="--lock-timeout",
        parse=values.seconds,
        default="30s",
        environment=("SKEP_LOCK_TIMEOUT", "BPFMAN_LOCK_TIMEOUT"),
        help="How long to wait for another writer; 0 waits for ever.",
    ),
    Setting(
        name="log_level",
        key="logging.level",
        flag="--log",
        parse=values.level,
        default="info",
        environment=("SKEP_LOG", "BPFMAN_LOG", "RUST_LOG"),
        help='Least important message to log, and exceptions for parts: "info,manager=debug".',
    ),
    Setting(
        name="log_format",
        key="logging.format",
        parse=values.format,
        default="text",
        environment=("SKEP_LOG_FORMAT",),
        help="text or json, one line per operation.",
    ),
    Setting(
        name="log_components",
        key="logging.components",
        parse=values.components,
        default="{}",
        help="Levels of single parts.",
    ),
    Setting(
        name="xdp_mode",
        key="xdp.mode",
        parse=values.mode,
        default="drv",
        help="How XDP chains are attached: in the driver, in the generic path, or on the card.",
    ),
    Setting(
        name="xdp_fallback",
        key="xdp.fallback",
        parse=values.boolean,
        default="true",
        help="Take the generic path where the driver refuses; the link says so.",
    ),
    Setting(
        name="trust_policy",
        key="signing.trust_policy",
        flag="--trust-policy",
        environment=("SKEP_TRUST_POLICY",),
        parse=values.directory,
        path=True,
        default="/etc/skep/trust.yaml",
        help="File that says whose images may be loaded; without it each is, with a warning.",
    ),
    Setting(
        name="registry_auth_file",
        key="registries.auth_file",
        parse=values.directory,
        path=True,
        default="/etc/skep/auth.json",
        help="Logins for registries, as docker and podman write them. Where it is missing, root's own are looked for.",
    ),
    Setting(
        name="registry_ca_file",
        key="registries.ca_file",
        parse=values.directory,
        path=True,
        default="/etc/skep/registries.pem",
        help="Certificates (PEM) of authorities to trust for registries, besides the system's.",
    ),
    Setting(
        name="registry_plain_http",
        key="registries.plain_http",
        parse=values.registries,
        default="[]",
        help="Registries that may be asked without TLS, as host or host:port; loopback always may.",
    ),
    Setting(
        name="registry_mirrors",
        key="registries.mirrors",
        parse=values.mirrors,
        default="{}",
        help='Where to ask before a registry: { "docker.io" = ["mirror.example:5000/prefix"] }.',
    ),
    Setting(
        name="registry_timeout",
        key="registries.timeout",
        parse=values.seconds,
        default="30s",
        help="Longest silence of a registry.",
    ),
    Setting(
        name="metrics_address",
        key="metrics.address",
        environment=("SKEP_METRICS_ADDRESS",),
        parse=values.address,
        default='""',
        help="Where the daemon serves its numbers (/metrics, HTTP): host:port, or a socket's path; empty serves none.",
    ),
    Setting(
        name="cgroup_dir",
        key="pods.cgroup_dir",
        environment=("SKEP_CGROUP_DIR",),
        parse=values.directory,
        path=True,
        default="/sys/fs/cgroup",
        help="Where the host's control groups are mounted, by which the processes of pods are found.",
    ),
    Setting(
        name="cri_socket",
        key="pods.cri_socket",
        environment=("SKEP_CRI_SOCKET",),
        parse=values.socket,
        default='""',
        help="Socket of the container runtime to ask about pods that have no such group; empty asks none.",
    ),
    Setting(
        name="sanctioned",
        key="inventory.sanctioned",
        parse=values.sanctioned,
        default="[{}]",
        help="Programs of others that are meant to be here, by name, type, tag and process, as patterns; [{}] is all.",
    ),
)
"""Every setting but the tables ``[interfaces.<name>]`` (``xdp_mode`` of one interface)."""

INERT: Mapping[str, str] = {
    "signing.allow_unsigned": "the trust policy says it for each image, see signing.trust_policy",
    "signing.verify_enabled": "the trust policy says it for each image, see signing.trust_policy",
    "signing.trusted_identities": "the trust policy says it for each image, see signing.trust_policy",
    "database.max_retries": "writers wait for the lock, see lock_timeout",
    "database.millisec_delay": "writers wait for the lock, see lock_timeout",
}
"""bpfman's keys that are accepted and mean nothing here, with the reason."""
