"""What the four stages share: the experiments, and how a stage tracks its run."""

import contextlib
import os
import random

import numpy
import torch
import wandb
from torch import nn

SEED = 42
CLASSES = ["class_0", "class_1", "class_2"]
PARTS = ("train", "val", "test")

EXPERIMENTS = {
    "exp001": {"epochs": 100, "batch_size": 16, "learning_rate": 0.001, "optimizer": "adam"},
    "exp002": {"epochs": 150, "batch_size": 16, "learning_rate": 0.0005, "optimizer": "adam"},
    "exp003": {"epochs": 200, "batch_size": 32, "learning_rate": 0.01, "optimizer": "sgd", "momentum": 0.9},
}


@contextlib.contextmanager
def stage(job_type, **options):
    """A run of one stage. Project, key and server come from the environment."""
    random.seed(SEED), numpy.random.seed(SEED), torch.manual_seed(SEED)
    with wandb.init(project=os.environ.get("WANDB_PROJECT", "wine-classification"), job_type=job_type, **options) as run:
        yield run


class WineClassifier(nn.Module):
    """Dense layers, each with batch norm, ReLU and dropout; a plain one at the end."""

    def __init__(self, inputs=13, hidden=(64, 32), classes=3, dropout=0.3):
        super().__init__()
        layers, width = [], inputs
        for h in hidden:
            layers += [nn.Linear(width, h), nn.BatchNorm1d(h), nn.ReLU(), nn.Dropout(dropout)]
            width = h
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes))

    def forward(self, x):
        return self.layers(x)


def read_parts(folder):
    """The three parts of an artifact, as features and classes."""
    parts = {}
    for part in PARTS:
        with numpy.load(os.path.join(folder, part + ".npz")) as f:
            parts[part] = f["x"], f["y"]
    return parts


def write_parts(artifact, parts):
    for part, (x, y) in parts.items():
        with artifact.new_file(part + ".npz", mode="wb") as f:
            numpy.savez(f, x=x, y=y)
