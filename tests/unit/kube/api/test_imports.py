"""What a plain host runs does without the packages of ``skep[kubernetes]``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.house import source_tree

# The parts of kube/ that are processes of a cluster, or are for programs that talk to its API server.
OF_A_CLUSTER = {"agent", "api", "bundle", "chart", "clean", "client", "csi", "inventory", "operator"}
EXTRA = ("lightkube", "prometheus_client", "httpx2", "msgspec")


@pytest.mark.slow
def test_a_plain_daemon_and_apply_need_no_lightkube() -> None:
    """The extra is optional: where it is missing, everything but the cluster's processes works."""
    modules = []
    for path in source_tree.python_modules():
        layer, *rest = path.relative_to(source_tree.PACKAGE).with_suffix("").parts
        if layer in {"daemon", "kube"} and rest[0] not in OF_A_CLUSTER and path.stem != "__init__":
            modules.append(".".join(("skep", layer, *rest)))
    assert "skep.kube.host" in modules and "skep.kube.api.queue" not in modules
    program = f"import importlib, sys\nfor name in {EXTRA!r}: sys.modules[name] = None\n"
    program += f"for name in {['skep.cli.apply', *modules]!r}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False,
                          env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"})  # fmt: skip
    assert done.stderr == ""
