"""Runs that somebody else ends: stopped by a user, killed, cut off."""

import os
import signal
import subprocess
import sys
import time

import wandb
from ladder import ENTITY, PROJECT, NotInThisClient, alone, capability, equal, eventually, main, remote, solera, true

LONG = """
import sys, time, wandb
run = wandb.init(project=%r, id=sys.argv[1], settings=wandb.Settings(x_file_stream_transmit_interval=1, heartbeat_seconds=2))
print("ready", flush=True)
for i in range(600):
    run.log({"x": i})
    time.sleep(0.1)
print("was not stopped", flush=True)
"""


def long_run(run_id):
    p = subprocess.Popen([sys.executable, "-c", LONG % PROJECT, run_id], env=alone(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    eventually(lambda: remote(run_id).state == "running", "the run")
    return p


def stopped(run_id, process):
    said, _ = process.communicate(timeout=120)
    print(said, file=sys.__stderr__)
    true("was not stopped" not in said, "the script ran to its end")
    state = eventually(lambda: remote(run_id).state in ("killed", "failed", "crashed", "finished") and remote(run_id).state, "the end of the run")
    equal(solera(f"/runs/{run_id}")["state"] != "running", True, "Solera's record has ended")
    return f"the run ends as {state}"


@capability("live.stop-button", "the stop button of the dashboard stops the script", seconds=90)
def _():
    p = long_run("stop-button")
    solera("/runs/stop-button/stop", method="POST")
    return stopped("stop-button", p)


@capability("live.stop-api", "Api().run().stop() stops the script", seconds=90)
def _():
    if not hasattr(wandb.apis.public.Run, "stop"):
        raise NotInThisClient("Run.stop came later")
    p = long_run("stop-api")
    remote("stop-api").stop()
    return stopped("stop-api", p)


@capability("live.interrupt", "Ctrl-C ends the run", seconds=60)
def _():
    p = long_run("interrupt")
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=90)
    true(eventually(lambda: remote("interrupt").state != "running", "the end"), "still running")
    return "the run ends as " + remote("interrupt").state


@capability("live.killed", "a script that is killed leaves a crashed run once its silence is too long", seconds=120)
def _():
    p = long_run("killed")
    eventually(lambda: len(list(remote("killed").scan_history())) > 3, "some rows")
    os.killpg(p.pid, signal.SIGKILL)  # the client's own process too
    p.wait()
    silence = float(os.environ.get("INTEROP_SILENCE", "300"))
    if silence > 60:
        equal(remote("killed").state, "running")
        return f"not waited for: this server takes {silence:.0f} s of silence for a crash"
    eventually(lambda: remote("killed").state == "crashed", "the crash", seconds=silence + 45)


main()
