"""Stage 1: the wines, 80 % to train with, 10 % to choose by, 10 % to test on."""

import wandb
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from wine import SEED, stage, write_parts

with stage("load-data", config={"seed": SEED, "train": 0.8, "val": 0.1, "test": 0.1}) as run:
    wine = load_wine()
    x, rest_x, y, rest_y = train_test_split(wine.data, wine.target, test_size=0.2, stratify=wine.target, random_state=SEED)
    val_x, test_x, val_y, test_y = train_test_split(rest_x, rest_y, test_size=0.5, stratify=rest_y, random_state=SEED)
    parts = {"train": (x, y), "val": (val_x, val_y), "test": (test_x, test_y)}
    raw = wandb.Artifact(
        "wine-raw", "dataset", description="The wines of three growers, by what is in them.",
        metadata={"source": "sklearn.datasets.load_wine", "features": list(wine.feature_names), "rows": {k: len(v[1]) for k, v in parts.items()}},
    )
    write_parts(raw, parts)
    run.log_artifact(raw)
