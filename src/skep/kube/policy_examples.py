"""Examples of policies that an administrator makes his own: who may attach what where, and from where code may come.

``python -m skep.kube.policy_examples deploy/policy-examples`` writes them, one file for each. None is in force by
itself: they name groups, registries and directories of a cluster that nobody has. Each reads programs in every form in
which they can be asked for, those of older kinds included, and lets pass what the operator translates out of those: it
was judged when somebody wrote it.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep.kube import crd, kinds, members

HEADER: Final = (
    "# Made by `python -m skep.kube.policy_examples deploy/policy-examples` from src/skep/kube; a test compares them.\n"
    "# An example: read docs/kubernetes-policy.md, and put your own names in before you apply it.\n"
)
OPERATOR: Final = "system:serviceaccount:bpfman:bpfman-operator"
OLDER: Final = (
    "xdpprograms", "tcprograms", "tcxprograms", "tracepointprograms", "kprobeprograms", "uprobeprograms",
    "fentryprograms", "fexitprograms", "xdpnsprograms", "tcnsprograms", "tcxnsprograms", "uprobensprograms",
    "bpfnsapplications",
)  # fmt: skip
"""Resources of bpfman.io/v1alpha1 that ask for programs in an older generation's words."""
NETWORK: Final = ("XDP", "TC", "TCX", "Netkit")
"""Types that are attached to interfaces."""
TENANTS: Final = ("XDP", "TCX")
LOWEST: Final = 500
"""The priority from which on tenants' programs run."""
TRACING: Final = (
    "KProbe", "KRetProbe", "KprobeMulti", "KprobeSession", "FEntry", "FExit", "FmodRet", "Lsm", "LsmCgroup",
    "TracePoint", "RawTracepoint", "TpBtf", "PerfEvent", "Iter",
)  # fmt: skip
"""Types that see the kernel at work, or decide in its stead."""
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "network": NETWORK,
    "tracing": (*TRACING, "UProbe", "URetProbe", "UprobeMulti", "UprobeSession", "Usdt"),
    "sockets": (
        "SkLookup", "SkMsg", "SkSkb", "SkReuseport", "SocketFilter", "Sockops", "FlowDissector", "Netfilter", "LwtIn",
        "LwtOut", "LwtXmit", "LwtSeg6local",
    ),
    "cgroups": ("CgroupSkb", "CgroupSock", "CgroupSockAddr", "CgroupSockopt", "CgroupSysctl", "CgroupDevice"),
    "kernel": ("StructOps", "Freplace", "Syscall"),
}  # fmt: skip
"""ClusterRoles by the types that they let one attach; together they are all types."""

_SINGLE_TYPE: Final = (
    "object.kind == 'BpfProgramConfig' ? string(variables.spec.?type.orValue('')).lowerAscii()"
    " : variables.spec.?retprobe.orValue(false)"
    " ? object.kind.lowerAscii().replace('nsprogram', '').replace('program', '').replace('probe', 'retprobe')"
    " : object.kind.lowerAscii().replace('nsprogram', '').replace('program', '')"
)
_SINGLE_LINK: Final = (
    "object.kind == 'BpfProgramConfig' ? dyn(variables.spec.?attachpoint.?networkmultiattach.orValue({}))"
    " : dyn(variables.spec)"
)
_VARIABLES: Final[Mapping[str, str]] = {
    "spec": "dyn(object.?spec.orValue({}))",
    # Today's spelling, or that of any generation before.
    "said": "dyn(variables.spec.?byteCode.or(variables.spec.?bytecode).orValue({}))",
    # bpfd once took a URI: image://NAME or file://PATH.
    "code": (
        "type(variables.said) != string ? variables.said : variables.said.startsWith('image://')"
        " ? dyn({'image': {'url': variables.said.substring(8)}})"
        " : dyn({'path': string(variables.said).replace('file://', '')})"
    ),
    # Of each program its type in lower case, and where it shall be attached: in older objects it is its one link.
    "programs": (
        "has(variables.spec.programs) ? variables.spec.programs.map(each, {'type': dyn(each.type.lowerAscii()), "
        "'links': has(variables.spec.byteCode) ? dyn(each[?each.type.lowerAscii()].?links.orValue([]))"
        " : dyn([each[?each.type.lowerAscii()].orValue({})])})"
        f" : [{{'type': dyn({_SINGLE_TYPE}), 'links': dyn([{_SINGLE_LINK}])}}]"
    ),
    "types": "variables.programs.map(each, string(each.type))",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    """What differs between the examples. ``params``: name of the ConfigMap that it is given."""

    name: str
    comment: str
    variables: Mapping[str, str]
    validations: tuple[Mapping[str, str], ...]
    namespaced: bool | None = None
    """Only these kinds; None: all."""
    params: Mapping[str, str] | None = None
    spec_only: bool = True
    """Whether only a new spec is judged, and not new labels."""


def files() -> dict[str, str]:
    """File name -> YAML."""
    made = {}
    for one in (_by_rbac(), _sources(), _tenants(), _host_network(), _tracing(), _map_owners()):
        more = _roles() if one.name == "attach-by-rbac" else []
        comment = "".join(f"# {line}\n" for line in textwrap.wrap(one.comment, 110))
        made[f"{one.name}.yaml"] = HEADER + "#\n" + comment + "---\n".join(map(crd.as_yaml, [*_documents(one), *more]))
    return made


def _documents(one: _Policy) -> list[dict[str, Any]]:  # Any: JSON
    name = f"{one.name}.example.skep.io"
    conditions = {"not-the-operators": f"request.userInfo.username != '{OPERATOR}'"}
    if one.spec_only:
        # Finalizers and labels come and go on what was written before the policy was there.
        conditions["the-spec-is-new"] = "oldObject == null || object.spec != oldObject.spec"
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": _rules(one.namespaced)},
        "matchConditions": [{"name": each, "expression": text} for each, text in conditions.items()],
        "variables": [{"name": each, "expression": text} for each, text in {**_VARIABLES, **one.variables}.items()],
        "validations": [{**each, "reason": "Forbidden"} for each in one.validations],
    }
    binding: dict[str, Any] = {"policyName": name, "validationActions": ["Deny", "Audit"]}
    documents: list[dict[str, Any]] = []
    if one.params is not None:
        spec["paramKind"] = {"apiVersion": "v1", "kind": "ConfigMap"}
        about = {"name": one.name, "namespace": "bpfman"}
        binding["paramRef"] = {**about, "parameterNotFoundAction": "Deny"}
        documents.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": dict(one.params)})
    group = "admissionregistration.k8s.io/v1"
    documents += [
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec},
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": binding},
    ]
    return documents


def _rules(namespaced: bool | None) -> list[dict[str, Any]]:  # Any: JSON
    every = {
        "clusterbpfapplications": False,
        "bpfapplications": True,
        **{each: "ns" in each.removesuffix("s") for each in OLDER},
    }
    named = [each for each, within in every.items() if namespaced is None or within is namespaced]
    found = [(kinds.GROUP, named)]
    if not namespaced:
        found.append(("bpfd.io", ["bpfprogramconfigs"]))
    operations = ["CREATE", "UPDATE"]
    return [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": resources}
        for group, resources in found
    ]


def _by_rbac() -> _Policy:
    known = sorted(members.member_name(hook) for hook in members.types(cluster=True))
    return _Policy(
        name="attach-by-rbac",
        comment="RBAC decides who may attach programs of which type: the verb `attach` on"
        " clusterbpfapplications/TYPE or, "
        "in a namespace, on bpfapplications/TYPE, with the type in lower case. These resources exist for nobody"
        " but RBAC; "
        "whoever has the verb * on * (cluster-admin) may attach everything.",
        variables={
            # The older BpfApplication is cluster-wide in what it does, wherever it is.
            "whole": "has(object.metadata.namespace) && (object.kind != 'BpfApplication' ||"
            " has(variables.spec.byteCode))"
            " ? 'bpfapplications' : 'clusterbpfapplications'",
        },
        validations=(
            {
                "expression": f"variables.types.all(each, each in {_list(known)})",
                "messageExpression": "'no such program type: ' + variables.types.join(', ')",
            },
            # One for each, since a message cannot ask who may what.
            *(_may_attach(each) for each in known),
        ),
    )


def _may_attach(type: str) -> dict[str, str]:
    return {
        "expression": f"!('{type}' in variables.types) || authorizer.group('{kinds.GROUP}').resource(variables.whole)"
        f".subresource('{type}').namespace(object.metadata.?namespace.orValue('')).check('attach').allowed()",
        "messageExpression": f"request.userInfo.username + ' may not attach {type} programs: it needs the verb"
        f" attach on '"
        f" + variables.whole + '/{type} of {kinds.GROUP}; bind a role to it that has it, such as"
        f" bpf-attach-{_role(type)}'",
    }


def _role(type: str) -> str:
    return next(name for name, types in ROLES.items() if type in [each.lower() for each in types])


def _sources() -> _Policy:
    return _Policy(
        name="bytecode-sources",
        comment="Where code may come from: images from listed places, by digest if that is asked for, and object"
        " files on "
        "nodes only below listed directories. The ConfigMap says which; entries are separated by blanks, and end"
        " with /.",
        params={"images": "quay.io/acme/ registry.example:5000/bpf/", "digest": "required", "directories": "/opt/bpf/"},
        variables={
            "image": "string(variables.code.?image.?url.or(variables.code.?imageurl).orValue(''))"
            ".replace('image://', '')",
            "path": "string(variables.code.?path.orValue(''))",
            "images": "params.data[?'images'].orValue('').split(' ').filter(each, each != '')",
            "directories": "params.data[?'directories'].orValue('').split(' ').filter(each, each != '')",
        },
        validations=(
            {
                "expression": "variables.image == '' || variables.images.exists(each,"
                " variables.image.startsWith(each))",
                "messageExpression": "'image ' + variables.image + ' is from elsewhere than '"
                " + variables.images.join(', ') + ': push it there, or have ConfigMap bpfman/bytecode-sources"
                " list its place'",
            },
            {
                "expression": "variables.image == '' || params.data[?'digest'].orValue('') != 'required'"
                " || variables.image.matches('@sha256:[0-9a-f]{64}$')",
                "messageExpression": "'image ' + variables.image + ' can change: name it by digest, '"
                " + variables.image.split('@')[0] + '@sha256:…; \"skep image inspect\" tells it'",
            },
            {
                "expression": "variables.path == '' || !variables.path.matches('(^|/)[.][.]?(/|$)')"
                " && variables.directories.exists(each, variables.path.startsWith(each))",
                "messageExpression": "'file ' + variables.path + ' is not below '"
                " + (variables.directories.size() == 0 ? 'any directory: files are not allowed'"
                " : variables.directories.join(', ')) + '; use an image, or have ConfigMap bpfman/bytecode-sources list"
                " its directory'",
            },
        ),
    )


def _tenants() -> _Policy:
    low = f"each.links.exists(link, int(link.?priority.orValue({members.DEFAULT_PRIORITY})) < {LOWEST})"
    return _Policy(
        name="tenants",
        comment=f"Users of a namespace attach {' and '.join(TENANTS)} programs to their own pods, at priority"
        f" {LOWEST} or"
        " behind: what the group netops has put there comes first.",
        namespaced=True,
        variables={
            "others": f"variables.types.filter(each, !(each in {_lower(TENANTS)}))",
            "early": f"variables.programs.filter(each, {low}).map(each, string(each.type))",
        },
        validations=(
            _unless(
                "netops", "variables.others.size() == 0",
                f"'in a namespace only {' and '.join(TENANTS)} programs are allowed, not ' +"
                f" variables.others.join(', ')"
                " + ': ask the group netops to apply it'",
            ),
            _unless(
                "netops", "variables.early.size() == 0",
                f"'priorities below {LOWEST} are for the group netops: give the links of these programs {LOWEST}"
                f" to 1000: '"
                " + variables.early.join(', ')",
            ),
        ),
    )  # fmt: skip


def _host_network() -> _Policy:
    host = "each.links.exists(link, !has(link.networkNamespaces) && !has(link.containers))"
    return _Policy(
        name="host-network",
        comment="Interfaces of the nodes themselves, the primary one above all, are the group netops'; others"
        " attach in "
        "pods, whose network namespaces they select.",
        variables={
            "host": f"variables.programs.filter(each, each.type in {_lower(NETWORK)} && {host})"
            ".map(each, string(each.type))",
        },
        validations=(
            _unless(
                "netops", "variables.host.size() == 0",
                "'these programs would run on interfaces of the node: ' + variables.host.join(', ')"
                " + '; give their links networkNamespaces that select pods, or ask the group netops to apply it'",
            ),
        ),
    )  # fmt: skip


def _tracing() -> _Policy:
    return _Policy(
        name="tracing",
        comment="Programs that look into the kernel at work, or decide in its stead, are the group security's.",
        variables={"traced": f"variables.types.filter(each, each in {_lower(TRACING)})"},
        validations=(
            _unless(
                "security", "variables.traced.size() == 0",
                "'only the group security may attach ' + variables.traced.join(', ')"
                " + ' programs: ask it to apply ' + object.kind + ' ' + object.metadata.name",
            ),
        ),
    )  # fmt: skip


def _map_owners() -> _Policy:
    return _Policy(
        name="map-owners",
        comment="An application uses the maps of applications of its own team only: its mapOwnerSelector names"
        " the team. "
        "In a namespace the team is the namespace's label; elsewhere whoever writes it is in the group team:NAME.",
        spec_only=False,
        variables={
            # In older objects an empty one is none.
            "older": "[variables.spec.?mapownerselector.orValue({})] + dyn(variables.spec.?programs.orValue([]))"
            ".map(each, dyn(each[?each.type.lowerAscii()].?mapownerselector.orValue({})))",
            "selectors": "(has(variables.spec.mapOwnerSelector) ? [dyn(variables.spec.mapOwnerSelector)] : [])"
            " + variables.older.filter(each, each.?matchLabels.hasValue() || each.?matchExpressions.hasValue())",
            "teams": "has(object.metadata.namespace) ? [namespaceObject.metadata.?labels[?'team'].orValue('')]"
            " : request.userInfo.groups.filter(each, each.startsWith('team:')).map(each, each.substring(5))",
        },
        validations=(
            {
                "expression": "variables.selectors.all(each, string(each.?matchLabels[?'team'].orValue('')) != ''"
                " && string(each.?matchLabels[?'team'].orValue('')) in variables.teams)",
                "messageExpression": "'mapOwnerSelector must say whose maps it means: add matchLabels team, which"
                " may be '"
                " + (variables.teams.filter(each, each != '').size() == 0 ? 'none: neither the namespace nor '"
                " + request.userInfo.username + ' has a team' : variables.teams.join(' or '))",
            },
        ),
    )


def _unless(group: str, expression: str, message: str) -> dict[str, str]:
    """A rule for all but a group, and those whom no rule binds anyway."""
    return {
        "expression": f"request.userInfo.groups.exists(each, each in ['{group}', 'system:masters']) || {expression}",
        "messageExpression": message,
    }


def _roles() -> list[dict[str, Any]]:  # Any: JSON
    made: list[dict[str, Any]] = []
    for name, types in ROLES.items():
        words = [each.lower() for each in types]
        resources = [f"{whole}/{each}" for whole in ("clusterbpfapplications", "bpfapplications") for each in words]
        made.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": f"bpf-attach-{name}"},
                "rules": [{"apiGroups": [kinds.GROUP], "resources": resources, "verbs": ["attach"]}],
            }
        )
    return made


def _lower(types: tuple[str, ...]) -> str:
    return _list([each.lower() for each in types])


def _list(words: list[str]) -> str:
    return "[" + ", ".join(f"'{each}'" for each in words) + "]"


def main(words: list[str]) -> int:
    """Write them all."""
    return crd.write("skep.kube.policy_examples", files, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
