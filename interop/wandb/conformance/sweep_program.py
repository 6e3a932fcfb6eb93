"""What the sweeps of this test train: a bowl with its lowest point at x=1, y=2."""

import argparse
import os
import time

import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, default=0)
parser.add_argument("--y", type=float, default=0)
parser.add_argument("--steps", type=int, default=1)
parser.add_argument("--pause", type=float, default=0)
arguments = parser.parse_args()

run = wandb.init(settings=wandb.Settings(x_file_stream_transmit_interval=1, x_disable_stats=True))
x, y = run.config.get("x", arguments.x), run.config.get("y", arguments.y)
for step in range(arguments.steps):
    run.log({"loss": (x - 1) ** 2 + (y - 2) ** 2 + 1 / (step + 1)})
    time.sleep(arguments.pause)
print(f"ran x={arguments.x} y={arguments.y}")
run.finish()
