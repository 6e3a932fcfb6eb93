"""Stage 3: the network 13 → 64 → 32 → 3 with its first weights."""

import json

import torch
import wandb
from wine import WineClassifier, stage

config = {"inputs": 13, "hidden": [64, 32], "classes": 3, "dropout": 0.3}

with stage("build-model", config=config) as run:
    network = WineClassifier(**config)
    model = wandb.Artifact("WineClassifier", "model", description="Before any training.", metadata=config)
    with model.new_file("network.json") as f:
        json.dump(config, f)
    with model.new_file("weights.pt", mode="wb") as f:
        torch.save(network.state_dict(), f)
    run.log_artifact(model)
    run.summary["weights"] = sum(p.numel() for p in network.parameters())
