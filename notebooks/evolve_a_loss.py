# %% [markdown]
# # What does the search do?
#
# A loss is evolved from random weights, without data, and looked at on its way: how fast it
# learns to rank predictions by their wrongness, and what its gradient looks like after 0, 5, 10,
# 50 and 300 generations.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree

import edl_jax
from edl_jax import plots
from edl_jax.losses.learned import make_learned_loss
from edl_jax.losses.networks import NetworkSpec
from edl_jax.objective.properties import loss_profile
from edl_jax.objective.ranking import held_out

# %matplotlib inline
plt.rcParams.update(plots.STYLE)

# %% [markdown]
# ## The search
#
# A candidate is the weights of a small network that reads a prediction and a label. In each
# generation 32 candidates are judged on the same 256 synthetic pairs of prediction and label. Two
# things are asked of a candidate, equally weighted: that under the true label the more wrong of
# two predictions gets the larger loss (`clean_ranking`), and that the same holds in expectation
# where the label is uncertain (`proper_ranking`).

# %%
config = edl_jax.EvolutionConfig(population_size=32, batch_size=256, num_generations=300)
evolution = edl_jax.make_evolution(config)
state = evolution.init(jax.random.key(0))
sum(leaf.size for leaf in jax.tree.leaves(evolution.params(state)))  # weights of a candidate

# %% [markdown]
# A chunk of five generations is one compiled program. Between chunks we keep the loss that the
# search stands for, the mean of its distribution, and measure it on pairs that the search does
# not see: the share that it puts in the wrong order. (Its lowest fitness so far would not do.
# Each fitness is measured on a batch of its own, so the lowest is the luckiest.)


# %%
@jax.jit
def discordance(params):
    def loss(*pair):
        return evolution.network.apply(params, *pair)

    return held_out(loss, jax.random.key(1), config, num_pairs=1024).discordance


snapshots = {0: evolution.params(state)}
infos, step_sizes = [], [float(state.strategy.step_size)]
for generation in range(5, 301, 5):
    state, info = evolution.run(state, 5)
    infos.append(info)
    step_sizes.append(float(state.strategy.step_size))
    snapshots[generation] = evolution.params(state)

info = jax.tree.map(lambda *chunks: np.concatenate(chunks), *infos)
held_out_share = {number: float(discordance(params)) for number, params in snapshots.items()}
{number: f"{held_out_share[number]:.2%}" for number in (0, 5, 10, 50, 300)}

# %% [markdown]
# ## Convergence

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2))
generations = np.arange(1, 301)
left.plot(generations, info.mean_fitness, linewidth=1, label="population mean")
left.plot(generations, info.best_fitness, linewidth=1, label="best")
left.set(xlabel="generation", ylabel="fitness", yscale="log")
left.legend()
right.plot(held_out_share.keys(), [100 * share for share in held_out_share.values()], marker=".")
right.set(xlabel="generation", ylabel="held-out discordant pairs (%)", yscale="log")
plt.show()

# %% [markdown]
# Left, the two terms of the best candidate, averaged over five generations. Right, how far the
# mean moves in that time: as far as the step size, which the schedule prescribes, allows.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2))
ends = list(snapshots)[1:]
for name in ("clean_ranking", "proper_ranking"):
    left.plot(ends, info.terms[name].reshape(-1, 5).mean(axis=1), label=name.replace("_", " "))
left.set(xlabel="generation", ylabel="term of the best candidate", yscale="log")
left.legend()
flat = np.stack([ravel_pytree(params)[0] for params in snapshots.values()])
right.plot(ends, np.linalg.norm(np.diff(flat, axis=0), axis=1), label="moved in five generations")
right.plot([0, *ends], step_sizes, label="step size")
right.set(xlabel="generation", ylabel="distance in weight space", yscale="log")
right.legend()
plt.show()

# %% [markdown]
# ## The gradient on its way
#
# What training feels of a loss is its gradient in the logits. Ranking does not fix the scale, so
# each snapshot is divided by its own spread over the curve and multiplied by cross-entropy's.

# %%
logit = jnp.linspace(-8.0, 8.0, 300)
p_y = jax.nn.sigmoid(logit)


@jax.jit
def profile(params):
    return loss_profile(lambda *pair: evolution.network.apply(params, *pair), p_y)


reference, reference_gradient = loss_profile(edl_jax.LOSSES["cross_entropy"], p_y)
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2))
for i, number in enumerate((0, 5, 10, 50, 300)):
    values, gradients = profile(snapshots[number])
    scale = jnp.std(reference) / jnp.std(values)
    style = {"color": plt.cm.viridis(0.9 - 0.22 * i), "label": f"generation {number}"}
    left.plot(logit, scale * (values - values[-1]), **style)
    right.plot(logit, scale * gradients, **style)
left.plot(logit, reference - reference[-1], **plots.REFERENCE)
right.plot(logit, reference_gradient, **plots.REFERENCE)
ticks = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
for axes in (left, right):
    axes.set_xticks(np.log(ticks / (1 - ticks)), [f"{tick:g}" for tick in ticks], fontsize=8)
    axes.set_xlabel("probability of the true class")
left.set_ylabel("loss, less its value at the right end")
right.set_ylabel("gradient in the true logit")
left.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## The answer
#
# Frozen, and its scale fixed by matching cross-entropy's descent, the last mean is a loss. Its
# gradient in the true logit, beside cross-entropy's:

# %%
spec = NetworkSpec(config.network, config.width, config.num_classes)
loss = make_learned_loss(spec, evolution.params(state))
points = [0.001, 0.1, 0.5, 0.9, 0.999]
print("p_y           ", *(f"{point:7}" for point in points))
for name, of in (("evolved", loss), ("cross-entropy", edl_jax.LOSSES["cross_entropy"])):
    print(f"{name:14}", *(f"{gradient:7.3f}" for gradient in loss_profile(of, points)[1]))

# %% [markdown]
# The search does its coarse work in the first ten or so generations: random weights order about
# half of the pairs wrongly and may even push the true class down; soon only one pair in a hundred
# is wrong and the gradient has the shape of cross-entropy's. The remaining generations, with ever
# smaller steps, remove part of what is left. They lower the discordance only on the whole, for
# each generation is judged on other pairs, and ranking leaves some freedom: the curve wobbles
# about cross-entropy's also at the end. That it arrives near cross-entropy is the work of
# `proper_ranking`; the notebook [write_your_own](write_your_own.ipynb) asks for something else.
