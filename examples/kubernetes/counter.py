"""What an operator of an application does: have its eBPF programs run, see where, and take them away again.

python examples/kubernetes/counter.py APPLICATION.yaml [KUBECONFIG]
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from skep import errors
from skep.kube import client


def main(path: str, kubeconfig: str | None = None) -> int:
    """Apply the application of a file, tell what became of it on each node, and delete it when somebody says so."""
    document = yaml.safe_load(Path(path).read_text())
    with client.cluster(kubeconfig) as cluster:
        ref = cluster.apply(document)
        try:
            for node in cluster.wait(ref, seconds=60):
                for program in node.programs:
                    places = ", ".join(link.place.get("interfaceName", "") for link in program.links)
                    print(f"{node.name}: {program.name} is program {program.id}, attached to {places or 'nothing'}")
            input("Press Enter to delete it. ")
        except client.Failed as failed:
            for on in failed.nodes:
                print(f"{on.name}: {on.message}", file=sys.stderr)
            return 1
        finally:
            cluster.delete(ref)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except errors.SkepError as error:
        sys.exit(f"{error}")
