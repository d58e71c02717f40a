"""Records of an earlier boot give way when the same program is loaded again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from skep import model, steps, store

_APPLIED = "skep/applied"
"""As ``kube.reconcile.OWNER``, which is above this layer."""


def superseded(operation: model.Load, decided: steps.Plan, records: store.Snapshot, boot: model.Boot) -> steps.Plan:
    """The plan of a load, which also drops records of earlier boots that have its program names, and its object or its
    application: what an application had before the reboot is no longer wanted, though its code is another now.

    Their links and chains go with them: nothing of that boot is in the kernel any more.
    """
    names = {one.name for one in operation.programs}
    earlier = [one for one in records.programs.values() if one.boot_id != boot.boot_id and one.name in names]
    if not earlier:
        return decided
    digest = hashlib.sha256(operation.object).hexdigest()
    owner = operation.metadata.get(_APPLIED)
    programs = tuple(
        one.key
        for one in earlier
        if one.object == digest or (owner is not None and one.metadata.get(_APPLIED) == owner)
    )
    if not programs:
        return decided
    gone = frozenset(programs)
    links = tuple(one.id for one in records.links.values() if one.program in gone)
    chains = tuple(one.key for one in records.chains.values() if one.boot_id != boot.boot_id)

    def commit(results: steps.Results) -> steps.StoreChange:
        change = decided.commit(results)
        return replace(
            change,
            drop_programs=(*change.drop_programs, *programs),
            drop_links=(*change.drop_links, *links),
            drop_chains=(*change.drop_chains, *chains),
        )

    return replace(decided, commit=commit)
