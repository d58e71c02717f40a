"""``skep kube operator``: deploys daemon, agent and CSI driver, and tells what became of applications."""

from __future__ import annotations

from typing import Any

import click

from skep.cli import ground, lazy, output, session


@click.group(
    "operator",
    cls=lazy.Group,
    invoke_without_command=True,
    no_args_is_help=False,
    help="""Run the operator until SIGTERM.

    It makes the DaemonSet of the nodes out of the Config bpfman-config, and adds up what their agents report of each
    application.

    Where there is no Config, one is made at the start with the images given. Several may run with --leader-elect; one
    works.
    """,
    examples="""
        skep kube operator --leader-elect --image quay.io/example/skep:1.0
        skep kube operator --kubeconfig ~/.kube/config
        skep kube operator default-config | kubectl create -f -
    """,
)
@click.option("--kubeconfig", metavar="FILE", help="The cluster.  [default: the one we run in; KUBECONFIG]")
@click.option("--image", envvar="BPFMAN_IMG", metavar="IMAGE", help="The image of the default Config.  [BPFMAN_IMG]")
@click.option(
    "--agent-image", envvar="BPFMAN_AGENT_IMG", metavar="IMAGE", help="The agent's, if another.  [BPFMAN_AGENT_IMG]"
)
@click.option(
    "--config-object", envvar="BPFMAN_CONFIG_OBJECT", metavar="FILE",
    help="A Config (YAML) to make, and to set the fields of at each start, in the stead of the default one."
    "  [BPFMAN_CONFIG_OBJECT]",
)  # fmt: skip
@click.option(
    "--image-pull-policy", envvar="BPFMAN_IMAGE_PULL_POLICY", type=click.Choice(["Always", "Never", "IfNotPresent"]),
    help="imagePullPolicy of the default Config.  [BPFMAN_IMAGE_PULL_POLICY]",
)  # fmt: skip
@click.option(
    "--agent-metrics-port", envvar="BPFMAN_AGENT_METRICS_PORT", type=click.IntRange(1, 65535), metavar="PORT",
    help="agent.metricsPort of the default Config.  [default: agents serve no metrics; BPFMAN_AGENT_METRICS_PORT]",
)  # fmt: skip
@click.option(
    "--namespace", envvar="POD_NAMESPACE", default="bpfman", show_default=True, metavar="NAME",
    help="Where the lease is, and what the default Config deploys.  [POD_NAMESPACE]",
)  # fmt: skip
@click.option("--leader-elect", is_flag=True, help="Work only while holding the lease 8730d955.bpfman.io.")
@click.option(
    "--health-probe-bind-address", "health", default=":8175", show_default=True, metavar="[HOST]:PORT",
    help="Where /healthz and /readyz are served; 0 is nowhere.",
)  # fmt: skip
@click.option(
    "--metrics-bind-address", "metrics", default=":8443", show_default=True, metavar="[HOST]:PORT",
    help="Where /metrics is served over TLS, to whom the cluster allows it; 0 is nowhere.",
)  # fmt: skip
@click.option("--cert-dir", metavar="DIR", help="Where tls.crt and tls.key are.  [default: one is made at the start]")
@click.pass_context
def operator(
    ctx: click.Context,
    kubeconfig: str | None,
    image: str | None,
    agent_image: str | None,
    config_object: str | None,
    image_pull_policy: str | None,
    agent_metrics_port: int | None,
    namespace: str,
    leader_elect: bool,
    health: str,
    metrics: str,
    cert_dir: str | None,
) -> None:
    """Run it, unless a subcommand is named."""
    from skep.kube.operator import settings

    default = None
    if config_object:
        default = _read(config_object)
    elif image:
        default = settings.default(
            (image, agent_image or image),
            namespace=namespace,
            policy=image_pull_policy or "",
            metrics_port=agent_metrics_port,
        )
    ctx.meta[_DEFAULT] = default
    if ctx.invoked_subcommand is not None:
        return
    from pathlib import Path

    from skep import log
    from skep.kube.api import listen
    from skep.kube.operator import program

    options = program.Options(
        kubeconfig=kubeconfig,
        namespace=namespace,
        default=default,
        kept=bool(config_object),
        elect=leader_elect,
        health=listen.address(health),
        metrics=listen.address(metrics),
        certificates=Path(cert_dir) if cert_dir else None,
    )
    chosen = ctx.ensure_object(session.Session).settings
    log.configure(chosen.log_level, format=chosen.log_format, components=chosen.log_components)
    ctx.exit(program.serve(options))


_DEFAULT = "skep.kube.operator.default"


def _read(path: str) -> dict[str, Any]:  # Any: JSON
    """The Config in a file. InvalidRequest if it is none, or one that nothing could be made of."""
    import yaml

    from skep import errors
    from skep.kube import kinds, naming
    from skep.kube.operator import settings

    try:
        with open(path, "rb") as stream:
            found = yaml.safe_load(stream)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise errors.InvalidRequest(f"read the Config in {path}", why=str(error), do="write it in YAML") from error
    match found:
        case {"apiVersion": kinds.API_VERSION, "kind": "Config", "metadata": {"name": naming.CONFIG}, "spec": spec}:
            settings.read({"metadata": {"name": naming.CONFIG, "uid": ""}, "spec": spec})
            return dict(found)
        case _:
            raise errors.InvalidRequest(
                f"no Config in {path}",
                why=f"one {kinds.API_VERSION} Config is looked at, {naming.CONFIG}",
                do="write it",
            )


@operator.command(
    "default-config",
    cls=lazy.Command,
    help="Print the Config that is made when there is none, for kubectl create -f -.",
    examples="skep kube operator --image quay.io/example/skep:1.0 default-config",
)
@click.pass_context
def default_config(ctx: click.Context) -> None:
    """Print it as YAML."""
    from skep import errors

    default = ctx.meta[_DEFAULT]
    if default is None:
        raise errors.InvalidRequest(
            "no image is named", why="a Config names the image that its nodes run", do="give --image, or set BPFMAN_IMG"
        )
    output.yaml(default)


operator.params += ground.options(("log_level",), hidden=False)
OPERATOR: click.Command = operator
