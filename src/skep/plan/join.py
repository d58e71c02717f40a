"""Several plans as one: all of it is done, or none."""

from __future__ import annotations

from collections.abc import Sequence

from skep import steps


def join(plans: Sequence[steps.Plan]) -> steps.Plan:
    """Plans that touch different things (links on different interfaces), one after the other, with one commit."""
    if len(plans) == 1:
        return plans[0]

    def commit(results: steps.Results) -> steps.StoreChange:
        return merged([one.commit(results) for one in plans])

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return tuple(action for one in plans for action in one.finish(results))

    return steps.Plan(
        steps=tuple(step for one in plans for step in one.steps),
        commit=commit,
        finish=finish,
        warnings=tuple(dict.fromkeys(warning for one in plans for warning in one.warnings)),
    )


def merged(changes: Sequence[steps.StoreChange]) -> steps.StoreChange:
    """All of several changes, no two of which write the same record."""
    return steps.StoreChange(
        objects={digest: data for one in changes for digest, data in one.objects.items()},
        programs=tuple(record for one in changes for record in one.programs),
        members={key: member for one in changes for key, member in one.members.items()},
        links=tuple(record for one in changes for record in one.links),
        chains=tuple(record for one in changes for record in one.chains),
        add_counts={link: counts for one in changes for link, counts in one.add_counts.items()},
        drop_programs=tuple(key for one in changes for key in one.drop_programs),
        drop_links=tuple(link for one in changes for link in one.drop_links),
        drop_chains=tuple(key for one in changes for key in one.drop_chains),
    )
