"""Runs recorded without a network, and sent later by `wandb sync`."""

import glob
import os

from ladder import PROJECT, VERSION, capability, equal, main, python, remote, solera, true, wandb_command

PLACE = os.environ["WANDB_DIR"]


def offline(run_id, body, ok=True):
    python(f"import wandb\nrun = wandb.init(project={PROJECT!r}, id={run_id!r}, mode='offline', config={{'lr': 0.5}}, tags=['offline'])\n{body}", ok=ok)
    found = glob.glob(f"{PLACE}/wandb/offline-run-*-{run_id}")
    true(found, f"no folder of {run_id} in {PLACE}/wandb")
    return found[0]


@capability("offline.sync", "mode='offline', then `wandb sync`: the same run as if online")
def _():
    place = offline("offline", "print('said offline')\nfor i in range(100):\n  run.log({'x': i, 'nested': {'y': i / 2}})\nrun.summary['best'] = 7\nrun.finish()")
    wandb_command("sync", place)
    seen = remote("offline")
    equal((seen.state, seen.config, seen.tags, seen.summary["best"]), ("finished", {"lr": 0.5}, ["offline"], 7))
    equal([(r["_step"], r["x"], r["nested.y"]) for r in seen.scan_history(keys=["_step", "x", "nested.y"])], [(i, i, i / 2) for i in range(100)])
    true("said offline" in str(solera("/runs/offline/console")), "the console is missing")


@capability("offline.twice", "sync of what was sent before changes nothing")
def _():
    place = offline("twice", "for i in range(10):\n  run.log({'x': i})\nrun.finish()")
    wandb_command("sync", place)
    for mark in glob.glob(place + "/*.synced"):
        os.remove(mark)
    wandb_command("sync", place)
    equal([r["x"] for r in remote("twice").scan_history()], list(range(10)))


@capability("offline.killed", "sync of a run whose process was killed: what it wrote arrives, the run has failed")
def _():
    place = offline("killed", "import os, time\nfor i in range(3000):\n  run.log({'x': i, 'text': 'x' * 100})\ntime.sleep(4)\nos._exit(9)", ok=False)
    wandb_command("sync", place, ok=False)
    seen = remote("killed")
    got = [r["x"] for r in seen.scan_history()]
    true(got == list(range(len(got))) and len(got) > 0, f"rows: {got}")
    # Older clients know no other end for what they find in the folder.
    true(seen.state in ("failed", "crashed") or VERSION < (0, 28), seen.state)


@capability("offline.artifact", "an artifact logged offline arrives with its run")
def _():
    place = offline(
        "offline-artifact",
        "open('later.txt', 'w').write('later')\na = wandb.Artifact('later', 'dataset')\na.add_file('later.txt')\nrun.log_artifact(a)\nrun.finish()",
    )
    wandb_command("sync", place)
    import wandb

    path = wandb.Api().artifact(f"{PROJECT}/later:v0").download(root="later-down")
    equal(open(path + "/later.txt").read(), "later")
    equal([a.name for a in remote("offline-artifact").logged_artifacts()], ["later:v0"])


@capability("offline.id", "sync under another run id and project")
def _():
    place = offline("renamed", "run.log({'x': 1})\nrun.finish()")
    wandb_command("sync", "--id", "renamed-to", "-p", PROJECT + "-b", place)
    equal([r["x"] for r in remote("renamed-to", PROJECT + "-b").scan_history()], [1])


main()
