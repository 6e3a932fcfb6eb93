"""The benchmark's work in PyTorch, for the comparison that `make bench` prints.

    python3 pytorch.py loader   three wine trainings, as a user's script is commonly written
    python3 pytorch.py tuned    the same three, by somebody who knows where PyTorch loses time
    python3 pytorch.py sweep    64 wine trainings, tuned form, in two processes of one thread
    python3 pytorch.py big      500,000 x 64 rows, 64 -> 512 -> 256 -> 10, batch 1024, tuned form

Each prints one JSON object. "seconds" is the training alone: imports, reading,
splitting and scaling are over when the clock starts.

Written for PyTorch 1.13 (Debian's python3-torch): it has neither a fused CPU
Adam nor torch.compile. Two traps decide whether the comparison is fair. A
2-thread OpenMP team (OMP_NUM_THREADS=2) collapses when anything else wants a
core, so the default of the Debian build is used, which is one ATen thread and
the threads of OpenBLAS. And OPENBLAS_CORETYPE, where a machine sets it, holds
OpenBLAS to old kernels; the driver unsets it.
"""

import copy
import json
import multiprocessing
import os
import sys
import time

import numpy as np
import torch
from torch import nn

EXPERIMENTS = [
    {"epochs": 100, "batch": 16, "lr": 0.001, "optimizer": "adam"},
    {"epochs": 150, "batch": 16, "lr": 0.0005, "optimizer": "adam"},
    {"epochs": 200, "batch": 32, "lr": 0.01, "optimizer": "sgd"},
]


def wine(seed=42):
    """Return scaled training and validation tensors: 142 and 18 rows of 13 features."""
    from sklearn.datasets import load_wine
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = load_wine(return_X_y=True)
    x_rest, _, y_rest, _ = train_test_split(x, y, test_size=18, stratify=y, random_state=seed)
    x_train, x_val, y_train, y_val = train_test_split(x_rest, y_rest, test_size=18, stratify=y_rest, random_state=seed)
    scaler = StandardScaler().fit(x_train)
    return (
        torch.tensor(scaler.transform(x_train), dtype=torch.float32),
        torch.tensor(y_train),
        torch.tensor(scaler.transform(x_val), dtype=torch.float32),
        torch.tensor(y_val),
    )


def network(sizes, dropout=0.3):
    layers = []
    for fan_in, fan_out in zip(sizes, sizes[1:-1]):
        layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


# --- as people write it -----------------------------------------------------


def train_with_loaders(data, experiment):
    from torch.utils.data import DataLoader, TensorDataset

    x_train, y_train, x_val, y_val = data
    train_loader = DataLoader(TensorDataset(x_train, y_train), batch_size=experiment["batch"], shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=experiment["batch"])
    model = network([13, 64, 32, 3])
    criterion = nn.CrossEntropyLoss()
    if experiment["optimizer"] == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=experiment["lr"])
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=experiment["lr"], momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=10)

    best_loss, best_state = float("inf"), None
    for _ in range(experiment["epochs"]):
        model.train()
        train_loss, train_correct = 0.0, 0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            out = model(xb)
            loss = criterion(out, yb)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(yb)
            train_correct += (out.argmax(dim=1) == yb).sum().item()

        model.eval()
        val_loss, val_correct = 0.0, 0
        with torch.no_grad():
            for xb, yb in val_loader:
                out = model(xb)
                val_loss += criterion(out, yb).item() * len(yb)
                val_correct += (out.argmax(dim=1) == yb).sum().item()
        val_loss /= len(y_val)
        scheduler.step(val_loss)
        if val_loss < best_loss:
            best_loss, best_state = val_loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return val_correct / len(y_val)


# --- tuned --------------------------------------------------------------------


def make_optimizer(model, kind, lr):
    if kind == "adam":
        return torch.optim.Adam(model.parameters(), lr=lr, foreach=True)
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, foreach=True)


def train_tuned(data, experiment):
    """Whole tensors instead of loaders, scripted model, grouped optimizer kernels, no .item() in the inner loop."""
    x_train, y_train, x_val, y_val = data
    rows, batch = len(y_train), experiment["batch"]
    model = network([13, 64, 32, 3])
    scripted = torch.jit.script(model)
    criterion = nn.functional.cross_entropy
    optimizer = make_optimizer(model, experiment["optimizer"], experiment["lr"])
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=10)

    best_loss, best = float("inf"), None
    for _ in range(experiment["epochs"]):
        scripted.train()
        order = torch.randperm(rows)
        xs, ys = x_train[order], y_train[order]
        total, correct = torch.zeros(()), torch.zeros((), dtype=torch.long)
        for i in range(0, rows, batch):
            xb, yb = xs[i : i + batch], ys[i : i + batch]
            optimizer.zero_grad(set_to_none=True)
            out = scripted(xb)
            loss = criterion(out, yb)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(yb)
            correct += (out.detach().argmax(1) == yb).sum()
        total.item(), correct.item()

        scripted.eval()
        with torch.no_grad():
            out = scripted(x_val)
            val_loss = criterion(out, y_val).item()
            accuracy = (out.argmax(1) == y_val).float().mean().item()
        scheduler.step(val_loss)
        if val_loss < best_loss:
            best_loss, best = val_loss, [t.clone() for t in model.state_dict().values()]
    return accuracy


def three_trainings(train):
    data = wine()
    train(data, {**EXPERIMENTS[0], "epochs": 3})  # first calls allocate, and compile the scripted model
    start = time.perf_counter()
    accuracy = [train(data, e) for e in EXPERIMENTS]
    return {"seconds": time.perf_counter() - start, "accuracy": accuracy}


def sweep_half(learning_rates, ready, go, done):
    torch.set_num_threads(1)
    data = wine()
    train_tuned(data, {**EXPERIMENTS[0], "epochs": 3})
    ready.put(None)
    go.wait()
    for lr in learning_rates:
        train_tuned(data, {**EXPERIMENTS[0], "lr": lr})
    done.put(None)


def sweep():
    """64 trainings of exp001: 8 learning rates, 8 times each, split over two processes."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    rates = [0.0003 * 1.6**i for i in range(8)] * 8
    context = multiprocessing.get_context("spawn")
    ready, go, done = context.Queue(), context.Event(), context.Queue()
    workers = [context.Process(target=sweep_half, args=(rates[i::2], ready, go, done)) for i in range(2)]
    for w in workers:
        w.start()
    for _ in workers:
        ready.get()
    start = time.perf_counter()
    go.set()
    for _ in workers:
        done.get()
    seconds = time.perf_counter() - start
    for w in workers:
        w.join()
    return {"seconds": seconds}


def big(rows=500_000, batch=1024, steps=200):
    random = np.random.default_rng(1)
    x = torch.from_numpy(random.standard_normal((rows, 64), dtype=np.float32))
    y = (x @ torch.from_numpy(random.standard_normal((64, 10), dtype=np.float32))).argmax(1)
    model = network([64, 512, 256, 10])
    scripted = torch.jit.script(model)
    optimizer = make_optimizer(model, "adam", 0.001)
    scripted.train()

    def step(order, i):
        index = order[i * batch : (i + 1) * batch]
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(scripted(x[index]), y[index])
        loss.backward()
        optimizer.step()
        return loss.detach()

    order = torch.randperm(rows)
    for i in range(20):
        step(order, i)
    order = torch.randperm(rows)
    start = time.perf_counter()
    for i in range(steps):
        loss = step(order, i)
    loss = loss.item()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "rows_per_second": steps * batch / seconds, "loss": loss}


def main():
    work = {
        "loader": lambda: three_trainings(train_with_loaders),
        "tuned": lambda: three_trainings(train_tuned),
        "sweep": sweep,
        "big": big,
    }
    result = work[sys.argv[1]]()
    result["version"] = torch.__version__
    result["threads"] = torch.get_num_threads()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
