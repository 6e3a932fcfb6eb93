"""The wine pipeline, as a user of PyTorch and scikit-learn writes it."""

import os
import pathlib
import subprocess
import sys

import wandb
from ladder import ENTITY, PROJECT, alone, capability, equal, main, remote, solera, true

SCRIPTS = pathlib.Path(__file__).parent.parent / "wine"
MODELS = [f"trained-wine-model-exp00{n}" for n in (1, 2, 3)]
EPOCHS = {"exp001": 100, "exp002": 150, "exp003": 200}


@capability("wine.scripts", "load, preprocess, build, train: four scripts as their user wrote them", seconds=400)
def _():
    for script in ("load_data", "preprocess_data", "build_model", "train_model"):
        done = subprocess.run([sys.executable, str(SCRIPTS / (script + ".py"))], env=alone(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        print(done.stdout, file=sys.__stderr__)
        equal(done.returncode, 0, f"{script}: {done.stdout[-500:]}; exit code")


@capability("wine.experiments", "the three experiments: every epoch a point, in Solera and in Api()")
def _():
    runs = {r.name: r for r in wandb.Api().runs(f"{ENTITY}/{PROJECT}", filters={"jobType": "train-model"})}
    equal(sorted(runs), sorted(EPOCHS))
    notes = []
    for name, epochs in EPOCHS.items():
        r = runs[name]
        equal(r.state, "finished", name)
        rows = list(r.scan_history(keys=["_step", "val/loss", "train/loss"]))
        equal([row["_step"] for row in rows], list(range(epochs)), f"{name}: epochs")
        accuracy = r.summary["test/accuracy"]
        true(accuracy >= 0.85, f"{name}: test accuracy {accuracy}")
        ours = solera(f"/runs/{r.id}")
        equal((ours["name"], ours["stage"], ours["params"]["epochs"], ours["summary"]["test/accuracy"]), (name, "train-model", epochs, accuracy))
        true(len(rows[-1]) == 3 and rows[0]["train/loss"] > rows[-1]["train/loss"], f"{name} does not learn")
        notes.append(f"{name} {accuracy:.3f}")
    return ", ".join(notes)


@capability("wine.artifacts", "all six artifacts, with their files and what is said of them")
def _():
    listed = {a["name"]: a for a in solera(f"/artifacts?project={PROJECT}")}
    want = {"wine-raw", "wine-preprocess", "WineClassifier", *MODELS}
    true(want <= set(listed), f"missing: {want - set(listed)}")
    raw = solera(f"/artifacts/{PROJECT}/wine-raw/latest")
    equal(raw["metadata"]["rows"], {"train": 142, "val": 18, "test": 18})
    equal(sorted(e["path"] for e in raw["files"]), ["test.npz", "train.npz", "val.npz"])


@capability("wine.lineage", "the lineage is complete: from wine-raw to each trained model")
def _():
    graph = solera(f"/lineage?ref={PROJECT}/wine-raw:v0&direction=both")
    kind = {n["id"]: (n["artifact"] or n["stage"]) for n in graph["nodes"]}
    edges = {(kind[e["from"]], kind[e["to"]]) for e in graph["edges"]}
    want = {("load-data", "wine-raw"), ("wine-raw", "preprocess-data"), ("preprocess-data", "wine-preprocess"), ("wine-preprocess", "train-model")}
    want |= {("train-model", m) for m in MODELS}
    true(want <= edges, f"missing: {want - edges}")
    trainings = [n for n in graph["nodes"] if n["kind"] == "run" and n["stage"] == "train-model"]
    equal(len(trainings), 3, "training runs")
    for m in MODELS:
        up = solera(f"/lineage?ref={PROJECT}/{m}:v0&direction=up")
        names = {n["artifact"] for n in up["nodes"] if n["kind"] == "version"}
        equal(names, {m, "wine-raw", "wine-preprocess", "WineClassifier"}, m)
        used = [a.name for a in wandb.Api().artifact(f"{PROJECT}/{m}:v0").logged_by().used_artifacts()]
        equal(sorted(used), ["WineClassifier:v0", "wine-preprocess:v0"], m)


main()
