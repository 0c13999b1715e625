# %% [markdown]
# # What did the shipped losses learn?
#
# `edl-base` was evolved to rank predictions by their wrongness, under certain and uncertain
# labels. `edl-robust` was evolved by training small networks on synthetic tasks, some of them with
# wrong labels, and its last settings were made by hand. It reads how training goes, so it is shown
# twice: *early*, before training, and *late*, where a network is sure of itself though 40 % of its
# labels are wrong. Both are looked at beside two hand-made losses: cross-entropy, and generalised
# cross-entropy (GCE; Zhang and Sabuncu, arXiv 1805.07836), made for noisy labels.

# %%
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from IPython.display import Image, Markdown

from edl_jax import plots
from edl_jax.config import MixtureConfig
from edl_jax.losses.base import every_label, log_softmax
from edl_jax.losses.context import at_stages
from edl_jax.losses.loading import resolve_loss
from edl_jax.objective.properties import PROPERTY_TITLES, measure_properties, profile_logits
from edl_jax.objective.ranking import rank_agreement, severities
from edl_jax.objective.synthetic import sample_pairs
from edl_jax.objective.terms import noisy_losses

# %matplotlib inline
plt.rcParams.update(plots.STYLE)

names = ("cross_entropy", "gce", "edl-base", "edl-robust")
losses = at_stages({name: resolve_loss(name) for name in names})

# %% [markdown]
# ## The gradient in the true logit
#
# The prediction goes from wrong to right; the other nine classes share what is left equally.


# %%
def drawn(draw, shown):
    """The picture that ``draw`` makes of some losses, kept in memory."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "picture.png"
        draw({name: losses[name] for name in shown}, path)
        return Image(path.read_bytes())


drawn(plots.loss_shape, losses)

# %% [markdown]
# `edl-base` lies close to cross-entropy, and so does `edl-robust` early. Late it pulls hardest in
# the middle, on undecided examples, and lets go of those that contradict what the network has
# become sure of. GCE does so too, but always: it is weak also where learning begins. At 0.1, the
# probability of each class before training, its gradient is a fifth of cross-entropy's.
#
# ## Three classes
#
# The whole loss over the triangle of three-class predictions, the true class at the lower left.
# Straight contours mean that only the true class's probability counts; where they bend, it also
# matters how the rest is shared.

# %%
drawn(plots.simplex, ("edl-robust, early", "edl-robust, late"))

# %% [markdown]
# ## Where the label is uncertain
#
# Say that an input truly belongs to class 0 with probability 0.7 and else to any other. Which
# prediction gives the lowest expected loss (the dots)? For a proper loss it is 0.7.

# %%
logit = jnp.linspace(-3.0, 8.0, 300)
p = jax.nn.sigmoid(logit)
q = jnp.array([0.7] + [0.3 / 9] * 9)
figure, axes = plt.subplots(figsize=(5.5, 3.4))
for name, loss in losses.items():
    expected = jax.jit(partial(every_label, loss))(profile_logits(p)) @ q
    lowest = int(jnp.argmin(expected))
    style = {"color": "0.35", "linestyle": "--"} if name == "cross_entropy" else {}
    (line,) = axes.plot(p, expected - expected[lowest], label=name, **style)
    axes.plot(p[lowest], 0, "o", color=line.get_color(), clip_on=False)
axes.axvline(0.7, color="0.7", linewidth=0.8)
axes.set(
    xlabel="probability given to class 0", ylabel="expected loss, less its lowest", ylim=(0, 2)
)
axes.legend()
plt.show()

# %% [markdown]
# ## Where labels are wrong
#
# 40 % of the labels are replaced by a random class. Does the loss, in expectation over the label
# it is given, still order predictions by how wrong they are about the true one? Both rows are
# shares of the pairs of predictions that it orders wrongly.

# %%
pairs = sample_pairs(jax.random.key(0), MixtureConfig(), 1024, 10)
agreement = jax.jit(rank_agreement)
by_label = [jax.jit(partial(every_label, loss))(pairs.logits) for loss in losses.values()]
(severity,) = severities(log_softmax(pairs.logits), pairs.labels)
table = ["| pairs ordered wrongly | " + " | ".join(losses) + " |", "|---" * (1 + len(losses)) + "|"]
for rate in (0.0, 0.4):
    noisy = [noisy_losses(values, pairs.labels, rate) for values in by_label]
    wrong = [agreement(values, severity) for values in noisy]
    cells = " | ".join(f"{row.discordance:.1%}" for row in wrong)
    table.append(f"| label noise {rate:.0%} | {cells} |")
Markdown("\n".join(table))

# %% [markdown]
# ## Everything that is measured
#
# `python -m edl_jax.analyze` prints the same table; `edl_jax.objective.properties.Properties` says
# what each row means.

# %%
measured = [measure_properties(loss) for loss in losses.values()]
table = ["| property | " + " | ".join(losses) + " |", "|---" * (1 + len(losses)) + "|"]
for field, title in PROPERTY_TITLES.items():
    values = [getattr(row, field) for row in measured]
    cells = " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values)
    table.append(f"| {title} | {cells} |")
Markdown("\n".join(table))

# %% [markdown]
# ## The answer
#
# `edl-base` found nearly cross-entropy, knowing nothing but how predictions rank under certain
# and uncertain labels: it is proper to within a hundredth, and like cross-entropy it loses its
# order when labels are flipped. It is not quite the same: it pulls less at what is badly wrong,
# and still pulls where the true class has 0.999.
#
# `edl-robust` makes the trade that hand-made robust losses make, but only where it pays. Early it
# is nearly proper and loses its order under flipped labels, as cross-entropy does. Late its sum
# over the labels is more nearly constant (symmetry gap), and flipped labels disturb its order less;
# the price is properness: it calls for certainty where the truth is uncertain, and goes on pulling
# at what is right already. GCE keeps the order better still, at any time. Whether the trade pays is
# a question of training: [train_with_it](train_with_it.ipynb).
