"""Writes golden.json: what the published package `sweeps` (MIT), SciPy and
scikit-learn say, for the tests of package sweep to agree with.

    python -m venv /tmp/v && /tmp/v/bin/pip install sweeps==0.3.0 scipy==1.17.1 scikit-learn==1.9.1 numpy
    /tmp/v/bin/python golden.py > golden.json
"""

import json
import random
import warnings

import numpy as np
import sweeps
from sweeps.bayes_search import fit_normalized_gaussian_process, next_sample
from sweeps.params import HyperParameter

warnings.simplefilter("ignore")
rng = random.Random(7)
np.random.seed(7)


def plain(x):
    if isinstance(x, np.generic):
        x = x.item()
    return x.tolist() if isinstance(x, np.ndarray) else x


def quantiles():
    forms = [
        {"min": 1, "max": 10},
        {"min": -3, "max": 3},
        {"min": 0.0, "max": 1.0},
        {"min": -2.5, "max": 7.0},
        {"distribution": "uniform", "min": 0, "max": 5},
        {"distribution": "q_uniform", "min": 0.0, "max": 10.0, "q": 2.5},
        {"distribution": "q_uniform", "min": 1.0, "max": 9.0},
        {"distribution": "log_uniform", "min": -5.0, "max": 2.0},
        {"distribution": "log_uniform_values", "min": 1e-6, "max": 0.5},
        {"distribution": "q_log_uniform", "min": 0.0, "max": 4.0, "q": 3.0},
        {"distribution": "q_log_uniform_values", "min": 8.0, "max": 512.0, "q": 8.0},
        {"distribution": "inv_log_uniform", "min": -1.0, "max": 3.0},
        {"distribution": "inv_log_uniform_values", "min": 0.01, "max": 10.0},
        {"distribution": "normal"},
        {"distribution": "normal", "mu": 3.0, "sigma": 0.25},
        {"distribution": "q_normal", "mu": 10.0, "sigma": 4.0, "q": 0.5},
        {"distribution": "log_normal", "mu": -2.0, "sigma": 0.7},
        {"distribution": "q_log_normal", "mu": 3.0, "sigma": 0.5, "q": 2.0},
        {"distribution": "beta", "a": 2.0, "b": 5.0},
        {"distribution": "beta", "a": 0.5, "b": 0.5},
        {"distribution": "beta", "a": 0.05, "b": 3.0},
        {"distribution": "beta", "a": 40.0, "b": 900.0},
        {"distribution": "beta"},
        {"distribution": "q_beta", "a": 3.0, "b": 2.0, "q": 0.1},
        {"values": ["a", "b", "c"]},
        {"values": [16, 32, 64, 128], "probabilities": [0.1, 0.2, 0.3, 0.4]},
    ]
    out = []
    for form in forms:
        p = HyperParameter("p", dict(form))
        us = [0.001, 0.01, 0.1, 0.24, 0.37, 0.5, 0.63, 0.77, 0.9, 0.99, 0.999]
        values = [plain(p.ppf(u)) for u in us]
        entry = {"form": form, "u": us, "values": values}
        if "values" not in form:
            entry["cdf"] = [plain(p.cdf(np.float64(v))) for v in values]
        out.append(entry)
    return out


def flat(config):
    return {k: v["value"] for k, v in config.items()}


def grids():
    spaces = [
        {"a": {"values": [1, 2, 3]}, "b": {"values": ["x", "y"]}},
        {"b": {"values": [True, False]}, "a": {"min": 1, "max": 3}, "c": {"value": 7}},
        {"v": {"values": [3, 1, 3, 2, 1]}, "w": {"values": [None, 2.5]}},
        {"q": {"distribution": "q_uniform", "min": 0.0, "max": 2.0, "q": 0.5}, "z": {"values": [[1, 2], {"k": 1}]}},
        {"opt": {"parameters": {"lr": {"values": [0.1, 0.01]}, "name": {"value": "adam"}}}, "n": {"values": [1, 2]}},
        {"only": {"value": 1}},
    ]
    out = []
    for space in spaces:
        runs = sweeps.next_runs({"method": "grid", "parameters": space}, [], n=100)
        out.append({"parameters": space, "order": [flat(r.config) for r in runs if r is not None]})
    return out


def hyperbands():
    out = []
    for i in range(60):
        early = {"type": "hyperband"}
        if i % 2:
            early.update(min_iter=rng.randint(1, 3), eta=rng.choice([2, 3, 1.5]))
        else:
            early.update(max_iter=rng.randint(9, 30), s=rng.randint(1, 3), eta=rng.choice([2, 3]))
        if i % 3 == 0:
            early["strict"] = False
        if i % 3 == 1:
            early["strict"] = True
        goal = rng.choice(["minimize", "maximize"])
        config = {"method": "random", "metric": {"name": "m", "goal": goal}, "early_terminate": early, "parameters": {"a": {"min": 0.0, "max": 1.0}}}
        runs = []
        for k in range(rng.randint(1, 9)):
            history = [round(rng.uniform(0, 10), 1) for _ in range(rng.randint(0, 20))]
            state = rng.choice(["running", "running", "finished", "failed"])
            runs.append(sweeps.SweepRun(name=str(k), state=state, history=[{"m": v} for v in history]))
        stopped = {r.name for r in sweeps.stop_runs(config, runs)}
        out.append({
            "metric": config["metric"], "early_terminate": early,
            "runs": [{"state": str(getattr(r.state, "value", r.state)), "history": [d["m"] for d in r.history], "stop": r.name in stopped} for r in runs],
        })
    return out


def processes():
    out = []
    for dims, n, waiting in [(1, 4, 0), (1, 8, 2), (2, 12, 0), (3, 25, 4), (5, 40, 3)]:
        x = np.random.uniform(size=(n, dims))
        y = np.sin(3 * x[:, 0]) + (x**2).sum(axis=1)
        at = np.random.uniform(size=(50, dims))
        gp, mean, sd = fit_normalized_gaussian_process(x, y)
        mu, std = gp.predict(at, return_std=True)
        pending = np.random.uniform(size=(waiting, dims)) if waiting else None
        chosen, _, _, _, gain, warn = next_sample(sample_X=x, sample_y=y, test_X=at, current_X=pending)
        out.append({
            "x": plain(x), "y": plain(y), "at": plain(at), "pending": plain(pending) if waiting else [],
            "length": plain(gp.kernel_.length_scale), "likelihood": plain(gp.log_marginal_likelihood_value_),
            "mean": plain(mu), "sd": plain(std), "chosen": None if warn else plain(chosen), "gain": plain(gain),
        })
    return out


print(json.dumps({"quantiles": quantiles(), "grids": grids(), "hyperbands": hyperbands(), "processes": processes()}, indent=None, separators=(",", ":")))
