"""Names that one and the same parameter has had in the packages of this field, and what each method calls it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from synthloom.domain.errors import ParamsError

GROUPS: Mapping[str, tuple[str, ...]] = {
    "passes over the rows": (
        "epochs", "num_epochs", "n_epochs", "max_epochs", "n_iter", "num_iterations", "iterations",
    ),
    "rows per step": ("batch_size", "batchsize", "batch"),
    "learning rate": ("learning_rate", "lr"),
    "size of the noise or of the latent space": (
        "embedding_dim", "latent_dim", "noise_dim", "noise", "latent", "n_units_embedding",
    ),
    "units of a hidden layer": ("width", "hidden_dim", "n_units_hidden"),
    "hidden layers": ("depth", "n_layers_hidden", "num_layers", "n_layers"),
    "steps of noise": ("num_timesteps", "timesteps", "n_timesteps"),
    "modes of a column of numbers": (
        "max_modes", "max_clusters", "encoder_max_clusters", "data_encoder_max_clusters",
    ),
    "rows judged together": ("pac", "pack"),
    "critic's steps": ("discriminator_steps", "discriminator_n_iter"),
    "units left out": ("dropout", "dropout_rate"),
    "weight decay": ("weight_decay", "l2scale"),
    "weight of the reconstruction": ("loss_factor",),
    "teachers": ("n_teachers", "num_teachers"),
    "bound on gradients": ("max_grad_norm", "dp_max_grad_norm", "clip_norm"),
    "privacy budget": ("epsilon", "dp_epsilon", "eps_budget"),
    "failure probability": ("delta", "dp_delta"),
    "a GPU or none": ("enable_gpu", "cuda", "use_gpu"),
}
"""What a parameter is → all its names. A method has at most one of them, or says itself what a name means to it."""


def own_values(
    values: Mapping[str, Any], accepted: Collection[str], meanings: Mapping[str, tuple[str, ...]], where: str
) -> dict[str, Any]:
    """Parameter values under a method's own names; names that nobody knows stay as they are.

    Args:
        values: Values by any name.
        accepted: The method's own names.
        meanings: What further names mean to this method: own names, all of which take the value.
        where: Whom it concerns, for messages.

    Raises:
        ParamsError: the same parameter is given twice, under two names.
    """
    own: dict[str, Any] = {}
    given: dict[str, str] = {}
    for name, value in values.items():
        for target in own_names(name, accepted, meanings) or (name,):
            if target in given:
                raise ParamsError(
                    f"{given[target]!r} and {name!r} are the same parameter, {target!r}.", where=where,
                    do="Give it once.",
                )
            given[target], own[target] = name, value
    return own


def own_names(
    name: str, accepted: Collection[str], meanings: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """What a method calls a parameter of any name; empty where it has none like it."""
    if name in accepted:
        return (name,)
    if name in meanings:
        return tuple(n for n in meanings[name] if n in accepted)
    group = next((names for names in GROUPS.values() if name in names), ())
    found = [n for n in group if n in accepted]
    return tuple(found) if len(found) == 1 else ()


def all_names(accepted: Collection[str], meanings: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Every name that means something to a method, its own first, and which of its own names it stands for."""
    further = [name for names in GROUPS.values() for name in names]
    found = {name: own_names(name, accepted, meanings) for name in [*accepted, *meanings, *further]}
    return {name: own for name, own in found.items() if own}
