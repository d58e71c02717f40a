"""What CRDs cannot refuse, as admission policies: ``python -m skep.kube.policy DIRECTORY`` writes them.

A CRD's rules do not see the object's namespace, and within the links of programs the API server grants them too little
time; policies have both. ``resources.read`` has the same rules, for hosts and for clusters without the policies.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from skep import hooks
from skep.kube import crd, expressions, kinds, members

HEADER = "# Made by `python -m skep.kube.policy deploy/policies` from src/skep/kube; a test compares them.\n"
_SECRET = "object.spec.?byteCode.?image.?imagePullSecret.?namespace"

_GLOBAL_DATA = {
    False: "object.spec.?globalData.orValue({})",
    True: "has(object.spec.globaldata) ? object.spec.globaldata : object.spec.?globalData.orValue({})",
}
"""By whether the kind is namespaced: that one comes in two forms (``older.both``)."""
_BYTES = (
    "type(variables.globalData[name]) != list"
    " || variables.globalData[name].all(one, type(one) == int && one >= 0 && one < 256)"
)


def files() -> dict[str, str]:
    """File name -> YAML."""
    made = {f"{kind.plural}.yaml": policy(kind) for kind in (kinds.CLUSTER_APPLICATION, kinds.APPLICATION)}
    return {name: HEADER + "---\n".join(map(crd.as_yaml, documents)) for name, documents in made.items()}


def policy(kind: kinds.Kind) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: JSON
    """The ValidatingAdmissionPolicy of a kind (admissionregistration.k8s.io/v1) and what puts it in force."""
    known = members.types(cluster=not kind.namespaced)
    name = f"{kind.plural}.{kinds.GROUP}"
    return _documents(
        name,
        operations=["CREATE", "UPDATE"],
        resources=[kind.plural],
        # What was written before the policy was there keeps its finalizers from nobody.
        conditions={"the-spec-is-new": "oldObject == null || object.spec != oldObject.spec"},
        variables={
            "bodies": f"object.spec.programs.map(each, {_body(known)})",
            "links": "variables.bodies.map(body, body.?links.orValue([]))",
            "globalData": f"dyn({_GLOBAL_DATA[kind.namespaced]})",
            "allowedInterfaces": _words(),
            "matchExpressions": _conditions(),
        },
        validations=[*([_own_secret(), _cluster_wide()] if kind.namespaced else []), *_validations()],
    )


def _documents(
    name: str,
    *,
    operations: list[str],
    resources: list[str],
    conditions: Mapping[str, str],
    variables: Mapping[str, str],
    validations: list[dict[str, str]],
) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: JSON
    made = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [kinds.GROUP],
                        "apiVersions": [kinds.VERSION],
                        "operations": operations,
                        "resources": resources,
                    }
                ]
            },
            "matchConditions": [{"name": each, "expression": text} for each, text in conditions.items()],
            "variables": [{"name": each, "expression": text} for each, text in variables.items()],
            "validations": validations,
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return made, binding


def _body(known: tuple[hooks.Hook[Any], ...]) -> str:  # Any: see hooks.HOOKS
    """Of a program, the member that says where it is attached."""
    names = [members.member_name(hook) for hook in known if not hook.unattached]
    return " : ".join(f"has(each.{name}) ? dyn(each.{name})" for name in names) + " : dyn({})"


def _words() -> str:
    """The expressions of all links, without their slashes."""
    return (
        "variables.links.map(links, links.map(link, "
        "link.?interfaceSelector.?interfacesDiscoveryConfig.?allowedInterfaces.orValue([])"
        ".filter(word, word.matches('^/.+/$')).map(word, word.substring(1, word.size() - 1))))"
    )


def _conditions() -> str:
    """The conditions on pods of all links."""
    return (
        "variables.links.map(links, links.map(link, "
        "link.?networkNamespaces.?pods.?matchExpressions.orValue([])"
        " + link.?containers.?pods.?matchExpressions.orValue([])))"
    )


def _own_secret() -> dict[str, str]:
    """The older form is of the whole cluster, and where the CRD of bpfman 0.5 is installed in no namespace at all."""
    return {
        "expression": "!has(object.spec.byteCode) || "
        f"{_SECRET}.orValue(object.metadata.namespace) == object.metadata.namespace",
        "messageExpression": f"'spec.byteCode.image.imagePullSecret.namespace is ' + {_SECRET}.orValue('')"
        " + ': a BpfApplication uses secrets of its own namespace, ' + object.metadata.namespace",
    }


def _cluster_wide() -> dict[str, str]:
    """In its older form it stands for a ClusterBpfApplication, which the operator makes: so who may write it?"""
    return {
        "expression": "!has(object.spec.bytecode) || "
        f"authorizer.group('{kinds.GROUP}').resource('{kinds.CLUSTER_APPLICATION.plural}').check('create').allowed()",
        "message": "a BpfApplication in its older form (spec.bytecode) is cluster-wide: it takes the right to create"
        f" {kinds.CLUSTER_APPLICATION.plural}",
        "reason": "Forbidden",
    }


def _validations() -> list[dict[str, str]]:
    quoted = expressions.DIFFERENT.replace("\\", "\\\\").replace("'", "\\'")
    conditions = "(one.operator in ['In', 'NotIn']) == (one.?values.orValue([]).size() > 0)"
    return [
        {
            # The schema says text, and the API server lets every list pass for it.
            "expression": f"variables.globalData.all(name, {_BYTES})",
            "messageExpression": f"'spec.globalData: a byte goes from 0 to 255, unlike those of ' + "
            f"variables.globalData.filter(name, !({_BYTES})).join(', ')",
        },
        {
            "expression": _every("allowedInterfaces", f"!one.matches('{quoted}')"),
            "messageExpression": "'interfaceSelector.interfacesDiscoveryConfig.allowedInterfaces: not read alike by"
            " everybody: ' + variables.allowedInterfaces.map(links, links.map(link, "
            f"link.filter(one, one.matches('{quoted}')).join(' ')).join(' ')).join(' ').trim()"
            " + ' (use no (?…), no escaped letters but d, w, s and b, no classes within classes, no possessive"
            " repetition, and \\\\{ for the letter {)'",
        },
        {
            # An expression that does not compile ends the rule with an error, which names it. `in` and not `||`: that
            # would take the error for a true.
            "expression": _every("allowedInterfaces", "''.matches(one) in [true, false]"),
            "message": "interfaceSelector.interfacesDiscoveryConfig.allowedInterfaces has no regular expression",
        },
        {
            "expression": _every("matchExpressions", conditions),
            "message": "in a link's matchExpressions, In and NotIn compare with one or more values, Exists and"
            " DoesNotExist with none",
        },
    ]


def _every(variable: str, holds: str) -> str:
    return f"variables.{variable}.all(links, links.all(link, link.all(one, {holds})))"


def main(words: list[str]) -> int:
    """Write them all."""
    return crd.write("skep.kube.policy", files, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
