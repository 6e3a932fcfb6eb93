"""Media: what is logged beside numbers, and what Solera keeps of it."""

import json

import numpy
import wandb
from ladder import BASE, ENTITY, PROJECT, NotInThisClient, capability, equal, main, remote, solera, start, true


def history(run_id):
    return remote(run_id).history(pandas=False)


def download(run_id, path):
    remote(run_id).file(path).download(root="down", replace=True).close()
    return open("down/" + path, "rb").read()


@capability("media.table", "wandb.Table: logged, read back as an artifact")
def _():
    run = start(id="table")
    table = wandb.Table(columns=["row", "class", "p"], data=[[i, "abc"[i % 3], i / 10] for i in range(10)])
    run.log({"predictions": table})
    run.finish()
    entry = history("table")[0]["predictions"]
    equal((entry["_type"], entry["nrows"], entry["ncols"]), ("table-file", 10, 3))
    content = json.loads(download("table", entry["path"]))
    equal(content["data"][4], [4, "b", 0.4])
    back = wandb.Api().artifact(f"{PROJECT}/run-table-predictions:v0")
    equal(back.get("predictions").data[9], [9, "a", 0.9])


@capability("media.table-in-artifact", "a table in an artifact: add, get")
def _():
    run = start(id="table-artifact")
    artifact = wandb.Artifact("tables", "dataset")
    artifact.add(wandb.Table(columns=["a"], data=[[1], [2]]), "inner")
    run.log_artifact(artifact).wait()
    run.finish()
    equal(wandb.Api().artifact(f"{PROJECT}/tables:v0").get("inner").data, [[1], [2]])


@capability("media.table-incremental", "tables that grow: log_mode MUTABLE and INCREMENTAL")
def _():
    try:
        table = wandb.Table(columns=["step"], log_mode="INCREMENTAL")
    except TypeError:
        raise NotInThisClient("log_mode came later")
    run = start(id="growing")
    for i in range(3):
        table.add_data(i)
        run.log({"growing": table})
    run.finish()
    true([r for r in history("growing") if r.get("growing")], "no table in the history")


@capability("media.image", "wandb.Image with caption, boxes and masks")
def _():
    pixels = (numpy.arange(16 * 16 * 3) % 255).astype("uint8").reshape(16, 16, 3)
    run = start(id="image")
    run.log({
        "one": wandb.Image(pixels, caption="a ramp"),
        "many": [wandb.Image(pixels), wandb.Image(pixels[::-1])],
        "boxed": wandb.Image(
            pixels,
            boxes={"truth": {"box_data": [{"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.1, "maxY": 0.5}, "class_id": 1}], "class_labels": {1: "grape"}}},
            masks={"truth": {"mask_data": numpy.zeros((16, 16), dtype="uint8"), "class_labels": {0: "vine"}}},
        ),
    })
    run.finish()
    row = history("image")[0]
    equal((row["one"]["_type"], row["one"]["width"], row["one"]["caption"]), ("image-file", 16, "a ramp"))
    equal((row["many"]["_type"], row["many"]["count"]), ("images/separated", 2))
    true(download("image", row["one"]["path"]).startswith(b"\x89PNG"), "no PNG")
    files = [f.name for f in remote("image").files()]
    true(sum(name.startswith("media/images/") for name in files) >= 5, f"files: {files}")


@capability("media.histogram", "wandb.Histogram")
def _():
    run = start(id="histogram")
    run.log({"weights": wandb.Histogram(np_histogram=([1, 2, 3], [0.0, 0.1, 0.2, 0.3]))})
    run.log({"weights": wandb.Histogram([1, 2, 2, 3])})
    run.finish()
    rows = history("histogram")
    equal((rows[0]["weights"]["_type"], rows[0]["weights"]["values"]), ("histogram", [1, 2, 3]))
    true(rows[1]["weights"]["_type"] == "histogram", rows[1])


@capability("media.plots", "wandb.plot: line, scatter, bar, histogram, confusion matrix, ROC and PR curves")
def _():
    table = wandb.Table(columns=["x", "y"], data=[[i, i * i] for i in range(5)])
    labels = ["class_0", "class_1"]
    truth, probabilities = [0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]]
    run = start(id="plots")
    run.log({
        "line": wandb.plot.line(table, "x", "y", title="squares"),
        "scatter": wandb.plot.scatter(table, "x", "y"),
        "bar": wandb.plot.bar(table, "x", "y"),
        "histogram": wandb.plot.histogram(table, "y"),
        "confusion": wandb.plot.confusion_matrix(y_true=truth, preds=[0, 1, 0, 0], class_names=labels),
    })
    run.finish()
    keys = set(history("plots")[0])
    for name in ("line", "scatter", "bar", "histogram", "confusion"):
        true(any(k.startswith(name + "_table") or k == name + "_table" for k in keys), f"{name}: {sorted(keys)}")
    config = remote("plots").rawconfig
    true("visualize" in json.dumps(config) or "panel_type" in json.dumps(config), f"no chart in the config: {list(config)}")


@capability("media.html", "wandb.Html")
def _():
    run = start(id="html")
    run.log({"page": wandb.Html("<h1>Wine</h1>", inject=False)})
    run.finish()
    entry = history("html")[0]["page"]
    equal(entry["_type"], "html-file")
    equal(download("html", entry["path"]).decode(), "<h1>Wine</h1>")


@capability("media.audio-video-3d", "audio, video, molecule and 3D files, as they are")
def _():
    import wave

    with wave.open("tone.wav", "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(8000), w.writeframes(bytes(1600))
    open("clip.mp4", "wb").write(b"\x00\x00\x00\x18ftypmp42" + bytes(100))
    open("m.pdb", "w").write("HEADER    WATER\nEND\n")
    cloud = numpy.array([[0, 0, 0], [1, 1, 1], [0.5, 0.2, 0.1]])
    run = start(id="other-media")
    run.log({"sound": wandb.Audio("tone.wav"), "clip": wandb.Video("clip.mp4", format="mp4"), "molecule": wandb.Molecule("m.pdb"), "cloud": wandb.Object3D(cloud)})
    run.finish()
    row = history("other-media")[0]
    equal([row[k]["_type"] for k in ("sound", "clip", "molecule", "cloud")], ["audio-file", "video-file", "molecule-file", "object3D-file"])
    equal(download("other-media", row["sound"]["path"])[:4], b"RIFF")


@capability("media.items", "Solera keeps media beside the numbers of the step, for its own charts")
def _():
    run = start(id="items")
    run.log({"x": 1, "page": wandb.Html("<p>1</p>")})
    run.log({"x": 2})
    run.finish()
    rows = history("items")
    equal((rows[0]["x"], rows[0]["page"]["_type"], rows[1]["x"], rows[1].get("page")), (1, "html-file", 2, None))


main()
