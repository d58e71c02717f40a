"""Writes docs/kubernetes-walkthrough.md anew from a real session: ``python -m tests.kube.walkthrough`` (as root).

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
from tests.kube import story_rig
from tests.kube.plane import until
from tests.kube.story_rig import Story
from tests.parts import CHECKOUT, part

PAGE = CHECKOUT / "docs/kubernetes-walkthrough.md"
PROMPTS = ("$ ", "node# ")
SETTLED = {
    "kubectl get pods -n bpfman -o wide": "3/3",
    "kubectl get csinode": "csi.bpfman.io",
    "kubectl get configs.bpfman.io": "Success",
    "kubectl describe bpfapplication": "1 link attached",
    "kubectl get nodebpfinventories": "node-1",
    "kubectl get bpfapplicationstates -o wide": "Success",
}
"""What the output of a command that begins so has to have before it is shown."""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="skep-walk-") as name, story_rig.story(Path(name)) as story:
        work = _prepared(story, Path(name) / "work")
        text = PAGE.read_text()
        fresh = documents.FENCE.sub(lambda found: _block(story, work, found[1], found[2]), text)
        PAGE.write_text(fresh)


def _prepared(story: Story, work: Path) -> Path:
    """A directory with the files that the page names, and the commands that it uses."""
    (work / "bin").mkdir(parents=True)
    (work / "deploy").symlink_to(story.deployment())
    for name in ("web", "application", "reader"):
        (work / f"{name}.yaml").write_text(story.example(name))
    for name, defines in (("udp_count", ()), ("udp_count_bytes", ("BYTES",))):
        built = bpf_build.build("udp_count", *defines, sources=instance.EXAMPLES)
        (work / f"{name}.bpf.o").write_bytes(built.read_bytes())
    kubectl: list[object] = [part("kubernetes").parent / "kubernetes.d/kubectl", "--kubeconfig", story.plane.kubeconfig]
    skep: list[object] = [sys.executable, "-c", "import sys; from skep.cli.main import main; sys.exit(main())"]
    for name, words in {"kubectl": kubectl, "skep": skep}.items():
        script = work / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, (*story.node.enter, *words)))} "$@"\n')
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
    environment = {**instance.environment(), "PATH": f"{work}/bin:{_PATH}"}

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
    main()
