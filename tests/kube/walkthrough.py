"""Writes docs/kubernetes-walkthrough.md, or another page, anew from a real session (as root):
``python -m tests.kube.walkthrough [PAGE]``. For docs/kubernetes-install.md the cluster is empty.

Every line of a console block that begins with "$" is run as a user of the cluster, and with "node#" as root on the
node; what it prints takes the place of what stood below it.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import bpf_build, instance
from tests.e2e import documents
from tests.kube import images, install_rig, plugin_rig, story_rig
from tests.kube.plane import until
from tests.kube.story_rig import Story
from tests.parts import CHECKOUT

PAGES = CHECKOUT / "docs"
IMAGE = "registry.example/skep:0.1"
"""What the pages call the test's image."""
PROMPTS = ("$ ", "node# ")
SETTLED = {
    "kubectl get pods -n bpfman -o wide": "3/3",
    "kubectl get csinode": "csi.bpfman.io",
    "kubectl get configs.bpfman.io": "Success",
    "kubectl exec reader": "0: ",
    "kubectl describe bpfapplication": "1 link attached",
    "kubectl get nodebpfinventories": "node-1",
    "kubectl get bpfapplicationstates -o wide": "Success",
    "kubectl skep status -A": "protocols  Success",
    "kubectl skep why wrong": "Error: failed on",
    "kubectl skep why protocols": "ready",
    "kubectl skep chain": "protocols",
    "kubectl skep inventory --managed": "protocols",
}
"""What the output of a command that begins so has to have before it is shown."""


def main(page: Path = PAGES / "kubernetes-walkthrough.md") -> None:
    empty = page.stem == "kubernetes-install"
    with tempfile.TemporaryDirectory(prefix="skep-walk-") as name, story_rig.story(Path(name), empty=empty) as story:
        work = _prepared(story, Path(name) / "work")
        (work / "deploy").symlink_to(CHECKOUT / "deploy" if empty else story.deployment())
        text = page.read_text()
        fresh = documents.FENCE.sub(lambda found: _block(story, work, found[1], found[2]), text)
        page.write_text(fresh)


def _prepared(story: Story, work: Path) -> Path:
    """A directory with the files that the page names, and the commands that it uses."""
    (work / "bin").mkdir(parents=True)
    for each in ("Makefile", "scripts"):
        (work / each).symlink_to(CHECKOUT / each)
    story.node.run("ctr", "-n", "k8s.io", "images", "tag", images.SKEP, IMAGE)
    story.push("udp_count", "v1")
    story.node.run("rm", "-rf", *install_rig.OWN)
    for name in ("web", "application", "reader", "node"):
        (work / f"{name}.yaml").write_text(story.example(name))
    for name, source, defines in (
        ("udp_count", "udp_count", ()), ("udp_count_bytes", "udp_count", ("BYTES",)),
        ("xdp_count", "xdp_count", ()), ("xdp_sample", "xdp_sample", ()),
    ):  # fmt: skip
        built = bpf_build.build(source, *defines, sources=instance.EXAMPLES)
        (work / f"{name}.bpf.o").write_bytes(built.read_bytes())
    plugin_rig.plugin(work / "bin", story.plane.kubeconfig, enter=story.node.enter)
    skep = [*story.node.enter, sys.executable, "-c", "import sys; from skep.cli.main import main; sys.exit(main())"]
    script = work / "bin/skep"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(skep)} "$@"\n')
    script.chmod(0o755)
    return work


def _block(story: Story, work: Path, language: str, text: str) -> str:
    if language != "console":
        return f"```{language}\n{text}```"
    typed = [line for line in text.splitlines() if line.startswith(PROMPTS)]
    return "```console\n" + "".join(f"{line}\n{_run(story, work, line)}" for line in typed) + "```"


def _run(story: Story, work: Path, line: str) -> str:
    prompt, _, command = line.partition(" ")
    awaited = next((text for begin, text in SETTLED.items() if command.startswith(begin)), "")
    where = [] if prompt == "$" else [*story.node.inside, "env", f"PATH={_PATH}"]
    cluster = {"PATH": f"{work}/bin:{_PATH}", "KUBECONFIG": str(story.plane.kubeconfig)}
    environment = {**instance.environment(), **cluster}

    def ran() -> str:
        done = subprocess.run(
            [*where, "bash", "-c", command], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        told = done.stdout + done.stderr
        assert awaited in told, told
        return told or "\n"

    sys.stderr.write(f"{line}\n")
    shown = until(command, ran, 90, every=0.5)
    sys.stderr.write(shown)
    return "" if shown == "\n" else shown if shown.endswith("\n") else shown + "\n"


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
