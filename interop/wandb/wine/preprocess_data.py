"""Stage 2: every feature around 0 with deviation 1, measured on the training rows."""

import json

import wandb
from sklearn.preprocessing import StandardScaler
from wine import read_parts, stage, write_parts

with stage("preprocess-data", config={"scaler": "standard"}) as run:
    raw = run.use_artifact("wine-raw:latest")
    parts = read_parts(raw.download())
    scaler = StandardScaler().fit(parts["train"][0])
    scaled = wandb.Artifact("wine-preprocess", "dataset", description="wine-raw, standardized.", metadata={"scaler": "standard"})
    write_parts(scaled, {part: (scaler.transform(x).astype("float32"), y) for part, (x, y) in parts.items()})
    with scaled.new_file("scaler.json") as f:
        json.dump({"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}, f)
    run.log_artifact(scaled)
