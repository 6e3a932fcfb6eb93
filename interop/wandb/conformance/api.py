"""wandb.Api(): what scripts read back, change and delete."""

import json

import wandb
from ladder import BASE, ENTITY, PROJECT, VERSION, NotInThisClient, capability, equal, eventually, main, raises, remote, solera, start, true, wandb_command

MADE = []


def some_runs():
    """Twelve runs with all that filters can ask for, made once."""
    if not MADE:
        for i in range(12):
            run = start(
                id=f"f{i:02}", name=f"run {i}", group="even" if i % 2 == 0 else "odd", job_type="train" if i < 8 else "eval",
                tags=["all", f"third-{i % 3}"], config={"lr": 0.1 * (i + 1), "opt": {"name": "adam" if i < 6 else "sgd"}, "layers": [64, 32]},
            )
            run.log({"loss": 12 - i, "acc": i / 12})
            run.finish(exit_code=1 if i == 11 else 0)
            MADE.append(run.id)
    return MADE


def found(filters=None, order="+created_at", **options):
    some_runs()
    return [r.id for r in wandb.Api().runs(f"{ENTITY}/{PROJECT}", filters=filters, order=order, **options) if r.id.startswith("f")]


def numbered(*numbers):
    return [f"f{i:02}" for i in numbers]


@capability("api.runs", "Api().runs: all of a project, in pages", seconds=120)
def _():
    equal(found(), numbered(*range(12)))
    equal(found(per_page=5), numbered(*range(12)))
    true(len(wandb.Api().runs(f"{ENTITY}/{PROJECT}")) >= 12, "len")


@capability("api.filters", "filters: config, summary, tags, state, group, job type, names, time; and, or, not, in, regex", seconds=120)
def _():
    for filters, want in [
        ({"config.lr": {"$gt": 1.0}}, range(10, 12)),
        ({"config.opt.name": "sgd"}, range(6, 12)),
        ({"summary_metrics.acc": {"$gte": 0.5, "$lt": 0.75}}, range(6, 9)),
        ({"tags": "third-1"}, (1, 4, 7, 10)),
        ({"tags": {"$in": ["third-0", "third-2"]}}, (0, 2, 3, 5, 6, 8, 9, 11)),
        ({"state": "failed"}, (11,)),
        ({"state": {"$ne": "failed"}}, range(11)),
        ({"group": "odd", "jobType": "eval"}, (9, 11)),
        ({"displayName": "run 3"}, (3,)),
        ({"display_name": {"$regex": "^run 1"}}, (1, 10, 11)),
        ({"name": {"$in": ["f02", "f05"]}}, (2, 5)),
        ({"$or": [{"config.lr": {"$lt": 0.15}}, {"summary_metrics.loss": 1}]}, (0, 11)),
        ({"$and": [{"group": "even"}, {"config.opt.name": {"$ne": "adam"}}]}, (6, 8, 10)),
        ({"$not": {"group": "even"}}, (1, 3, 5, 7, 9, 11)),
        ({"$nor": [{"group": "even"}, {"jobType": "eval"}]}, (1, 3, 5, 7)),
        ({"config.missing": {"$exists": False}, "group": "odd"}, (1, 3, 5, 7, 9, 11)),
        ({"createdAt": {"$gt": "2001-01-01"}}, range(12)),
        ({"created_at": {"$lt": "2001-01-01"}}, ()),
        ({}, range(12)),
    ]:
        equal(found(filters), numbered(*want), json.dumps(filters))
    # Older clients say no more than the status.
    raises("an operator that does not exist", lambda: found({"config.lr": {"$magic": 1}}), *(["$magic"] if VERSION >= (0, 27) else []))


@capability("api.order", "order: by time, config and summary, both ways", seconds=120)
def _():
    equal(found(order="-created_at"), numbered(*reversed(range(12))))
    equal(found(order="+summary_metrics.loss"), numbered(*reversed(range(12))))
    equal(found(order="-summary_metrics.acc"), numbered(*reversed(range(12))))
    equal(found(order="-config.lr"), numbered(*reversed(range(12))))


@capability("api.history", "run.history: sampled, chosen keys, at most so many rows")
def _():
    run = start(id="history")
    for i in range(2000):
        run.log({"i": i, "even": i} if i % 2 == 0 else {"i": i})
    run.finish()
    seen = remote("history")
    rows = seen.history(pandas=False)
    true(400 <= len(rows) <= 500, f"{len(rows)} rows")
    rows = seen.history(samples=10, keys=["even"], pandas=False)
    true(0 < len(rows) <= 10 and all(r["even"] % 2 == 0 for r in rows), f"{rows}")
    equal(len(seen.history(samples=5000, pandas=False)), 2000)


@capability("api.scan-history", "run.scan_history: every row, in pages; chosen keys; a range of steps")
def _():
    seen = remote("history")
    equal([r["i"] for r in seen.scan_history(page_size=300)], list(range(2000)))
    equal([r["even"] for r in seen.scan_history(keys=["even"], page_size=300)], list(range(0, 2000, 2)))
    # Older clients ask for chosen keys with the last step, newer ones without it.
    equal([r["i"] for r in seen.scan_history(keys=["i"], min_step=100, max_step=200)], list(range(100, 200 if VERSION >= (0, 27) else 201)))
    equal([r["i"] for r in seen.scan_history(min_step=100, max_step=200)], list(range(100, 200)))


@capability("api.parquet", "beta_scan_history and the export of parquet files")
def _():
    seen = remote("history")
    if hasattr(seen, "beta_scan_history"):
        rows = list(seen.beta_scan_history(page_size=500))
        equal([r["i"] for r in rows], list(range(2000)))
    if not hasattr(seen, "download_history_exports"):
        raise NotInThisClient("download_history_exports came later")
    try:
        result = seen.download_history_exports("exports", require_complete_history=False)
    except TypeError:
        result = seen.download_history_exports("exports")
    return f"{result}"[:200]


@capability("api.history-keys", "historyKeys and lastHistoryStep")
def _():
    seen = remote("history")
    equal(seen.lastHistoryStep, 1999)
    if hasattr(seen, "load_full_data"):
        seen.load_full_data()
    keys = (seen._attrs.get("historyKeys") or {}).get("keys", {})
    true({"i", "even"} <= set(keys), f"keys: {sorted(keys)}")


@capability("api.run-fields", "what a run says of itself: times, user, url, state, storage id")
def _():
    run = start(id="fields", config={"a": 1})
    run.finish()
    seen = remote("fields")
    equal((seen.id, seen.entity, seen.project, seen.state), ("fields", ENTITY, PROJECT, "finished"))
    true(seen.url.startswith(BASE), seen.url)
    true(seen.created_at[:3] == "202" and seen.storage_id, "created_at, storage_id")
    true(seen.user is None or seen.user.username or True, "user")
    equal(json.loads(seen.json_config)["a"]["value"], 1)
    raises("a run that is not there", lambda: remote("not-there"), "not-there")


@capability("api.update", "run.update and summary.update: name, tags, notes, config, summary")
def _():
    run = start(id="update", config={"a": 1})
    run.log({"x": 1})
    run.finish()
    seen = remote("update")
    seen.name, seen.tags, seen.notes = "renamed", ["new"], "noted"
    seen.config["b"] = {"c": 2}
    seen.update()
    seen.summary["score"] = 0.5
    seen.summary.update()
    seen = remote("update")
    equal((seen.name, seen.tags, seen.notes, seen.config, seen.summary["score"], seen.summary["x"]), ("renamed", ["new"], "noted", {"a": 1, "b": {"c": 2}}, 0.5, 1))
    equal(seen.state, "finished")
    equal(solera("/runs/update")["name"], "renamed")


@capability("api.files", "files of a run: list, pattern, upload, download, delete")
def _():
    run = start(id="api-files")
    run.finish()
    open("by-api.txt", "w").write("by the API")
    remote("api-files").upload_file("by-api.txt")
    names = [f.name for f in remote("api-files").files()]
    true("by-api.txt" in names, f"files: {names}")
    try:
        equal([f.name for f in remote("api-files").files(pattern="%.txt")], [n for n in names if n.endswith(".txt")])
    except TypeError:
        pass
    equal([f.name for f in remote("api-files").files(names=["by-api.txt"])], ["by-api.txt"])
    remote("api-files").file("by-api.txt").download(root="api-down", replace=True).close()
    equal(open("api-down/by-api.txt").read(), "by the API")
    remote("api-files").file("by-api.txt").delete()
    true("by-api.txt" not in [f.name for f in remote("api-files").files()], "still there")


@capability("api.create-run", "Api().create_run, and an artifact logged to it")
def _():
    made = wandb.Api().create_run(run_id="created", project=PROJECT, entity=ENTITY)
    equal(made.id, "created")
    equal(remote("created").id, "created")


@capability("api.use-artifact", "Api().run().use_artifact and log_artifact")
def _():
    run = start(id="artifact-maker")
    a = wandb.Artifact("api-made", "dataset")
    with a.new_file("a.txt") as f:
        f.write("x")
    run.log_artifact(a).wait()
    run.finish()
    api = wandb.Api()
    start(id="artifact-taker").finish()
    remote("artifact-taker").use_artifact(api.artifact(f"{PROJECT}/api-made:v0"))
    equal([a.name for a in remote("artifact-taker").used_artifacts()], ["api-made:v0"])
    # Older clients send aliases here in a form that the wire does not have.
    aliases = ["from-api"] if VERSION >= (0, 27) else []
    remote("artifact-taker").log_artifact(api.artifact(f"{PROJECT}/api-made:v0"), aliases=aliases)
    equal([a.name for a in remote("artifact-taker").logged_artifacts()], ["api-made:v0"])


@capability("api.projects", "projects: list, one, create")
def _():
    start(id="for-project").finish()
    api = wandb.Api()
    true(PROJECT in [p.name for p in api.projects(ENTITY)], "not listed")
    equal(api.project(PROJECT, ENTITY).name, PROJECT)
    api.create_project(PROJECT + "-created", ENTITY)
    true(PROJECT + "-created" in [p.name for p in wandb.Api().projects(ENTITY)], "the new one is not listed")


@capability("api.delete", "run.delete: gone for readers; Solera can still restore it")
def _():
    start(id="delete-me").finish()
    remote("delete-me").delete()
    raises("a run that was deleted", lambda: remote("delete-me"))
    true("delete-me" not in [r.id for r in wandb.Api().runs(f"{ENTITY}/{PROJECT}")], "still listed")
    solera("/runs/delete-me/restore", method="POST")
    equal(remote("delete-me").state, "finished")


@capability("api.wait", "wait_until_finished, and the state of a run as it changes")
def _():
    run = start(id="wait")
    equal(eventually(lambda: remote("wait").state, "state"), "running")
    run.finish()
    remote("wait").wait_until_finished()


@capability("api.commands", "`wandb pull` and `wandb status`")
def _():
    run = start(id="pull")
    open("pulled.txt", "w").write("pulled")
    run.save("pulled.txt", policy="now")
    run.finish()
    wandb_command("pull", "-p", PROJECT, "-e", ENTITY, "pull")
    wandb_command("status")


@capability("api.reports", "reports: none, said without an error")
def _():
    equal(list(wandb.Api().reports(f"{ENTITY}/{PROJECT}")), [])


main()
