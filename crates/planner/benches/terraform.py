#!/usr/bin/env python3
"""Plans as many nodes and edges with Terraform as a fleet of refit has actions and orders.

`python3 crates/planner/benches/terraform.py [NODES]`, with Terraform in PATH. Terraform plans
`terraform_data` resources, which reach no provider: what is measured is its graph, and nothing else.
refit plans and verifies distinct clusters, as `cargo bench -p refit-planner --bench fleets` does.
Both run on one core, one after the other. Not part of CI.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHAIN = 20  # so many actions has a cluster of the generated fleets
ROOT = Path(__file__).resolve().parents[3]


def on_one_core(command: list[str], directory: Path) -> tuple[float, str]:
    """Runs a command on one core; the seconds that it took, and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(
        command,
        cwd=directory,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, {0}),
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return time.monotonic() - begun, done.stdout


def resources(nodes: int) -> str:
    """Chains of resources: in a chain each waits for the one before, and names it."""
    blocks = []
    for node in range(nodes):
        waits = f"  input = terraform_data.n{node - 1}.id\n" if node % CHAIN else '  input = "x"\n'
        blocks.append(f'resource "terraform_data" "n{node}" {{\n{waits}}}\n')
    return "".join(blocks)


def main() -> None:
    if shutil.which("terraform") is None:
        sys.exit("terraform is missing: install it from https://developer.hashicorp.com/terraform")
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    clusters = nodes // CHAIN
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "main.tf").write_text(resources(nodes))
        on_one_core(["terraform", "init", "-input=false"], directory)
        plan = ["terraform", "plan", "-input=false", "-out=plan"]
        theirs, _ = on_one_core(plan, directory)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1000
    bench = ["cargo", "bench", "--quiet", "-p", "refit-planner", "--bench", "fleets", "--"]
    subprocess.run([*bench, "1", "1"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    _, printed = on_one_core([*bench, str(clusters), str(clusters)], ROOT)
    row = [cell.strip() for cell in printed.strip().splitlines()[-1].strip("|").split("|")]
    actions, ours, own_memory = int(row[2]), float(row[5].split()[0]) / 1000, row[8]
    print("| Tool | Nodes | Time | Memory |")
    print("|---|---:|---:|---:|")
    print(f"| terraform plan | {nodes} | {theirs:.2f} s | {memory} MB |")
    print(f"| refit: plan and verify | {actions} | {ours:.2f} s | {own_memory} |")
    print(f"\nrefit is {theirs / nodes / (ours / actions):.0f} times as fast for each node.")


if __name__ == "__main__":
    main()
