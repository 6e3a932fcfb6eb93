"""Stage 4: one run per experiment, or those that are named: train_model.py exp001"""

import copy
import json
import os
import sys

import torch
import wandb
from torch import nn
from wine import CLASSES, EXPERIMENTS, WineClassifier, read_parts, stage


def optimizer_of(network, c):
    if c["optimizer"] == "adam":
        return torch.optim.Adam(network.parameters(), lr=c["learning_rate"])
    return torch.optim.SGD(network.parameters(), lr=c["learning_rate"], momentum=c["momentum"])


def score(network, x, y):
    network.eval()
    with torch.no_grad():
        out = network(x)
    return nn.functional.cross_entropy(out, y).item(), (out.argmax(1) == y).float().mean().item(), out


def train(name, c):
    with stage("train-model", name=name, group="experiments", tags=[name], config={"experiment": name, **c}) as run:
        data = run.use_artifact("wine-preprocess:latest").download()
        built = run.use_artifact("WineClassifier:latest").download()
        parts = {k: (torch.from_numpy(x), torch.from_numpy(y)) for k, (x, y) in read_parts(data).items()}
        network = WineClassifier(**json.load(open(os.path.join(built, "network.json"))))
        network.load_state_dict(torch.load(os.path.join(built, "weights.pt")))
        run.define_metric("val/loss", summary="min")
        optimizer = optimizer_of(network, c)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=10)
        x, y = parts["train"]
        best, weights = float("inf"), None
        for epoch in range(c["epochs"]):
            network.train()
            total = 0.0
            for batch in torch.randperm(len(x)).split(c["batch_size"]):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
            val_loss, val_accuracy, _ = score(network, *parts["val"])
            schedule.step(val_loss)
            if val_loss < best:
                best, weights = val_loss, copy.deepcopy(network.state_dict())
            run.log({"train/loss": total / len(x), "val/loss": val_loss, "val/accuracy": val_accuracy, "learning_rate": optimizer.param_groups[0]["lr"]}, step=epoch)
        network.load_state_dict(weights)
        test_loss, test_accuracy, out = score(network, *parts["test"])
        run.summary.update({"test/loss": test_loss, "test/accuracy": test_accuracy})
        predicted = out.argmax(1)
        truth = parts["test"][1]
        rows = [[i, CLASSES[t], CLASSES[p]] for i, (t, p) in enumerate(zip(truth.tolist(), predicted.tolist()))]
        run.log({
            "test/predictions": wandb.Table(columns=["row", "class", "predicted"], data=rows),
            "test/confusion": wandb.plot.confusion_matrix(y_true=truth.tolist(), preds=predicted.tolist(), class_names=CLASSES),
        })
        trained = wandb.Artifact(f"trained-wine-model-{name}", "model", metadata={"experiment": name, "test/accuracy": test_accuracy, **c})
        with trained.new_file("weights.pt", mode="wb") as f:
            torch.save(network.state_dict(), f)
        trained.add_file(os.path.join(built, "network.json"))
        run.log_artifact(trained)
        print(f"{name}: test accuracy {test_accuracy:.3f} of {len(truth)} rows")


torch.set_num_threads(1)
for name in sys.argv[1:] or EXPERIMENTS:
    train(name, EXPERIMENTS[name])
