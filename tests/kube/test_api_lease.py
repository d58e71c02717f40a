"""Of several candidates one leads, whatever becomes of it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from skep.kube import naming
from skep.kube.api import connect, objects, served
from skep.kube.api.key import Key
from skep.kube.api.lease import Election
from skep.kube.api.tenure import Terms
from tests.kube.eventually import running, until
from tests.kube.plane import ControlPlane

SHORT = Terms(lasts=2, gives_up=1.5, every=0.2)


class Work:
    """Work that only one may do at a time."""

    at_once = 0
    most = 0

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.doing = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        Work.at_once += 1
        Work.most = max(Work.most, Work.at_once)
        self.doing.set()
        try:
            await asyncio.Event().wait()
        finally:
            Work.at_once -= 1
            self.ended += 1
            self.doing.clear()


@pytest.fixture(autouse=True)
def _nobody_works() -> None:
    Work.at_once = Work.most = 0


def lease(namespace: str) -> Key:
    return Key(namespace=namespace, name=naming.LEASE)


def test_the_next_leads_as_soon_as_the_first_gives_the_lease_back(plane: ControlPlane, namespace: str) -> None:
    """With the long terms of every day: nobody waits for the lease's end."""

    async def body() -> None:
        async with connect.connect(str(plane.kubeconfig)) as api:
            first = Election(api, lease(namespace), identity="first")
            second = Election(api, lease(namespace), identity="second", terms=Terms(lasts=1000, gives_up=10, every=0.1))
            works = Work(), Work()
            leading = asyncio.create_task(first.run(works[0]))
            await works[0].doing.wait()
            async with running(second.run(works[1])):
                await until("the second looks", lambda: second.holder == "first")
                assert first.leading and not second.leading
                leading.cancel()
                await asyncio.gather(leading, return_exceptions=True)
                assert (works[0].ended, first.leading) == (1, False)
                await works[1].doing.wait()
                found = await objects.get(api, served.LEASE, lease(namespace))
                assert (found["spec"]["holderIdentity"], found["spec"]["leaseTransitions"]) == ("second", 1)
        assert Work.most == 1

    asyncio.run(body())


CANDIDATE = """
import asyncio, sys
from skep.kube.api import connect
from skep.kube.api.key import Key
from skep.kube.api.lease import Election
from skep.kube.api.tenure import Terms

async def work():
    print("leading", flush=True)
    await asyncio.Event().wait()

async def main(kubeconfig, namespace, name):
    async with connect.connect(kubeconfig) as api:
        terms = Terms(lasts=2, gives_up=1.5, every=0.2)
        await Election(api, Key(namespace=namespace, name=name), identity="doomed", terms=terms).run(work)

asyncio.run(main(*sys.argv[1:]))
"""


def test_the_next_leads_after_the_leaders_death(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        words = [sys.executable, "-c", CANDIDATE, str(plane.kubeconfig), namespace, naming.LEASE]
        leader = subprocess.Popen(words, stdout=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)})
        try:
            assert leader.stdout is not None
            assert await asyncio.to_thread(leader.stdout.readline) == b"leading\n"
            async with connect.connect(str(plane.kubeconfig)) as api:
                work, heir = Work(), Election(api, lease(namespace), identity="heir", terms=SHORT)
                async with running(heir.run(work)):
                    await until("the heir looks", lambda: heir.holder == "doomed")
                    leader.send_signal(signal.SIGKILL)
                    died = asyncio.get_running_loop().time()
                    await work.doing.wait()
                    assert asyncio.get_running_loop().time() - died > 1, "not before the lease is over"
        finally:
            leader.kill()
            leader.wait()

    asyncio.run(body())


def test_whoever_cannot_renew_stops_before_another_may_begin(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        async with connect.connect(str(plane.kubeconfig)) as api:
            work, cut_off = Work(), Election(api, lease(namespace), identity="cut-off", terms=SHORT)
            async with running(cut_off.run(work)):
                await work.doing.wait()
                await asyncio.to_thread(plane.stop_apiserver)
                stopped = asyncio.get_running_loop().time()
                await until("the work ends", lambda: work.ended == 1)
                assert not cut_off.leading
                assert asyncio.get_running_loop().time() - stopped < SHORT.lasts
                await asyncio.to_thread(plane.start_apiserver)
                await until("it leads again", lambda: work.begun > 1 and work.doing.is_set())

    asyncio.run(body())


def test_a_lease_that_somebody_else_took_is_lost_at_once(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        async with connect.connect(str(plane.kubeconfig)) as api:
            work, deposed = Work(), Election(api, lease(namespace), identity="deposed", terms=SHORT)
            async with running(deposed.run(work)):
                await work.doing.wait()
                patch = '{"spec": {"holderIdentity": "usurper", "leaseDurationSeconds": 1}}'
                plane.kubectl("patch", "lease", naming.LEASE, "-n", namespace, "--type=merge", "-p", patch)
                await until("the work ends", lambda: work.ended == 1)
                await until("it leads again, the usurper being dead", lambda: work.begun > 1)

    asyncio.run(body())


def test_a_deleted_lease_is_made_again(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        async with connect.connect(str(plane.kubeconfig)) as api:
            work, leader = Work(), Election(api, lease(namespace), identity="leader", terms=SHORT)
            async with running(leader.run(work)):
                await work.doing.wait()
                plane.kubectl("delete", "lease", naming.LEASE, "-n", namespace)
                await until("it is there again", lambda: plane.get("lease", naming.LEASE, namespace=namespace))
                await until("it leads", lambda: leader.leading)
            assert Work.most == 1

    asyncio.run(body())


def test_what_the_work_raises_is_raised_and_the_lease_given_back(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        async def fails() -> None:
            raise ZeroDivisionError

        async with connect.connect(str(plane.kubeconfig)) as api:
            with pytest.raises(ZeroDivisionError):
                await Election(api, lease(namespace), identity="one", terms=SHORT).run(fails)
            found = await objects.get(api, served.LEASE, lease(namespace))
            assert not found["spec"].get("holderIdentity")

    asyncio.run(body())


def test_of_many_candidates_one_leads(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        async with connect.connect(str(plane.kubeconfig)) as api:
            work = Work()
            elections = [Election(api, lease(namespace), identity=f"c{number}", terms=SHORT) for number in range(8)]
            async with running(*(each.run(work) for each in elections)):
                await work.doing.wait()
                await until("all have looked", lambda: all(each.holder for each in elections))
                assert sum(each.leading for each in elections) == 1
            assert Work.most == 1

    asyncio.run(body())
