"""What a link has lost of its target that its kernel links do not tell: a process, a module, a name of a namespace."""

from __future__ import annotations

from skep import hooks, model
from skep.hooks import request
from skep.kernel import door


def of(kernel: door.Kernel, record: model.LinkRecord, program: model.ProgramRecord) -> model.Loss | None:
    """The first loss among a link's places, None while all of them are there."""
    hook = hooks.by_name(record.hook)
    whole = None if hook.expands is None else hook.expands(record.attachment)
    if whole is not None:
        return kernel.lost(whole, record.process_start)
    placing = hooks.Placing(section=program.section, function=program.attach_func or "")
    wanted = hook.requests(record.attachment, placing)
    spots = [one.candidates for one in wanted.spots] if isinstance(wanted, request.Several) else [wanted]
    for candidates in spots:
        for candidate in candidates:
            loss = kernel.lost(candidate.target, record.process_start)
            if loss is not None:
                return loss
    return None
