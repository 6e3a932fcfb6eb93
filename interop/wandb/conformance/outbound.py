"""What Solera sends to a server, read back with wandb.Api() and compared value by value."""

import hashlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import wandb
from ladder import ENTITY, PROJECT, alone, capability, equal, main, true

SOLERA = os.environ["SOLERA_PROGRAM"]
STAGES = ("load", "preprocess", "build", "train")
MODELS = [f"trained-wine-model-exp00{n}" for n in (1, 2, 3)]


class Project(type(pathlib.Path())):
    """A folder with the wine project, which goes by another name on the server."""

    remote = ""


def project(name):
    folder = Project(tempfile.mkdtemp(prefix="outbound-"))
    folder.remote = name
    solera(folder, "init", "wine")
    return folder


def solera(folder, *arguments, code=0):
    """Runs the program in a folder and returns what it wrote, decoded if it is JSON."""
    environment = alone({"SOLERA_STORE": "", "SOLERA_BLOBS": "", "WANDB_PROJECT": folder.remote, "WANDB_ENTITY": ENTITY, "CI": "1"})
    done = subprocess.run([SOLERA, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=170)
    print(done.stdout, done.stderr, file=sys.__stderr__)
    equal(done.returncode, code, f"solera {' '.join(arguments)}: {done.stderr[-500:]}; exit code")
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def same(here, there, what):
    """Whether two values are equal: numbers to the last bit, NaN to NaN."""
    if isinstance(here, dict):
        true(hasattr(there, "keys"), f"{what} is {there!r}")
        for key in here:
            same(here[key], there[key], f"{what}.{key}")
    elif isinstance(here, list):
        equal(len(there), len(here), f"length of {what}")
        for i, value in enumerate(here):
            same(value, there[i], f"{what}[{i}]")
    elif isinstance(here, float) and math.isnan(here):
        true(math.isnan(float(there)), f"{what} is {there!r}, not NaN")
    else:
        equal(there, here, what)


def compare(folder, name):
    """Every run of a project here is there, with all its values. Returns how many points were compared."""
    api = wandb.Api()
    compared = 0
    runs = solera(folder, "runs", "--json")
    true(runs, "no run")
    made = {}
    for run in runs:
        if run["stage"] == "fetch":
            continue
        d = solera(folder, "runs", run["id"], "--json")
        used, now_made = ([v["ref"].rpartition("/")[2] for v in d[kind]] for kind in ("used", "made"))
        there = api.run(f"{ENTITY}/{name}/{run['id']}")
        equal((there.name, there.job_type, there.state, sorted(there.tags), there.notes or ""), (d["name"], d["stage"], d["state"], d["tags"], d["notes"]))
        same(d["params"], there.config, "config")
        equal(sorted(there.config.keys()), sorted(d["params"].keys()), "keys of the config")
        same(d["summary"], there.summary, "summary")
        rows = list(there.scan_history())
        count = 0
        for key in d["metrics"]:
            if key.startswith("system/"):
                continue
            points = solera(folder, "runs", run["id"], "--metric", key, "--json")["points"]
            got = [(row.get("solera/step", row["_step"]), row[key]) for row in rows if row.get(key) is not None]
            equal(len(got), len(points), f"points of {key}")
            for (step, value), (step_there, value_there) in zip(points, got):
                equal(step_there, step, f"step of {key}")
                same(value, value_there, f"{key} at {step}")
            count += len(points)
            compared += len(points)
        true(count == sum(1 for row in rows for key in row if not key.startswith("_") and row[key] is not None), "the server has values that are not here")
        made.update({ref: there for ref in now_made})
        equal(sorted(a.name for a in there.used_artifacts()), sorted(used), "used artifacts")
        logged = [a.name for a in there.logged_artifacts() if a.type != "job"]
        equal(sorted(logged), sorted(now_made), "logged artifacts")
    for ref, maker in made.items():
        here = solera(folder, "artifacts", ref, "--json")[0]
        there = api.artifact(f"{ENTITY}/{name}/{ref}")
        equal((there.type, there.logged_by().id), (here["type"], maker.id), ref)
        equal(there.metadata["solera"]["digest"], here["digest"], f"digest of {ref}")
        same(here["metadata"], there.metadata, f"metadata of {ref}")
        with tempfile.TemporaryDirectory() as place:
            got = pathlib.Path(there.download(root=place))
            files = {str(p.relative_to(got)): "sha256:" + hashlib.sha256(p.read_bytes()).hexdigest() for p in got.rglob("*") if p.is_file()}
        equal(files, {f["path"]: f["digest"] for f in here["files"]}, f"files of {ref}")
    return compared


@capability("outbound.live", "Solera logs to the server as it trains; Api() has every value, file and edge", seconds=200)
def _():
    folder = project(PROJECT + "-live")
    solera(folder, "login", "--check")
    solera(folder, "run", "--tracking", "wandb")
    points = compare(folder, PROJECT + "-live")
    latest = [wandb.Api().artifact(f"{ENTITY}/{PROJECT}-live/{m}:latest").version for m in MODELS]
    equal(latest, ["v0"] * 3)
    return f"{points} points"


@capability("outbound.fresh", "each stage on a machine of its own, with nothing but the key", seconds=200)
def _():
    name = PROJECT + "-fresh"
    digests = {}
    for stage in STAGES:
        folder = project(name)
        for a in solera(folder, stage, "--tracking", "wandb", "--json")["artifacts"]:
            digests[a["name"]] = a["digest"]
        compare(folder, name)
    here = project(name)
    want = {a["name"]: a["digest"] for a in solera(here, "run", "--tracking", "local", "--json")["artifacts"]}
    equal(digests, want, "digests of a run on one machine")
    used = {}
    for run in wandb.Api().runs(f"{ENTITY}/{name}"):
        for a in run.used_artifacts():
            used.setdefault(run.job_type, set()).add(a.name)
    equal(used, {"preprocess": {"wine-raw:v0"}, "build": {"wine-preprocess:v0"}, "train": {"wine-preprocess:v0", "WineClassifier:v0"}})


@capability("outbound.sync", "a history is sent later, once, and what changes afterwards follows", seconds=200)
def _():
    name = PROJECT + "-sync"
    folder = project(name)
    solera(folder, "run")
    solera(folder, "artifacts", "alias", MODELS[1], "champion")
    first = solera(folder, "sync", "--all", "--to", "wandb", "--json")
    equal({r["state"] for r in first["runs"]}, {"sent"}, "states")
    points = compare(folder, name)
    again = solera(folder, "sync", "--all", "--to", "wandb", "--json")
    equal({r["state"] for r in again["runs"]}, {"unchanged"}, "states of the second time")
    compare(folder, name)
    equal(wandb.Api().artifact(f"{ENTITY}/{name}/{MODELS[1]}:champion").version, "v0")
    best = next(r["id"] for r in solera(folder, "runs", "--json") if r["experiment"] == "exp003")
    solera(folder, "runs", "tag", best, "+best", "+wine")
    solera(folder, "sync", best, "--to", "wandb")
    equal((sorted(wandb.Api().run(f"{ENTITY}/{name}/{best}").tags), wandb.Api().run(f"{ENTITY}/{name}/{best}").state), (["best", "wine"], "finished"))
    return f"{points} points"


if __name__ == "__main__":
    main()
