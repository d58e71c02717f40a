"""2,000 damaged objects through the API: every answer is a documented status, and nothing else has changed.

The daemon keeps running (the same process), and its pins, its store, its file descriptors and the program that was
attached before are what they were. A failure is replayed by its index: ``mutants.mutant(objects, index=…, seed=SEED)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from skep.pb import bpfman_pb2, bpfman_pb2_grpc, skep_pb2, skep_pb2_grpc
from tests import instance, mutants
from tests.e2e import evidence

SEED = 20261121
COUNT = 2000
CHUNK = 64 * 1024
XDP_TOOLS = Path("/usr/lib/x86_64-linux-gnu/bpf")
# Good object -> a program in it and bpfman's type for it. Those of xdp-tools are small ones of its filters, because
# a mutant that is still loadable costs the verifier as much as its base does.
BASES = {
    instance.EXAMPLES / "xdp_count.bpf.o": ("xdp_count", bpfman_pb2.XDP),
    instance.EXAMPLES / "xdp_sample.bpf.o": ("xdp_sample", bpfman_pb2.XDP),
    XDP_TOOLS / "xdpfilt_alw_eth.o": ("xdpfilt_alw_eth", bpfman_pb2.XDP),
    instance.EXAMPLES / "tcx_count.bpf.o": ("tcx_count", bpfman_pb2.TCX),
    instance.EXAMPLES / "tp_getppid.bpf.o": ("tp_getppid", bpfman_pb2.TRACEPOINT),
    XDP_TOOLS / "xdpfilt_dny_udp.o": ("xdpfilt_dny_udp", bpfman_pb2.XDP),
    instance.EXAMPLES / "uprobe_count.bpf.o": ("uprobe_enter", bpfman_pb2.UPROBE),
    XDP_TOOLS / "xsk_def_xdp_prog.o": ("xsk_def_prog", bpfman_pb2.XDP),
}
# docs/api.md. INTERNAL (a bug, by definition) and what gRPC says for an exception nobody caught are not among them.
DOCUMENTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,  # not loadable
    grpc.StatusCode.NOT_FOUND,  # the named program is not in it any more
    grpc.StatusCode.FAILED_PRECONDITION,  # its section now says another type
    grpc.StatusCode.UNIMPLEMENTED,  # it now wants what this kernel or build cannot
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # it now wants more than there is
    grpc.StatusCode.UNAVAILABLE,  # the worker died of it
}


def _status(call) -> grpc.StatusCode:
    """The status of a call and, when it succeeded, of taking back what it loaded."""
    try:
        call()
    except grpc.RpcError as failure:
        return failure.code()
    return grpc.StatusCode.OK


def _stream(mutant: mutants.Mutant) -> Iterator[skep_pb2.LoadStreamRequest]:
    source = skep_pb2.Source(file=skep_pb2.FileSource(path=mutant.base))
    header = skep_pb2.LoadHeader(source=source, object_bytes=len(mutant.data))
    yield skep_pb2.LoadStreamRequest(header=header)
    for start in range(0, len(mutant.data), CHUNK):
        yield skep_pb2.LoadStreamRequest(chunk=mutant.data[start : start + CHUNK])


class _Loader:
    """Loads a mutant through one API or the other, and unloads whatever came of it."""

    def __init__(self, channel: grpc.Channel, file: Path) -> None:
        self._skep = skep_pb2_grpc.SkepStub(channel)
        self._bpfman = bpfman_pb2_grpc.BpfmanStub(channel)
        self._file = file

    def streamed(self, mutant: mutants.Mutant) -> None:
        done = self._skep.LoadStream(_stream(mutant), timeout=30)
        for program in done.programs:
            self._skep.Unload(skep_pb2.UnloadRequest(program_id=program.record.id), timeout=30)

    def named(self, mutant: mutants.Mutant) -> None:
        self._file.write_bytes(mutant.data)
        name, kind = next(value for path, value in BASES.items() if path.name == mutant.base)
        request = bpfman_pb2.LoadRequest(
            bytecode=bpfman_pb2.BytecodeLocation(file=str(self._file)),
            info=[bpfman_pb2.LoadInfo(name=name, program_type=kind)],
        )
        for program in self._bpfman.Load(request, timeout=30).programs:
            self._bpfman.Unload(bpfman_pb2.UnloadRequest(id=program.kernel_info.id), timeout=30)


@pytest.mark.timeout(300)
def test_damaged_objects_change_nothing_and_get_documented_answers(tmp_path):
    objects = [(path.name, path.read_bytes()) for path in BASES]
    with instance.network("skep-fuzz") as network, instance.instance("skep-fuzz") as daemon:
        with grpc.insecure_channel(f"unix:{daemon.layout.socket}") as channel:
            loader = _Loader(channel, tmp_path / "mutant.o")
            bpfman = bpfman_pb2_grpc.BpfmanStub(channel)
            good = bpfman.Load(
                bpfman_pb2.LoadRequest(
                    bytecode=bpfman_pb2.BytecodeLocation(file=str(next(iter(BASES)))),
                    info=[bpfman_pb2.LoadInfo(name="xdp_count", program_type=bpfman_pb2.XDP)],
                )
            )
            place = bpfman_pb2.XDPAttachInfo(iface=network.near, netns=network.path, priority=1)
            resident = good.programs[0].kernel_info.id
            bpfman.Attach(bpfman_pb2.AttachRequest(id=resident, attach=bpfman_pb2.AttachInfo(xdp_attach_info=place)))
            before = evidence.taken(daemon, network)

            answers: dict[grpc.StatusCode, list[str]] = {}
            for mutant in mutants.mutants(objects, count=COUNT, seed=SEED):
                load = loader.streamed if mutant.index // len(objects) % 3 else loader.named
                status = _status(lambda load=load, mutant=mutant: load(mutant))
                answers.setdefault(status, []).append(f"{mutant.index} {mutant.kind} {mutant.base}")
                assert daemon.process.poll() is None, f"the daemon ended at {answers[status][-1]}"

            counted = Counter({status.name: len(found) for status, found in answers.items()})
            undocumented = {status.name: found[:5] for status, found in answers.items() if status not in DOCUMENTED}
            assert not undocumented, f"{undocumented} of {counted}"
            assert {"OK", "INVALID_ARGUMENT"} <= set(counted), counted  # some reach the kernel, most are refused
            assert evidence.taken(daemon, network) == before
            assert bpfman.Get(bpfman_pb2.GetRequest(id=resident)).info.links
        assert "Traceback" not in daemon.log.read_text()
