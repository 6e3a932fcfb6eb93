"""Artifacts: versions of files, their names, and what was made from what."""

import os
import pathlib

import wandb
from ladder import ENTITY, PROJECT, capability, equal, eventually, folder, main, python, raises, remote, solera, start, true, wandb_command


def files(**contents):
    place = folder("files")
    for name, text in contents.items():
        path = place / name.replace("__", "/").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def log(run_id, name, contents, *, type="dataset", aliases=None, **options):
    run = start(id=run_id)
    artifact = wandb.Artifact(name, type, **options)
    artifact.add_dir(str(files(**contents)))
    run.log_artifact(artifact, aliases=aliases)
    artifact.wait()
    run.finish()
    return artifact


def get(name):
    return wandb.Api().artifact(f"{PROJECT}/{name}")


def ours(name, version="latest", project=PROJECT):
    return solera(f"/artifacts/{project}/{name}/{version}")


def text(path):
    return pathlib.Path(path).read_text()


@capability("artifacts.log", "log_artifact and wait: a version with its files, v0, latest")
def _():
    a = log("a-log", "log", {"a_txt": "alpha", "sub__b_txt": "beta"}, metadata={"rows": 178, "nested": {"x": [1, 2]}}, description="two letters")
    equal((a.version, a.size, a.file_count), ("v0", 9, 2))
    seen = get("log:latest")
    equal((seen.version, seen.type, seen.description, seen.metadata), ("v0", "dataset", "two letters", {"rows": 178, "nested": {"x": [1, 2]}}))
    equal(sorted(seen.aliases), ["latest"])
    version = ours("log")
    equal((version["number"], version["metadata"]["rows"], [e["path"] for e in version["files"]]), (0, 178, ["a.txt", "sub/b.txt"]))


@capability("artifacts.download", "use_artifact and download: the same bytes, with names of all kinds")
def _():
    place = folder("odd")
    names = ["plain.txt", "with space.txt", "100% ñ.txt", "deep/er/still.bin", "a+b&c=d.txt", "empty.txt"]
    for i, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"" if name == "empty.txt" else os.urandom(1000 + i))
    run = start(id="a-odd")
    artifact = wandb.Artifact("odd", "dataset")
    artifact.add_dir(str(place))
    run.log_artifact(artifact).wait()
    run.finish()
    run = start(id="a-odd-use")
    down = pathlib.Path(run.use_artifact("odd:latest").download(root="odd-down", skip_cache=True))
    run.finish()
    for name in names:
        equal((down / name).read_bytes(), (place / name).read_bytes(), name)
    get("odd:v0").verify("odd-down")


@capability("artifacts.entry", "one file of an artifact: get_entry, checkout, files()")
def _():
    log("a-entry", "entry", {"a_txt": "alpha", "b_txt": "beta"})
    a = get("entry:v0")
    equal(text(a.get_entry("b.txt").download(root="entry-down", skip_cache=True)), "beta")
    equal(sorted(f.name for f in a.files()), ["a.txt", "b.txt"])
    a.checkout(root="entry-checkout")
    equal(text("entry-checkout/a.txt"), "alpha")
    path = a.download(root="entry-prefix", path_prefix="a")
    equal(sorted(os.listdir(path)), ["a.txt"])


@capability("artifacts.versions", "other content is a new version, the same content is none")
def _():
    for i, content in enumerate(["one", "two", "two"]):
        a = log(f"a-versions-{i}", "versions", {"a_txt": content})
        equal(a.version, ["v0", "v1", "v1"][i])
    equal([v.version for v in wandb.Api().artifacts("dataset", f"{PROJECT}/versions")], ["v1", "v0"])
    equal(text(get("versions:v0").download(root="v0") + "/a.txt"), "one")


@capability("artifacts.dedup", "files that are there already are kept once")
def _():
    place = files(a_txt="x" * 100000, b_txt="small")
    for i in range(2):
        run = start(id=f"a-dedup-{i}")
        artifact = wandb.Artifact("dedup", "dataset")
        (place / "b.txt").write_text(f"small {i}")
        artifact.add_dir(str(place))
        run.log_artifact(artifact).wait()
        run.finish()
    v0, v1 = get("dedup:v0"), get("dedup:v1")
    equal(v0.manifest.entries["a.txt"].digest, v1.manifest.entries["a.txt"].digest)
    equal(*({e["path"]: e["digest"] for e in ours("dedup", v)["files"]}["a.txt"] for v in ("v0", "v1")))
    equal(text(v1.download(root="dedup-down", skip_cache=True) + "/a.txt"), "x" * 100000)


@capability("artifacts.draft", "new_draft: a version from the one before, one file less, one more")
def _():
    log("a-draft-0", "draft", {"a_txt": "alpha", "b_txt": "beta"})
    run = start(id="a-draft-1")
    draft = run.use_artifact("draft:latest").new_draft()
    draft.remove("a.txt")
    with draft.new_file("c.txt") as f:
        f.write("gamma")
    run.log_artifact(draft).wait()
    run.finish()
    down = get("draft:v1").download(root="draft-down", skip_cache=True)
    equal(sorted(os.listdir(down)), ["b.txt", "c.txt"])
    equal((text(down + "/b.txt"), text(down + "/c.txt")), ("beta", "gamma"))


@capability("artifacts.incremental", "incremental=True: what is added to the version before")
def _():
    for i, name in enumerate(["a.txt", "b.txt"]):
        run = start(id=f"a-incremental-{i}")
        artifact = wandb.Artifact("incremental", "dataset", incremental=True)
        with artifact.new_file(name) as f:
            f.write(name)
        run.log_artifact(artifact).wait()
        run.finish()
    down = get("incremental:latest").download(root="incremental-down", skip_cache=True)
    equal(sorted(os.listdir(down)), ["a.txt", "b.txt"])


@capability("artifacts.distributed", "upsert_artifact and finish_artifact: one version that two runs write")
def _():
    for i, name in enumerate(["a.txt", "b.txt"]):
        run = start(id=f"a-distributed-{i}", group="writers")
        artifact = wandb.Artifact("distributed", "dataset")
        with artifact.new_file(name) as f:
            f.write(name)
        run.upsert_artifact(artifact)
        run.finish()
    run = start(id="a-distributed-end", group="writers")
    artifact = wandb.Artifact("distributed", "dataset")
    run.finish_artifact(artifact)
    run.finish()
    down = eventually(lambda: get("distributed:v0"), "the version").download(root="distributed-down", skip_cache=True)
    equal(sorted(os.listdir(down)), ["a.txt", "b.txt"])


@capability("artifacts.reference", "add_reference: a URL is kept, its bytes are not")
def _():
    target = files(a_txt="stays where it is")
    run = start(id="a-reference")
    artifact = wandb.Artifact("reference", "dataset")
    artifact.add_reference("file://" + str((target / "a.txt").resolve()), name="a.txt")
    artifact.add_reference("http://127.0.0.1:9/none.bin", name="none.bin", checksum=False)
    run.log_artifact(artifact).wait()
    run.finish()
    entries = get("reference:v0").manifest.entries
    equal(entries["none.bin"].ref, "http://127.0.0.1:9/none.bin")
    equal(text(get("reference:v0").get_entry("a.txt").download(root="reference-down")), "stays where it is")


@capability("artifacts.reference-artifact", "a reference to a file of another artifact")
def _():
    log("a-source", "source", {"a_txt": "from elsewhere"})
    run = start(id="a-points")
    artifact = wandb.Artifact("points", "dataset")
    artifact.add_reference(run.use_artifact("source:v0").get_entry("a.txt"), name="borrowed.txt")
    run.log_artifact(artifact).wait()
    run.finish()
    down = get("points:v0").download(root="points-down", skip_cache=True)
    equal(text(down + "/borrowed.txt"), "from elsewhere")


@capability("artifacts.aliases", "aliases: set at the log, moved, added and removed later")
def _():
    log("a-alias-0", "alias", {"a_txt": "0"}, aliases=["latest", "best"])
    log("a-alias-1", "alias", {"a_txt": "1"}, aliases=["latest", "best", "day-2"])
    equal(sorted(get("alias:v1").aliases), ["best", "day-2", "latest"])
    equal(get("alias:v0").aliases, [])
    a = get("alias:v0")
    a.aliases.append("champion")
    a.save()
    equal(get("alias:champion").version, "v0")
    a = get("alias:v1")
    a.aliases.remove("day-2")
    a.save()
    raises("an alias that was removed", lambda: get("alias:day-2"), "day-2")
    true("champion" in str(ours("alias", "v0")), "Solera does not know the alias")


@capability("artifacts.tags", "tags of a version")
def _():
    log("a-tags", "tags", {"a_txt": "0"})
    a = get("tags:v0")
    a.tags = ["clean", "2026"]
    a.save()
    equal(sorted(get("tags:v0").tags), ["2026", "clean"])
    a = get("tags:v0")
    a.tags = ["clean"]
    a.save()
    equal(get("tags:v0").tags, ["clean"])
    true("clean" in str(ours("tags", "v0")), "Solera does not know the tag")


@capability("artifacts.ttl", "time to live: set, read, taken away")
def _():
    from datetime import timedelta

    run = start(id="a-ttl")
    artifact = wandb.Artifact("ttl", "dataset")
    with artifact.new_file("a.txt") as f:
        f.write("not for ever")
    artifact.ttl = timedelta(days=30)
    run.log_artifact(artifact).wait()
    run.finish()
    equal(get("ttl:v0").ttl, timedelta(days=30))
    a = get("ttl:v0")
    a.ttl = None
    a.save()
    equal(get("ttl:v0").ttl, None)


@capability("artifacts.change", "description and metadata changed later")
def _():
    log("a-change", "change", {"a_txt": "0"}, metadata={"a": 1})
    a = get("change:v0")
    a.description = "changed"
    a.metadata["b"] = [2]
    a.save()
    seen = get("change:v0")
    equal((seen.description, seen.metadata), ("changed", {"a": 1, "b": [2]}))


@capability("artifacts.lineage", "used_by and logged_by, used_artifacts and logged_artifacts, and Solera's lineage")
def _():
    log("a-line-1", "line-raw", {"a_txt": "raw"})
    run = start(id="a-line-2")
    run.use_artifact("line-raw:latest")
    artifact = wandb.Artifact("line-made", "dataset")
    with artifact.new_file("a.txt") as f:
        f.write("made")
    run.log_artifact(artifact).wait()
    run.finish()
    equal([r.id for r in get("line-raw:v0").used_by()], ["a-line-2"])
    equal(get("line-made:v0").logged_by().id, "a-line-2")
    equal([a.name for a in remote("a-line-2").used_artifacts()], ["line-raw:v0"])
    equal([a.name for a in remote("a-line-2").logged_artifacts()], ["line-made:v0"])
    graph = solera(f"/lineage?ref={PROJECT}/line-made:v0")
    names = {n["artifact"] for n in graph["nodes"] if n["kind"] == "version"}
    equal(names, {"line-raw", "line-made"})
    equal(sorted(e["kind"] for e in graph["edges"]), ["made", "made", "used"])


@capability("artifacts.from-script", "an artifact without a run: Artifact.save, and `wandb artifact put` and `get`", seconds=120)
def _():
    place = files(a_txt="by hand")
    wandb_command("artifact", "put", "--name", f"{PROJECT}/by-hand", "--type", "dataset", "--alias", "hand", str(place))
    equal(get("by-hand:hand").version, "v0")
    wandb_command("artifact", "get", "--root", "by-hand-down", f"{ENTITY}/{PROJECT}/by-hand:v0")
    equal(text("by-hand-down/a.txt"), "by hand")
    true("by-hand" in wandb_command("artifact", "ls", f"{ENTITY}/{PROJECT}"), "artifact ls does not list it")


@capability("artifacts.delete", "delete a version; one with aliases only when told so")
def _():
    log("a-delete-0", "delete", {"a_txt": "0"})
    log("a-delete-1", "delete", {"a_txt": "1"}, aliases=["latest", "best"])
    raises("delete a version that best names", lambda: get("delete:v1").delete())
    get("delete:v0").delete()
    raises("a version that was deleted", lambda: get("delete:v0").download(root="deleted"))
    get("delete:v1").delete(delete_aliases=True)
    raises("a version that was deleted", lambda: get("delete:v1"))


@capability("artifacts.collections", "collections of a type: list, describe, tag, delete")
def _():
    log("a-collection", "collection", {"a_txt": "0"}, type="shelf")
    api = wandb.Api()
    true("shelf" in [t.name for t in api.artifact_types(PROJECT)], "the type is not listed")
    true("collection" in [c.name for c in api.artifact_type("shelf", PROJECT).collections()], "the collection is not listed")
    c = api.artifact_collection("shelf", f"{PROJECT}/collection")
    true(c.is_sequence(), "no sequence")
    c.description = "what it is"
    c.tags = ["kept"]
    c.save()
    c = wandb.Api().artifact_collection("shelf", f"{PROJECT}/collection")
    equal((c.description, list(c.tags), [a.version for a in c.artifacts()]), ("what it is", ["kept"], ["v0"]))
    c.delete()
    raises("a collection that was deleted", lambda: get("collection:v0"))


@capability("artifacts.rename", "a collection gets another name")
def _():
    log("a-rename", "rename", {"a_txt": "0"}, type="shelf")
    c = wandb.Api().artifact_collection("shelf", f"{PROJECT}/rename")
    c.name = "renamed"
    c.save()
    equal(get("renamed:v0").type, "shelf")


@capability("artifacts.change-type", "a collection moves to another type")
def _():
    log("a-change-type", "change-type", {"a_txt": "0"}, type="shelf")
    wandb.Api().artifact_collection("shelf", f"{PROJECT}/change-type").change_type("other-shelf")
    equal(get("change-type:v0").type, "other-shelf")


@capability("artifacts.exists", "artifact_exists and artifact_collection_exists")
def _():
    log("a-exists", "exists", {"a_txt": "0"})
    api = wandb.Api()
    equal((api.artifact_exists(f"{PROJECT}/exists:v0"), api.artifact_exists(f"{PROJECT}/exists:v7")), (True, False))
    equal((api.artifact_collection_exists(f"{PROJECT}/exists", "dataset"), api.artifact_collection_exists(f"{PROJECT}/nope", "dataset")), (True, False))


@capability("artifacts.link", "link: a version in a collection of its own, in this project or another")
def _():
    a = log("a-link", "link-source", {"a_txt": "0"}, type="model")
    get("link-source:v0").link(f"{PROJECT}/shortlist", aliases=["candidate"])
    linked = get("shortlist:candidate")
    equal((linked.version, linked.source_name), ("v0", "link-source:v0"))
    equal(text(linked.download(root="link-down", skip_cache=True) + "/a.txt"), "0")
    get("link-source:v0").link(f"{PROJECT}/shortlist")
    true(linked.is_link, "not seen as a link")
    linked.unlink()
    raises("a link that was taken away", lambda: get("shortlist:candidate"))


@capability("artifacts.registry", "link to the registry: wandb-registry-model/NAME")
def _():
    run = start(id="a-registry")
    artifact = wandb.Artifact("for-registry", "model")
    with artifact.new_file("weights.bin") as f:
        f.write("w")
    run.log_artifact(artifact).wait()
    run.link_artifact(artifact, "wandb-registry-model/wine", aliases=["staging"])
    run.finish()
    seen = wandb.Api().artifact("wandb-registry-model/wine:staging")
    equal(seen.source_name, "for-registry:v0")
    equal(text(seen.download(root="registry-down", skip_cache=True) + "/weights.bin"), "w")


@capability("artifacts.model", "log_model, use_model, link_model")
def _():
    pathlib.Path("model.bin").write_text("weights")
    run = start(id="a-model")
    run.log_model("model.bin", name="log-model", aliases=["first"])
    run.finish()
    run = start(id="a-model-use")
    equal(text(run.use_model("log-model:first")), "weights")
    run.link_model("model.bin", "registered-models", name="linked-model")
    run.finish()
    equal(wandb.Api().artifact(f"{ENTITY}/model-registry/registered-models:v0").source_name, "linked-model:v0")


@capability("artifacts.type", "a name keeps its type: another type is refused")
def _():
    log("a-type-0", "typed", {"a_txt": "0"}, type="dataset")
    run = start(id="a-type-1")
    artifact = wandb.Artifact("typed", "model")
    with artifact.new_file("a.txt") as f:
        f.write("1")
    raises("another type", lambda: run.log_artifact(artifact).wait(), "type")
    run.finish()


@capability("artifacts.missing", "what is not there is told by its name")
def _():
    raises("a version that never was", lambda: get("no-such-thing:v3"), "no-such-thing")
    run = start(id="a-missing")
    raises("use_artifact", lambda: run.use_artifact("no-such-thing:latest"), "no-such-thing")
    run.finish()


@capability("artifacts.many-files", "an artifact of 300 files")
def _():
    place = folder("many")
    for i in range(300):
        (place / f"{i:03}.txt").write_text(str(i))
    run = start(id="a-many")
    artifact = wandb.Artifact("many", "dataset")
    artifact.add_dir(str(place))
    run.log_artifact(artifact).wait()
    run.finish()
    down = get("many:v0").download(root="many-down", skip_cache=True)
    equal(sorted(text(f"{down}/{i:03}.txt") for i in range(300)), sorted(str(i) for i in range(300)))
    equal(len(list(get("many:v0").files(per_page=100))), 300)


@capability("artifacts.between-projects", "an artifact of another project is used, and its lineage known")
def _():
    run = start(id="a-elsewhere", project=PROJECT + "-b")
    artifact = wandb.Artifact("elsewhere", "dataset")
    with artifact.new_file("a.txt") as f:
        f.write("from b")
    run.log_artifact(artifact).wait()
    run.finish()
    run = start(id="a-here")
    used = run.use_artifact(f"{ENTITY}/{PROJECT}-b/elsewhere:latest")
    equal(text(used.download(root="elsewhere-down", skip_cache=True) + "/a.txt"), "from b")
    run.finish()
    equal([a.project for a in remote("a-here").used_artifacts()], [PROJECT + "-b"])


@capability("artifacts.killed", "a script killed in the middle of an upload leaves no version")
def _():
    python(
        f"""
import os, wandb
run = wandb.init(project={PROJECT!r}, id="a-killed")
a = wandb.Artifact("half", "dataset")
with a.new_file("a.bin", mode="wb") as f:
    f.write(os.urandom(30_000_000))
run.log_artifact(a)
os.killpg(0, 9)
""".replace("import os, wandb", "import os, wandb\nos.setpgid(0, 0)"),
        ok=False,
    )
    raises("half a version", lambda: get("half:v0"), "half")
    a = log("a-killed-2", "half", {"a_txt": "whole"})
    equal(a.version, "v0")


main()
