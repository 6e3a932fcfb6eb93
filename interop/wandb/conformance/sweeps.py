"""Sweeps: the server suggests, agents run."""

import os
import pathlib
import re
import subprocess
import sys
import time

import wandb
from ladder import ENTITY, PROJECT, PATIENCE, NotInThisClient, alone, capability, equal, eventually, main, python, raises, remote, solera, start, true, wandb_command

PROGRAM = str(pathlib.Path(__file__).with_name("sweep_program.py"))


def sweep_of(sweep_id):
    return wandb.Api().sweep(f"{ENTITY}/{PROJECT}/{sweep_id}")


def bowl(run_id=None):
    run = start(settings={"x_disable_stats": True})
    run.log({"loss": (run.config["x"] - 1) ** 2 + (run.config.get("y", 2) - 2) ** 2})
    run.finish()


def agent(sweep_id, *arguments, seconds=100, wait=True, **environment):
    p = subprocess.Popen(
        [sys.executable, "-m", "wandb", "agent", *arguments, f"{ENTITY}/{PROJECT}/{sweep_id}"],
        env=alone(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )
    if not wait:
        return p
    return ended(p, seconds)


def ended(p, seconds=100):
    try:
        said, _ = p.communicate(timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, 9)
        said, _ = p.communicate()
        raise AssertionError("the agent does not end: " + said[-400:])
    print(said, file=sys.__stderr__)
    return said


def command(**flags):
    return ["${env}", sys.executable, "${program}", "${args}"]


def create(config):
    """By `wandb sweep FILE`, which prints the ID."""
    import yaml

    pathlib.Path("sweep.yaml").write_text(yaml.safe_dump(config))
    said = wandb_command("sweep", "--project", PROJECT, "--entity", ENTITY, "sweep.yaml")
    return re.search(r"with ID:? *\S*?(\w{8})\b", re.sub(r"\x1b\[[0-9;]*m", "", said)).group(1)


@capability("sweeps.grid", "grid: every combination once, then the agent ends", seconds=120)
def _():
    sweep_id = wandb.sweep({"method": "grid", "metric": {"name": "loss", "goal": "minimize"}, "parameters": {"x": {"values": [0, 1]}, "y": {"values": [2, 3]}}}, project=PROJECT)
    wandb.agent(sweep_id, function=bowl, project=PROJECT)
    s = sweep_of(sweep_id)
    runs = list(s.runs)
    equal(sorted((r.config["x"], r.config["y"]) for r in runs), [(0, 2), (0, 3), (1, 2), (1, 3)])
    equal({r.state for r in runs}, {"finished"})
    equal(s.state, "FINISHED")
    best = s.best_run()
    equal((best.config["x"], best.config["y"]), (1, 2))
    equal(solera(f"/runs/{best.id}")["sweep"], sweep_id)


@capability("sweeps.random", "random: as many trials as --count says, each within the space", seconds=120)
def _():
    sweep_id = wandb.sweep({
        "method": "random", "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"min": 0.0, "max": 2.0}, "y": {"distribution": "q_uniform", "min": 0, "max": 4, "q": 2}, "fixed": {"value": "same"}},
    }, project=PROJECT)
    wandb.agent(sweep_id, function=bowl, count=4, project=PROJECT)
    runs = list(sweep_of(sweep_id).runs)
    equal(len(runs), 4)
    for r in runs:
        true(0 <= r.config["x"] <= 2 and r.config["y"] in (0, 2, 4) and r.config["fixed"] == "same", f"{r.config}")
    true(len({r.config["x"] for r in runs}) == 4, "the same point twice")


@capability("sweeps.bayes", "bayes: trials draw near the lowest point", seconds=170)
def _():
    sweep_id = wandb.sweep({
        "method": "bayes", "metric": {"name": "loss", "goal": "minimize"}, "run_cap": 10,
        "parameters": {"x": {"min": -5.0, "max": 5.0}, "y": {"min": -5.0, "max": 5.0}},
    }, project=PROJECT)
    wandb.agent(sweep_id, function=bowl, project=PROJECT)
    s = sweep_of(sweep_id)
    losses = [r.summary["loss"] for r in s.runs]
    equal(len(losses), 10, "trials (run_cap)")
    best = s.best_run().summary["loss"]
    equal(best, min(losses), "best_run")
    true(best < 20, f"losses: {losses}")
    return f"best of 10: {best:.3f}"


@capability("sweeps.program", "`wandb sweep FILE` and `wandb agent`: a program with its arguments", seconds=120)
def _():
    sweep_id = create({
        "method": "grid", "program": PROGRAM, "command": command(), "name": "by a file", "description": "two points",
        "metric": {"name": "loss", "goal": "minimize"}, "parameters": {"x": {"values": [1, 2]}, "y": {"value": 2}},
    })
    said = agent(sweep_id)
    true("ran x=1.0 y=2.0" in said and "ran x=2.0 y=2.0" in said, said[-300:])
    s = sweep_of(sweep_id)
    equal(sorted(r.config["x"] for r in s.runs), [1, 2])
    equal(s.name if hasattr(s, "name") else "by a file", "by a file")


@capability("sweeps.agents", "three agents at once share the trials", seconds=170)
def _():
    sweep_id = create({"method": "grid", "program": PROGRAM, "command": command(), "parameters": {"x": {"values": [0, 1, 2, 3, 4, 5]}}})
    agents = [agent(sweep_id, wait=False) for _ in range(3)]
    for p in agents:
        ended(p, 140)
    equal(sorted(r.config["x"] for r in sweep_of(sweep_id).runs), [0, 1, 2, 3, 4, 5])


@capability("sweeps.nested", "nested parameters, and values of all kinds", seconds=90)
def _():
    seen = []

    def train():
        run = start(settings={"x_disable_stats": True})
        seen.append(dict(run.config))
        run.log({"loss": 1})
        run.finish()

    sweep_id = wandb.sweep({
        "method": "grid",
        "parameters": {"optimizer": {"parameters": {"name": {"values": ["adam", "sgd"]}, "lr": {"value": 0.01}}}, "flag": {"value": True}, "text": {"value": "a b"}},
    }, project=PROJECT)
    wandb.agent(sweep_id, function=train, project=PROJECT)
    equal(sorted(c["optimizer"]["name"] for c in seen), ["adam", "sgd"])
    equal([(c["optimizer"]["lr"], c["flag"], c["text"]) for c in seen], [(0.01, True, "a b")] * 2)


@capability("sweeps.pause", "`wandb sweep --pause` and `--resume`: no new trial, then the rest", seconds=150)
def _():
    sweep_id = create({"method": "grid", "program": PROGRAM, "command": command(), "parameters": {"x": {"values": [0, 1, 2]}, "steps": {"value": 3}, "pause": {"value": 0.3}}})
    path = f"{ENTITY}/{PROJECT}/{sweep_id}"
    agent(sweep_id, "--count", "1")
    wandb_command("sweep", "--pause", path)
    equal(sweep_of(sweep_id).state, "PAUSED")
    p = agent(sweep_id, wait=False)
    time.sleep(12)
    equal(len(sweep_of(sweep_id).runs), 1, "trials while paused")
    wandb_command("sweep", "--resume", path)
    ended(p, 90)
    equal(len(sweep_of(sweep_id).runs), 3, "trials in the end")


@capability("sweeps.stop", "`wandb sweep --stop`: the agent ends after its trial; `--cancel`: at once", seconds=150)
def _():
    for flag, state in (("--stop", "FINISHED"), ("--cancel", "CANCELED")):
        sweep_id = create({"method": "random", "program": PROGRAM, "command": command(), "parameters": {"x": {"min": 0.0, "max": 1.0}, "steps": {"value": 60 if flag == "--stop" else 300}, "pause": {"value": 0.5}}})
        p = agent(sweep_id, wait=False)
        eventually(lambda: any(r.state == "running" for r in sweep_of(sweep_id).runs), "a trial")
        wandb_command("sweep", flag, f"{ENTITY}/{PROJECT}/{sweep_id}")
        ended(p, 90)
        equal(sweep_of(sweep_id).state, state)
        equal(len(sweep_of(sweep_id).runs), 1, "trials")


@capability("sweeps.hyperband", "early_terminate: hyperband stops trials that fall behind", seconds=200)
def _():
    sweep_id = create({
        "method": "grid", "program": PROGRAM, "command": command(), "metric": {"name": "loss", "goal": "minimize"},
        "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2},
        "parameters": {"x": {"values": [1, 2, 6, 9]}, "y": {"value": 2}, "steps": {"value": 60}, "pause": {"value": 0.25}},
    })
    ended(agent(sweep_id, wait=False), 180)
    runs = {r.config["x"]: r for r in sweep_of(sweep_id).runs}
    lengths = {x: r.lastHistoryStep + 1 for x, r in runs.items()}
    equal(lengths[1], 60, f"steps of the best; all: {lengths}")
    true(lengths[9] < 60, f"nobody was stopped: {lengths}")
    return f"steps by x: {dict(sorted(lengths.items()))}"


@capability("sweeps.api", "Api(): sweeps of a project, their config, order and agents", seconds=60)
def _():
    api = wandb.Api()
    sweeps = list(api.project(PROJECT, ENTITY).sweeps())
    true(len(sweeps) >= 3, f"{len(sweeps)} sweeps")
    s = sweeps[-1]
    true(s.config["method"] in ("grid", "random", "bayes"), s.config)
    true(s.url.startswith(os.environ["WANDB_BASE_URL"]), s.url)
    if hasattr(s, "agents"):
        list(s.agents())


@capability("sweeps.update", "`wandb sweep --update`: another space for a sweep", seconds=60)
def _():
    import yaml

    config = {"method": "grid", "parameters": {"x": {"values": [0]}}}
    sweep_id = wandb.sweep(config, project=PROJECT)
    config["parameters"]["x"]["values"] = [7]
    pathlib.Path("update.yaml").write_text(yaml.safe_dump(config))
    wandb_command("sweep", "--update", f"{ENTITY}/{PROJECT}/{sweep_id}", "update.yaml")
    wandb.agent(sweep_id, function=bowl, project=PROJECT)
    equal([r.config["x"] for r in sweep_of(sweep_id).runs], [7])


@capability("sweeps.prior-runs", "runs that were there before join a sweep", seconds=60)
def _():
    # In a program of its own: agents leave marks in this one.
    python(f"import wandb\nrun = wandb.init(project={PROJECT!r}, id='prior', config={{'x': 1}})\nrun.log({{'loss': 0.5}})\nrun.finish()")
    sweep_id = wandb.sweep({"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}}, project=PROJECT, prior_runs=["prior"])
    equal([r.id for r in sweep_of(sweep_id).runs], ["prior"])


@capability("sweeps.invalid", "a sweep that makes no sense is refused, and why")
def _():
    raises("a method that does not exist", lambda: wandb.sweep({"method": "guess", "parameters": {"x": {"values": [1]}}}, project=PROJECT))
    raises("a sweep that is not there", lambda: wandb.agent("nosuchid", function=bowl, project=PROJECT, count=1))


main()
