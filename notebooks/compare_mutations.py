# %% [markdown]
# # Is chaotic mutation better than Gaussian mutation?
#
# Xiang and Pei (arXiv 2605.03722) let a chaotic map mutate the loss networks and report faster
# convergence. Nothing is run here: this reads the committed results of `python -m
# benchmarks.mutation_strategies`, whatever problems they hold by now.

# %%
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from IPython.display import Image, Markdown

from benchmarks.mutation_strategies import log_generations
from benchmarks.mutation_table import draw_ecdf, draw_intervals, markdown, shortened, summarise
from benchmarks.results_file import RESULTS

# %% [markdown]
# ## What was measured
#
# Every search has the same number of evaluations and every operator its own step size, chosen on
# seeds that are not used again. Searches with the same seed share first weights, batches and
# held-out pairs, so operators are compared seed by seed. The target is what tuned Gaussian
# mutation reaches after half of its generations.

# %%
rows = json.loads((RESULTS / "mutation_strategies.json").read_text())["rows"]
lines = summarise(rows)
problems = list(dict.fromkeys(line["problem"] for line in lines))
for problem in problems:
    members = [line for line in lines if line["problem"] == problem]
    print(f"{problem}: {len(members)} operators, {members[0]['num_seeds']} seeds each")

# %% [markdown]
# Of each problem: the Gaussian, chaos where the paper puts it (*direction*), and the fastest
# other chaotic operator. *Ratio* is that of the generations until the target is reached; below 1
# is faster. Being the fastest of many is luck in part, so the last line of a problem flatters
# chaos. All operators are in `docs/mutation_strategies.md`.

# %%
Markdown(markdown(shortened(lines)))

# %% [markdown]
# ## All operators
#
# Ratio of generations to target, with 95 % intervals from resampled seeds; grey are the controls,
# which have a map's law without its order, or no map.


# %%
def drawn(draw):
    """The picture that ``draw`` makes of the lines, kept in memory."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "picture.png"
        draw(lines, path)
        return Image(path.read_bytes())


drawn(draw_intervals)

# %% [markdown]
# The share of runs that have reached the target by which generation:

# %%
drawn(draw_ecdf)

# %% [markdown]
# ## Is it the order?
#
# An operator can differ from the Gaussian by its law, or by the order in which its values follow
# each other, and only the order is chaos. So each chaotic operator is set against the same
# operator with independent draws from the same law.


# %%
def ratio_to_control(chaotic, control):
    """Ratio of generations to target, chaotic to control, with its 95 % interval."""
    faster = log_generations(chaotic["reached"], chaotic["num_generations"])
    faster = faster - log_generations(control["reached"], control["num_generations"])
    draws = np.random.default_rng(0).integers(0, len(faster), (10_000, len(faster)))
    low, high = np.exp(np.quantile(faster[draws].mean(axis=1), [0.025, 0.975]))
    return np.exp(faster.mean()), low, high


table = ["| problem | operator | ratio to its independent draws |", "|---|---|---|"]
orders = []
by_name = {(line["problem"], line["name"]): line for line in lines}
for (problem, name), line in by_name.items():
    control = by_name.get((problem, f"{name}, iid"))
    if control:
        orders.append(ratio_to_control(line, control))
        ratio, low, high = orders[-1]
        table.append(f"| {problem} | {name} | {ratio:.2f} [{low:.2f}, {high:.2f}] |")
Markdown("\n".join(table))

# %% [markdown]
# ## The answer
#
# Counted over all problems in the file. Faster and slower are those whose whole interval lies
# below or above 1. That alone happens by chance, each way, to about one in forty operators that
# change nothing.

# %%
controls = ("Gaussian", "iid", "shuffled")
intervals = [
    line["ratio_interval"]
    for line in lines
    if "ratio" in line and not any(word in line["name"] for word in controls)
]
for question, of in (
    ("chaotic operators against Gaussian mutation", intervals),
    ("chaotic order against independent draws", [(low, high) for _, low, high in orders]),
):
    faster = sum(high < 1 for _, high in of)
    slower = sum(low > 1 for low, _ in of)
    print(f"{question}: {faster} faster, {slower} slower, {len(of) - faster - slower} undecided")

# %% [markdown]
# Chaos has to be faster in the first line to be worth using, and in the second line to deserve
# its name. As long as *faster* counts no more than chance explains, the answer is no, and
# Gaussian mutation stays the default. Undecided is not equal: with this many seeds a difference
# of some ten per cent would not be seen.
