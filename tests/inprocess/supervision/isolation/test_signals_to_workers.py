"""No signal goes to the number of a worker process that was reaped: it may be another process's by then."""

from __future__ import annotations

import sys

import pytest

from tests.inprocess.programs import run_program

#: Sends work to processes and ends it at any moment, and looks at each signal that is sent.
PROGRAM = """
    import asyncio, os, signal, sys, threading, time
    import inprocess
    from inprocess import Child, TaskSupervisor
    from inprocess.supervision.isolation.worker_process import WorkerProcess

    HOW = sys.argv[1:]
    if "no pidfd" in HOW:
        del os.pidfd_open
    if "ignored" in HOW:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sent, wrong = [], []

    def watched(send):
        def look(number, *rest):
            sent.append(number)
            try:
                os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                wrong.append(number)
            return send(number, *rest)
        return look

    kill, os.kill, os.killpg = os.kill, watched(os.kill), watched(os.killpg)

    # Between the look at a number and the signal to it nobody reaps here: no program can close that moment.
    between = threading.Lock()

    def alone(method):
        def run(self):
            with between:
                return method(self)
        return run

    WorkerProcess._kill_group = alone(WorkerProcess._kill_group)
    WorkerProcess.terminate = alone(WorkerProcess.terminate)

    def reap():
        "Another part of the app that waits for any child, as some do."
        while reaping:
            with between:
                try:
                    os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    pass
            time.sleep(0.001)

    reaping = ["another reaps"] if "another reaps" in HOW else []
    reaper = threading.Thread(target=reap)
    if reaping:
        reaper.start()

    async def main():
        async with TaskSupervisor.start() as tasks:
            for moment in (0.0, 0.05, 0.15, 0.25, 0.35):
                child = tasks.start_child(time.sleep, 0.1, isolation="process", shutdown=0.05)
                await asyncio.sleep(moment)
                await tasks.terminate_child(child)
            child = tasks.start_child(os._exit, 3, isolation="process")
            await child.wait()
            child = tasks.start_child(os._exit, 3, isolation="process", shutdown=0.0)
            await asyncio.sleep(0.2)
            await tasks.terminate_child(child)

    import logging
    logging.disable()
    asyncio.run(main())
    inprocess.supervision.isolation.isolation.release()
    reaping.clear()
    print(len(sent) > 0, wrong)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="waitid tells of a child here")
@pytest.mark.parametrize("pidfd", ["pidfd", "no pidfd"])
@pytest.mark.parametrize("reaped", ["by us", "ignored", "another reaps"])
def test_each_signal_goes_to_a_process_that_still_has_its_number(pidfd: str, reaped: str) -> None:
    ended = run_program(PROGRAM, pidfd, reaped)
    assert ended.stdout == "True []\n", ended.stdout + ended.stderr
    assert ended.returncode == 0
