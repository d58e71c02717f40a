"""Older objects for the tests: one of each kind and shape, as people wrote them."""

from __future__ import annotations

from typing import Any

import yaml

SEED = """
apiVersion: bpfman.io/v1alpha1
kind: XdpProgram
metadata:
  labels:
    app.kubernetes.io/name: xdpprogram
  name: xdp-pass-all-nodes
spec:
  bpffunctionname: pass
  bytecode:
    image:
      url: quay.io/bpfman-bytecode/xdp_pass:latest
  globaldata:
    GLOBAL_u32: [13, 12, 11, 10]
    GLOBAL_u8: [1]
  interfaceselector:
    primarynodeinterface: true
  nodeselector: {}
  priority: 0
"""
"""What bpfman-operator's own instructions apply."""
BPFD = """
apiVersion: bpfd.io/v1alpha1
kind: BpfProgramConfig
metadata:
  labels:
    app.kubernetes.io/name: BpfProgramConfig
  name: xdp-pass-all-nodes
spec:
  name: pass
  type: XDP
  nodeselector: {}
  priority: 0
  attachpoint:
    interface: eth0
  bytecode:
    imageurl: quay.io/bpfd-bytecode/xdp_pass:latest
"""
"""What bpfd's proposal for OpenShift applies."""


def older(kind: str, spec: dict[str, Any], /, **about: Any) -> dict[str, Any]:
    """An object of an older kind with what all of them need, unless ``spec`` says otherwise (None: left out)."""
    bpfd = kind == "BpfProgramConfig"
    common: dict[str, Any] = {"nodeselector": {}, "bytecode": {"path": "/opt/x.o"}}
    if kind.endswith("Program"):
        common["bpffunctionname"] = "pass"
    merged = {key: value for key, value in {**common, **spec}.items() if value is not None}
    return {
        "apiVersion": "bpfd.io/v1alpha1" if bpfd else "bpfman.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "old", **about},
        "spec": merged,
    }


def parsed(text: str) -> dict[str, Any]:
    """The object in a text."""
    found: dict[str, Any] = yaml.safe_load(text)
    return found
