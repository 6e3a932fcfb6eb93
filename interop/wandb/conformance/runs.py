"""Runs: what a script logs is what is kept, to the last bit."""

import math
import os
import pathlib
import sys
import time

import wandb
from ladder import ENTITY, PROJECT, NotInThisClient, capability, equal, eventually, folder, main, python, remote, solera, start, true


def rows(run_id, keys=None):
    return [{k: v for k, v in row.items() if k not in ("_timestamp", "_runtime")} for row in remote(run_id).scan_history(keys=keys)]


def number(value):
    """A number of an answer; JSON has no word for those that are none."""
    return float(value) if isinstance(value, str) else value


@capability("runs.init", "wandb.init and finish: a run with a name and an end")
def _():
    run = start(id="first", name="The first of all")
    equal(run.entity, ENTITY, "entity")
    true(run.url.endswith(f"/{ENTITY}/{PROJECT}/runs/first"), run.url)
    run.finish()
    seen = remote("first")
    equal((seen.id, seen.name, seen.state), ("first", "The first of all", "finished"))
    ours = solera("/runs/first")
    equal((ours["name"], ours["project"], ours["state"]), ("The first of all", PROJECT, "finished"))


@capability("runs.invented-name", "a run without a name gets one")
def _():
    run = start()
    name, run_id = run.name, run.id
    run.finish()
    true(name, "no name")
    equal(remote(run_id).name, name)


@capability("runs.scalars", "log: numbers keep every bit")
def _():
    values = [0.1, 1 / 3, 1e-300, 1.7976931348623157e308, -0.0, 2**53, 7]
    run = start(id="scalars")
    for v in values:
        run.log({"x": v, "loss": v / 2})
    run.finish()
    equal([r["x"] for r in rows("scalars")], values)
    equal([r["_step"] for r in rows("scalars")], list(range(len(values))))
    points = solera("/series", {"series": [{"run": "scalars", "key": "x"}], "pixels": 1000})[0]
    true("scalars" in str(points), "the dashboard's API has no such series")


@capability("runs.nested", "log: nested values are keys with dots")
def _():
    run = start(id="nested")
    run.log({"train": {"loss": 0.5, "parts": {"a": 1, "b": 2}}, "flat": 3})
    run.log({"train": {"loss": 0.25, "parts": {"a": 3, "b": 4}}, "flat": 5})
    run.finish()
    seen = rows("nested")
    equal([r["flat"] for r in seen], [3, 5])
    equal([r["train.loss"] for r in rows("nested", ["train.loss"])], [0.5, 0.25])
    keys = solera("/metrics", {"runs": ["nested"]})
    true("train.parts.b" in str(keys), f"metrics: {keys}")


@capability("runs.nan", "log: NaN, +Inf and -Inf stay what they are")
def _():
    run = start(id="nan")
    for v in (1.0, math.nan, math.inf, -math.inf, 2.0):
        run.log({"x": v})
    run.finish()
    got = [number(r["x"]) for r in remote("nan").history(pandas=False)]
    true(len(got) == 5 and math.isnan(got[1]), f"history: {got}")
    equal([got[0], got[2], got[3], got[4]], [1.0, math.inf, -math.inf, 2.0])


@capability("runs.text-values", "log: texts, booleans, nothing and lists")
def _():
    run = start(id="texts")
    run.log({"note": "día 1 ✓", "flag": True, "none": None, "list": [1, "a", 2.5]})
    run.finish()
    row = remote("texts").history(pandas=False)[0]
    equal((row["note"], row["flag"], row.get("none"), row["list"]), ("día 1 ✓", True, None, [1, "a", 2.5]))


@capability("runs.steps", "log: steps of one's own, and values gathered before a commit")
def _():
    run = start(id="steps")
    run.log({"x": 1}, step=5)
    run.log({"y": 2}, step=5)
    run.log({"x": 3}, step=100)
    run.log({"x": 4}, commit=False)
    run.log({"y": 5})
    run.log({"x": 9}, step=1)  # in the past: the client drops it
    run.finish()
    seen = {r["_step"]: r for r in rows("steps")}
    equal((seen[5]["x"], seen[5]["y"]), (1, 2))
    equal(seen[max(seen)]["y"], 5)
    true(all(r.get("x") != 9 for r in seen.values()), "a step of the past was kept")


@capability("runs.define-metric", "define_metric: summaries by min, max, mean, last; a metric's own x axis")
def _():
    run = start(id="defined")
    run.define_metric("epoch")
    run.define_metric("acc", summary="max", step_metric="epoch")
    run.define_metric("loss", summary="min,mean,last")
    for epoch, (acc, loss) in enumerate([(0.5, 4.0), (0.9, 1.0), (0.7, 2.5)]):
        run.log({"epoch": epoch * 10, "acc": acc, "loss": loss})
    run.finish()
    summary = remote("defined").summary
    equal(dict(summary["acc"]), {"max": 0.9})
    equal(dict(summary["loss"]), {"min": 1.0, "mean": 2.5, "last": 2.5})
    definitions = remote("defined").rawconfig["_wandb"]["value"]["m"] if "value" in remote("defined").rawconfig["_wandb"] else remote("defined").rawconfig["_wandb"]["m"]
    true(any(m.get("1") == "acc" for m in definitions), f"definitions: {definitions}")


@capability("runs.config", "config: nested, updated later, read back by Api() and by Solera")
def _():
    run = start(id="config", config={"lr": 0.1, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}, "on": True, "none": None})
    run.config.update({"epochs": 3})
    run.config["late"] = "yes"
    run.config.update({"lr": 0.2}, allow_val_change=True)
    run.finish()
    want = {"lr": 0.2, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}, "on": True, "none": None, "epochs": 3, "late": "yes"}
    equal(remote("config").config, want)
    params = solera("/runs/config")["params"]
    equal((params["lr"], params["epochs"], params["late"]), (0.2, 3, "yes"))


@capability("runs.summary", "summary: last values, and what the script sets")
def _():
    run = start(id="summary")
    run.log({"loss": 2.0})
    run.log({"loss": 1.0})
    run.summary["best"] = 0.75
    run.summary.update({"nested": {"a": 1}})
    run.finish()
    summary = remote("summary").summary
    equal((summary["loss"], summary["best"], summary["nested"]["a"], summary["_step"]), (1.0, 0.75, 1, 1))
    equal(solera("/runs/summary")["summary"]["best"], 0.75)


@capability("runs.console", "console: what is printed, with progress bars as they end")
def _():
    run = start(id="console")
    print("a line of the script")
    for i in range(3):
        print(f"\rprogress {i}", end="")
        time.sleep(0.05)
    print()
    print("to the error stream", file=sys.stderr)
    run.finish()

    def lines():
        text = str(solera("/runs/console/console"))
        return "a line of the script" in text and "progress 2" in text and "to the error stream" in text

    eventually(lines, "the lines of the console")


@capability("runs.console-api", "Api().run().console_logs()")
def _():
    if not hasattr(wandb.apis.public.Run, "console_logs"):
        raise NotInThisClient("console_logs came later")
    run = start(id="console-api")
    for i in range(20):
        print("number", i)
    run.finish()
    text = [str(line) for line in remote("console-api").console_logs()]
    true(any("number 0" in t for t in text) and any("number 19" in t for t in text), f"console_logs: {text[:3]}")


@capability("runs.labels", "tags, notes, group, job type: set at the start, changed later")
def _():
    run = start(id="labels", tags=["b", "a"], notes="first words", group="folds", job_type="train")
    run.tags = run.tags + ("c",)
    run.notes = "last words"
    run.name = "Renamed"
    run.finish()
    seen = remote("labels")
    equal((sorted(seen.tags), seen.notes, seen.group, seen.job_type, seen.name), (["a", "b", "c"], "last words", "folds", "train", "Renamed"))
    ours = solera("/runs/labels")
    equal((sorted(ours["tags"]), ours["notes"], ours["stage"], ours["group"], ours["name"]), (["a", "b", "c"], "last words", "train", "folds", "Renamed"))


@capability("runs.system", "system metrics: what the machine did meanwhile")
def _():
    run = start(id="system", settings={"x_stats_sampling_interval": 0.2})
    for _ in range(4):
        time.sleep(0.5)
        run.log({"x": 1})
    run.finish()
    events = remote("system").history(stream="system", pandas=False)
    true(events and any(k.startswith("system.") for row in events for k in row), f"events: {events[:1]}")
    keys = str(solera("/metrics", {"runs": ["system"]}))
    true("system/" in keys, f"Solera's metrics: {keys[:300]}")


@capability("runs.environment", "machine, Python and program are part of the run's record")
def _():
    run = start(id="environment")
    run.finish()
    ours = str(solera("/runs/environment"))
    true("python" in ours.lower(), "nothing about Python")
    metadata = remote("environment").metadata
    true(metadata and metadata.get("python"), f"metadata: {metadata}")


@capability("runs.files", "save: files of a run, up, listed, down again")
def _():
    name = "notes with spaces % and ñ.txt"
    with open(name, "w") as f:
        f.write("kept\n" * 1000)
    run = start(id="files")
    run.save(name, policy="now")
    pathlib.Path(run.dir, "made-in-dir.bin").write_bytes(bytes(range(256)))
    run.save(os.path.join(run.dir, "made-in-dir.bin"), base_path=run.dir)
    run.finish()
    files = {f.name: f for f in remote("files").files()}
    true({name, "made-in-dir.bin", "config.yaml", "wandb-metadata.json", "wandb-summary.json"} <= set(files), f"files: {sorted(files)}")
    equal(files[name].size, 5000, "size")
    remote("files").file("made-in-dir.bin").download(root="down", replace=True).close()
    equal(open("down/made-in-dir.bin", "rb").read(), bytes(range(256)))
    remote("files").file(name).download(root="down", replace=True).close()
    equal(open("down/" + name).read(), "kept\n" * 1000)


@capability("runs.live", "a run can be watched while it goes on")
def _():
    run = start(id="live")
    run.log({"x": 1.5})
    eventually(lambda: rows("live") == [{"_step": 0, "x": 1.5}], "the first row")
    equal(remote("live").state, "running")
    run.log({"x": 2.5})
    eventually(lambda: len(rows("live")) == 2, "the second row")
    run.finish()
    equal(remote("live").state, "finished")


@capability("runs.failed", "exit code: a script that fails leaves a failed run")
def _():
    run = start(id="failed")
    run.finish(exit_code=3)
    equal(remote("failed").state, "failed")
    equal(solera("/runs/failed")["state"], "failed")


@capability("runs.exception", "a script that dies of an exception leaves a failed run with its traceback")
def _():
    python(
        "import wandb\n"
        f"wandb.init(project={PROJECT!r}, id='exception')\nwandb.log({{'x': 1}})\nraise ValueError('on purpose')",
        ok=False,
    )
    equal(remote("exception").state, "failed")
    true("on purpose" in str(solera("/runs/exception/console")), "the traceback is not in the console")


@capability("runs.alert", "alert")
def _():
    run = start(id="alert")
    run.alert(title="Loss is low", text="below 0.1", level=wandb.AlertLevel.WARN, wait_duration=1)
    run.finish()
    equal(remote("alert").state, "finished")


@capability("runs.code", "log_code, and the code of the program itself")
def _():
    source = folder("source")
    (source / "train.py").write_text("print('trained')\n")
    run = start(id="code")
    artifact = run.log_code(str(source))
    true(artifact is not None, "nothing logged")
    run.finish()
    logged = list(remote("code").logged_artifacts())
    code = [a for a in logged if a.type == "code"]
    true(code, f"logged: {[a.name for a in logged]}")
    path = pathlib.Path(code[0].download(root="code-down"))
    equal((path / "train.py").read_text(), "print('trained')\n")


@capability("runs.many-steps", "5,000 steps of one run: none lost, in order")
def _():
    run = start(id="many")
    for i in range(5000):
        run.log({"i": i, "half": i / 2})
    run.finish()
    got = [(r["_step"], r["i"], r["half"]) for r in remote("many").scan_history()]
    equal(len(got), 5000, "rows")
    equal(got, [(i, i, i / 2) for i in range(5000)])
    equal(remote("many").lastHistoryStep, 4999)


@capability("runs.wide", "one step with 1,000 metrics")
def _():
    run = start(id="wide")
    run.log({f"layer/{i:04}": i for i in range(1000)})
    run.finish()
    row = remote("wide").history(pandas=False)[0]
    equal(row["layer/0999"], 999)


@capability("runs.two-at-once", "two runs of one process at the same time")
def _():
    one = start(id="twin-1", reinit="create_new")
    two = start(id="twin-2", reinit="create_new")
    one.log({"x": 1})
    two.log({"x": 2})
    one.log({"x": 3})
    one.finish()
    two.finish()
    equal([r["x"] for r in rows("twin-1")], [1, 3])
    equal([r["x"] for r in rows("twin-2")], [2])


@capability("runs.same-id", "the same run id in two projects is two runs")
def _():
    for project, value in ((PROJECT, 1), (PROJECT + "-b", 2)):
        run = start(id="same-id", project=project)
        run.log({"x": value})
        run.finish()
    equal([r["x"] for r in remote("same-id").scan_history()], [1])
    equal([r["x"] for r in remote("same-id", PROJECT + "-b").scan_history()], [2])


@capability("runs.project-names", "projects and aliases with spaces and letters of any language in their names")
def _():
    for project, own in ((PROJECT + " with spaces", PROJECT + "-with-spaces"), ("Vinos de España", None)):
        run = start(id="named", project=project)
        run.log({"x": 1})
        run.log_artifact(wandb.Artifact("of-a-named-project", type="dataset"), aliases=["the best", "el año"])
        run.finish()
        equal([r["x"] for r in remote("named", project).scan_history()], [1])
        for alias in ("latest", "the best", "el año"):
            equal(wandb.Api().artifact(f"{project}/of-a-named-project:{alias}").version, "v0")
        if own:
            equal(run.project, own)
            equal([r.id for r in wandb.Api().runs(own)], ["named"])


main()
