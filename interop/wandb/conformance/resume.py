"""Runs that go on: resume, rewind, fork, and several processes of one run."""

import subprocess
import sys

from ladder import PROJECT, alone, capability, equal, eventually, main, raises, remote, solera, start, true


def xs(run_id):
    return [(r["_step"], r["x"]) for r in remote(run_id).scan_history(keys=["_step", "x"])]


def run_of(run_id, values, **options):
    run = start(id=run_id, **options)
    for v in values:
        run.log({"x": v})
    run.finish()
    return run


@capability("resume.allow", "resume='allow' goes on after the last step, with config, tags and summary")
def _():
    run_of("allow", [0, 1, 2], resume="allow", config={"lr": 0.1}, tags=["old"], name="Once")
    run = start(id="allow", resume="allow", config={"more": 2})
    true(run.resumed, "the client does not see that it resumes")
    equal(run.starting_step, 3, "first step")
    equal(run.summary.get("x"), 2, "summary")
    for v in (3, 4):
        run.log({"x": v})
    run.finish()
    equal(xs("allow"), [(i, i) for i in range(5)])
    seen = remote("allow")
    equal((seen.config["lr"], seen.config["more"], seen.tags, seen.name, seen.state), (0.1, 2, ["old"], "Once", "finished"))


@capability("resume.must", "resume='must' of a run that is not there is refused")
def _():
    raises("must", lambda: start(id="never-was", resume="must"), "resume")
    run_of("must", [0])
    run_of("must", [1], resume="must")
    equal(xs("must"), [(0, 0), (1, 1)])


@capability("resume.never", "resume='never' of a run that is there is refused")
def _():
    run_of("never", [0], resume="never")
    raises("never", lambda: start(id="never", resume="never"), "resume")
    equal(xs("never"), [(0, 0)])


@capability("resume.auto", "resume='auto' takes up the run of a script that died")
def _():
    code = f"import os, wandb\nrun = wandb.init(project={PROJECT!r}, resume='auto')\nprint('id=' + run.id, 'resumed=' + str(run.resumed))\n"
    out = []
    for end in ("os._exit(1)", "run.finish()"):
        done = subprocess.run([sys.executable, "-c", code + f"run.log({{'x': 1}})\n{end}"], env=alone(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180)
        line = [part for part in done.stdout.split() if part.startswith(("id=", "resumed="))]
        out.append(line)
    equal(out[0][0], out[1][0], "run id")
    equal((out[0][1], out[1][1]), ("resumed=False", "resumed=True"))


@capability("resume.console", "a resumed run keeps the console of its first part")
def _():
    run = start(id="resume-console", resume="allow")
    print("printed by the first part")
    run.finish()
    run = start(id="resume-console", resume="allow")
    print("printed by the second part")
    run.finish()
    text = str(solera("/runs/resume-console/console"))
    true("the first part" in text and "the second part" in text, text[:400])


@capability("resume.overwrite", "a run id used again without resume goes on as the same run")
def _():
    run_of("again", [0, 1])
    run_of("again", [2])
    true(len(xs("again")) >= 1, "nothing is left")
    equal(remote("again").state, "finished")


@capability("resume.rewind", "resume_from: a run goes on from a step of its past")
def _():
    run_of("rewind", [0, 1, 2, 3, 4, 5])
    run = start(resume_from="rewind?_step=2")
    equal(run.id, "rewind")
    for v in (30, 40):
        run.log({"x": v})
    run.finish()
    equal(xs("rewind"), [(0, 0), (1, 1), (2, 2), (3, 30), (4, 40)])


@capability("resume.fork", "fork_from: a new run that begins where another was")
def _():
    run_of("parent", [0, 1, 2, 3, 4])
    run = start(id="child", fork_from="parent?_step=2")
    for v in (30, 40):
        run.log({"x": v})
    run.finish()
    equal(xs("child"), [(0, 0), (1, 1), (2, 2), (3, 30), (4, 40)])
    equal(xs("parent"), [(i, i) for i in range(5)])


@capability("resume.shared", "mode='shared': two processes write one run", seconds=120)
def _():
    code = """
import sys, time, wandb
name = sys.argv[1]
run = wandb.init(project=%r, id="shared", mode="shared",
    settings=wandb.Settings(x_label=name, x_primary=name == "first", x_update_finish_state=name == "first", x_file_stream_transmit_interval=1))
for i in range(20):
    run.log({name: i})
    time.sleep(0.1)  # so that both write at once
run.finish()
""" % PROJECT
    processes = []
    for name in ("first", "second"):
        processes.append(subprocess.Popen([sys.executable, "-c", code, name], env=alone(), stdout=sys.__stderr__, stderr=subprocess.STDOUT))
        if name == "first":
            eventually(lambda: remote("shared").state, "the shared run")
    for p in processes:
        equal(p.wait(timeout=200), 0, "exit code")
    rows = list(remote("shared").scan_history())
    equal([r["first"] for r in rows if r.get("first") is not None], list(range(20)))
    equal([r["second"] for r in rows if r.get("second") is not None], list(range(20)))
    steps = [r["_step"] for r in rows]
    equal(len(set(steps)), 40, "steps")
    summary = remote("shared").summary
    equal((summary["first"], summary["second"]), (19, 19))


main()
