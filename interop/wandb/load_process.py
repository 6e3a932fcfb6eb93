"""One of many processes that log at once: load_process.py RUN STEPS METRICS"""

import sys
import time

import wandb

run_id, steps, metrics = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
run = wandb.init(id=run_id, settings=wandb.Settings(x_disable_stats=True, console="off", init_timeout=300))
begin = time.monotonic()
for step in range(steps):
    run.log({f"m{i:02}": step + i / 100 for i in range(metrics)})
run.finish()
print(f"{time.monotonic() - begin:.2f}")
