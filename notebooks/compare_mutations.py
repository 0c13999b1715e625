# %% [markdown]
# # Is chaotic mutation better than Gaussian mutation?
#
# Xiang and Pei (arXiv 2605.03722) let a chaotic map mutate the loss networks and report faster
# convergence. Nothing is run here: this reads the committed results of `python -m
# benchmarks.mutation_strategies`, whatever problems they hold by now.

# %%
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import PIL.Image
from IPython.display import Image, Markdown

from benchmarks.common.results_file import committed
from benchmarks.mutation_strategies.plot import draw_ecdf, draw_intervals
from benchmarks.mutation_strategies.summary import ratio_to, shortened, summarise
from benchmarks.mutation_strategies.table import markdown

# %% [markdown]
# ## What was measured
#
# Every search has the same number of evaluations and every operator its own step size, chosen on
# seeds that are not used again. Searches with the same seed share first weights, batches and
# held-out pairs, so operators are compared seed by seed. The target is what tuned Gaussian
# mutation reaches after half of its generations.

# %%
lines = summarise(committed("mutation_strategies")["rows"])
problems = list(dict.fromkeys(line["problem"] for line in lines))
for problem in problems:
    members = [line for line in lines if line["problem"] == problem]
    print(f"{problem}: {len(members)} operators, {members[0]['num_seeds']} seeds each")

# %% [markdown]
# Of each problem: the Gaussian, chaos where the paper puts it (*direction*), and the fastest
# other chaotic operator. *Ratio* is that of the generations until the target is reached; below 1
# is faster. Being the fastest of many is luck in part, so the last line of a problem flatters
# chaos. All operators, and what each column is, are in
# [docs/mutation_strategies.md](../docs/mutation_strategies.md).

# %%
Markdown(markdown(shortened(lines)))

# %% [markdown]
# ## All operators
#
# Ratio of generations to target, with 95 % intervals from resampled seeds. Grey are the controls,
# which have a map's law without its order, and what mutates with a Gaussian.


# %%
def drawn(draw, lines):
    """The picture that ``draw`` makes of the lines, in few colours, which keeps it small."""
    small = BytesIO()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "picture.png"
        draw(lines, path)
        PIL.Image.open(path).convert("RGB").quantize(16).save(small, "PNG", optimize=True)
    return Image(small.getvalue())


drawn(draw_intervals, lines)

# %% [markdown]
# The share of runs that have reached the target by which generation:

# %%
drawn(draw_ecdf, lines)

# %% [markdown]
# ## Is it the order?
#
# An operator can differ from the Gaussian by its law, or by the order in which its values follow
# each other, and only the order is chaos. So each chaotic operator is set against the same
# operator with independent draws from the same law.

# %%
by_name = {(line["problem"], line["name"]): line for line in lines}
controls = {key: by_name.get((key[0], f"{key[1]}, iid")) for key in by_name}
orders = [
    by_name[key] | ratio_to(control, by_name[key]) for key, control in controls.items() if control
]
drawn(partial(draw_intervals, relative_to="its independent draws"), orders)

# %% [markdown]
# ## The answer
#
# Counted over all problems in the file. Faster and slower are those whose whole interval lies
# below or above 1. That happens by chance too, each way to about one in forty operators that
# change nothing.

# %%
no_chaos = ("Gaussian", "gradient", "iid", "shuffled")
chaotic = [
    line for line in lines if "ratio" in line and not any(word in line["name"] for word in no_chaos)
]
for question, members in (
    ("chaotic operators against Gaussian mutation", chaotic),
    ("chaotic order against independent draws", orders),
):
    low, high = np.array([line["ratio_interval"] for line in members]).T
    faster, slower, undecided = sum(high < 1), sum(low > 1), sum((low <= 1) & (high >= 1))
    print(f"{question}: {faster} faster, {slower} slower, {undecided} undecided")
    print(f"    by chance each way: about {len(members) / 40:.1f}")
    print(f"    half of an interval, in the median: a factor of {np.median(high / low) ** 0.5:.2f}")

# %% [markdown]
# Chaos has to be faster in the first line to be worth using, and in the second to deserve its
# name. In the first line *faster* counts more than chance explains: random step sizes help on some
# BBOB functions, and chaotic evolution on the loss network `deepset`. In the second it does not: a
# chaotic order is not told apart from independent draws of the same law. On the other problems more
# operators are slower than faster. Gaussian mutation stays the default. Undecided is not equal: a
# difference much smaller than the factor of half an interval cannot be seen with this many seeds.
