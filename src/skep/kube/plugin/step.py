"""The one thing that is most worth doing when an application is not ready. Pure.

A ladder: what stands higher is the reason for what stands lower.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skep.kube import naming
from skep.kube.plugin.machinery import Config, Operator
from skep.kube.plugin.why import Answer, There

_ADVICE = re.compile(r"\(([^()]*)\)[.;]?\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``reason``: what is wrong; ``do``: what to do; ``command``: what to type, or ""."""

    reason: str
    do: str
    command: str = ""

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {"reason": self.reason, "do": self.do, "command": self.command or None}


def step(found: Answer, operator: Operator | None, config: Config | None) -> Step | None:
    """The next step, None if it is ready and nothing is to be done. ``operator``, ``config`` None: not to be seen."""
    app = found.application
    if app.status in ("Deleting", naming.DELETE_ERROR):
        return _deleting(found)
    if not app.current and operator is not None and operator.ready == 0:
        return _no_operator(operator)
    if found.problem:
        return Step(
            reason=f"its node selector cannot be read: {found.problem}",
            do="correct spec.nodeSelector",
            command=_edit(found),
        )
    if found.whole and not found.selected:
        return _none_selected(found)
    if config is not None and not config.status:
        return Step(
            reason=config.message,
            do="make the Config; the operator makes one at its start if it is given an image",
            command="kubectl explain config.spec --api-version=bpfman.io/v1alpha1",
        )
    for each in found.nodes:
        if each.failed and (each.current or each.condition == naming.UNLOAD_ERROR):
            return _failed(each)
    for each in found.selected:
        if not each.ready and (told := _no_agent(each, config)):
            return told
    if told := _rolling(found):
        return told
    for each in found.nodes:
        if each.selected is not False and not each.ready and (told := _waiting(each)):
            return told
    if found.ready:
        return None
    if app.status == naming.ERROR:
        return Step(reason=app.message, do="correct it and apply it again", command=_edit(found))
    if operator is not None and operator.ready == 0:
        return _no_operator(operator)
    return Step(
        reason="every node that can be seen is ready, and the operator has not said so yet",
        do="look again in a moment; if it stays, see the operator's log",
        command="kubectl skep logs -c operator",
    )


def _no_operator(operator: Operator) -> Step:
    if not operator.namespace:
        return Step(
            reason="no operator is in this cluster, so nobody looks at applications",
            do="an administrator installs it",
            command="kubectl apply --server-side -k deploy",
        )
    return Step(
        reason=f"the operator is not ready ({operator.ready} of {operator.desired}), so nobody has looked at this spec",
        do="see why its pod does not run",
        command=f"kubectl describe pods -n {operator.namespace} -l app.kubernetes.io/name=bpfman-operator",
    )


def _deleting(found: Answer) -> Step:
    held = [each for each in found.nodes if each.held]
    for each in held:
        if each.condition == naming.UNLOAD_ERROR:
            return _failed(each)
    for each in held:
        if each.agent in ("no pod", "not ready", "node not ready"):
            return Step(
                reason=f"it is being deleted, and on {each.node} nobody can remove it: agent {each.agent}",
                do="bring the agent back; if the node is gone for good, delete its Node, and the operator tidies up",
                command=f"kubectl get node {each.node}",
            )
    if held:
        return Step(
            reason=f"it is being deleted; still there on {', '.join(each.node for each in held)}",
            do="wait: agents are removing it",
            command=f"kubectl skep logs {held[0].node} -c agent",
        )
    return Step(
        reason="it is being deleted, and no node has anything of it",
        do="wait for the operator to let it go; if it stays, see its log",
        command="kubectl skep logs -c operator",
    )


def _none_selected(found: Answer) -> Step:
    near = sorted(found.nodes, key=lambda each: (len(each.unmet), each.node))
    if not near:
        return Step(reason="the cluster has no node", do="join a node", command="kubectl get nodes")
    unmet = "; ".join(near[0].unmet)
    return Step(
        reason=f"no node has the labels that it wants; nearest is {near[0].node}: {unmet}",
        do="label the nodes that it is meant for, or change spec.nodeSelector",
        command="kubectl get nodes --show-labels",
    )


def _failed(there: There) -> Step:
    for each in there.programs:
        for one in each.links:
            if one.error:
                where = f" ({one.where})" if one.where else ""
                return _refused(there, f"program {each.name}{where}: {one.error}", one.error)
    return _refused(there, there.message or there.loaded, there.message)


def _refused(there: There, reason: str, text: str) -> Step:
    """An agent's error ends with its own advice, in brackets on the first line."""
    advice = _ADVICE.search(text.split("\n", 1)[0])
    return Step(
        reason=f"on {there.node}: " + (reason.replace(f" {advice[0].strip()}", "", 1) if advice else reason),
        do="correct it and apply it again" + (f": {advice[1]}" if advice else ""),
        command=f"kubectl skep logs {there.node} -c agent -c daemon",
    )


def _no_agent(there: There, config: Config | None) -> Step | None:
    place = there.place
    if place is None:
        return None
    if not place.pod:
        where = config.namespace if config is not None and config.namespace else naming.NAMESPACE
        return Step(
            reason=f"{there.node} is selected and has no pod of {naming.DAEMON_SET}, so nobody acts there",
            do=f"see whether spec.nodeSelector and tolerations of the Config {naming.CONFIG} let one be there",
            command=f"kubectl describe daemonset -n {where} {naming.DAEMON_SET}",
        )
    if place.node_ready is False:
        return Step(
            reason=f"the node {there.node} is not ready: its kubelet does not report",
            do="bring the node back; what was attached before goes on running",
            command=f"kubectl describe node {there.node}",
        )
    if not place.agent:
        return Step(
            reason=f"the agent on {there.node} is not ready" + (f": {place.waiting}" if place.waiting else ""),
            do="see why its pod does not run",
            command=f"kubectl describe pod -n {place.namespace} {place.pod}",
        )
    return None


def _rolling(found: Answer) -> Step | None:
    """What is to be done about a staged rollout that does not go on."""
    match found.application.rollout.partition(" ")[0]:
        case "Paused":
            do = "correct the spec, or set spec.rollout.paused to false, whichever keeps it"
        case "Returning" | "Returned":
            do = "correct the spec and apply it again: the change that was refused is not tried again as it is"
        case _:
            return None
    return Step(
        reason=f"its rollout does not go on: {found.application.rolling or found.application.message}",
        do=do,
        command=_edit(found),
    )


def _waiting(there: There) -> Step | None:
    if not there.state or not there.current:
        return Step(
            reason=f"the agent on {there.node} has "
            + ("said nothing of it yet" if not there.state else "not done this spec yet"),
            do="look again in a moment; if it stays, see its log",
            command=f"kubectl skep logs {there.node} -c agent",
        )
    if there.condition == naming.PENDING:
        return Step(
            reason=f"{there.node} waits: {there.message}",
            do="wait, or make what it waits for; the agent goes on by itself",
            command=f"kubectl skep logs {there.node} -c agent",
        )
    return None


def _edit(found: Answer) -> str:
    where = f" -n {found.application.namespace}" if found.application.namespace else ""
    return f"kubectl edit {found.application.kind.lower()}{where} {found.application.name}"
