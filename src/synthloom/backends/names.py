"""What methods and their parameters are called by us, by the systems before us, and by each backend.

Names that mean the same in all packages stand in `methods/synonyms.py` (`epochs`, `num_epochs` and `n_iter`, say). Here
stands what is a plugin's own: names that mean several of its parameters, and names it has no counterpart for. Whatever
this page says, a parameter is taken only if the installed plugin reports that it has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plugin:
    """A backend's plugin that this package knows something about.

    Attributes:
        title: Its name for people.
        summary: What it does, a sentence.
        aliases: Names of ours, or of the systems before us, that mean it.
        meanings: Names of parameters → the plugin's own, all of which take the value.
        lacks: Names of parameters that it has no counterpart for → why.
        claim: Why the privacy that its maker states is no guarantee; empty: nothing is stated.
        choosable: Whether `auto` may take it when this backend is the one to choose from.
    """

    title: str
    summary: str
    aliases: tuple[str, ...] = ()
    meanings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    claim: str = ""
    choosable: bool = False


_BOTH_NETS = {
    "generator_lr": ("lr",), "discriminator_lr": ("lr",),
    "width": ("generator_n_units_hidden", "discriminator_n_units_hidden"),
    "hidden_dim": ("generator_n_units_hidden", "discriminator_n_units_hidden"),
    "depth": ("generator_n_layers_hidden", "discriminator_n_layers_hidden"),
    "dropout": ("generator_dropout", "discriminator_dropout"),
}
_BOTH_RATES = {
    "lr": ("generator_lr", "discriminator_lr"), "learning_rate": ("generator_lr", "discriminator_lr"),
    "weight_decay": ("generator_weight_decay", "discriminator_weight_decay"),
}
_BOTH_CODERS = {
    "width": ("encoder_n_units_hidden", "decoder_n_units_hidden"),
    "hidden_dim": ("encoder_n_units_hidden", "decoder_n_units_hidden"),
    "depth": ("encoder_n_layers_hidden", "decoder_n_layers_hidden"),
    "dropout": ("encoder_dropout", "decoder_dropout"),
}
_NOISE = {
    "embedding_dim": "its noise has as many dimensions as generator_n_units_hidden",
    "pac": "its critic judges one row at a time",
    "generator_dim": "its layers are all alike: give generator_n_units_hidden and generator_n_layers_hidden",
    "discriminator_dim": "its layers are all alike: give discriminator_n_units_hidden and "
    "discriminator_n_layers_hidden",
}
_LAYERS = {
    "compress_dims": "its layers are all alike: give encoder_n_units_hidden and encoder_n_layers_hidden",
    "decompress_dims": "its layers are all alike: give decoder_n_units_hidden and decoder_n_layers_hidden",
}
_SEQUENCES = "Needs a sequence key, and draws whole sequences."
_SURVIVAL = "Needs the time and the event column of survival data."

SYNTHCITY: Mapping[str, Plugin] = {
    "ctgan": Plugin(
        "CTGAN", "Conditional GAN on modes of numbers.", meanings=_BOTH_NETS, lacks=_NOISE, choosable=True,
    ),
    "tvae": Plugin(
        "TVAE", "Variational autoencoder on modes of numbers.", meanings=_BOTH_CODERS, lacks=_LAYERS, choosable=True,
    ),
    "ddpm": Plugin("TabDDPM", "Gaussian and multinomial diffusion.", ("tabddpm", "tab_ddpm"), choosable=True),
    "arf": Plugin(
        "Adversarial random forests", "Trees that learn to tell real rows from shuffled ones.",
        meanings={"n_trees": ("num_trees",), "n_estimators": ("num_trees",)}, choosable=True,
    ),
    "bayesian_network": Plugin(
        "Bayesian network", "A graph of columns, each drawn given its parents.", ("bn",), choosable=True,
    ),
    "nflow": Plugin("Normalizing flow", "Invertible maps from noise to rows.", choosable=True),
    "rtvae": Plugin(
        "Robust TVAE", "TVAE with a divergence that outliers move less.", meanings=_BOTH_CODERS, lacks=_LAYERS,
        choosable=True,
    ),
    "great": Plugin("GReaT", "A language model writes rows; it wants to download one, which its interpreter may not."),
    "goggle": Plugin("GOGGLE", "A graph network over columns.", meanings={"lr": ("learning_rate",)}),
    "adsgan": Plugin(
        "ADS-GAN", "GAN with a penalty on rows close to real ones.", meanings=_BOTH_NETS, lacks=_NOISE, choosable=True,
    ),
    "dpgan": Plugin(
        "DPGAN", "GAN whose critic trains with noisy gradients.", meanings=_BOTH_NETS, lacks=_NOISE,
        claim="SynthCity states an epsilon for the critic's noisy gradients alone; its generator also trains on real "
        "rows, and what is learnt of the columns beforehand (ranges, modes, labels) is not charged.",
    ),
    "pategan": Plugin(
        "PATE-GAN", "GAN taught by votes of teachers on parts of the rows.", meanings=_BOTH_NETS, lacks=_NOISE,
        claim="SynthCity states an epsilon for the teachers' votes; its student also trains on real rows, the delta "
        "given is discarded, and public audits of PATE-GANs found several times the stated epsilon "
        "(arXiv 2406.13985).",
    ),
    "privbayes": Plugin(
        "PrivBayes", "Bayesian network with noisy tables.",
        claim="SynthCity states an epsilon, but its noise is smaller than PrivBayes calls for by a factor of the "
        "number of rows, and ranges and labels are not charged.",
    ),
    "aim": Plugin(
        "AIM", "Noisy marginals, the most useful ones first.",
        claim="SynthCity states an epsilon for one release, but spends it afresh each time rows are drawn, and ranges "
        "and labels are not charged.",
    ),
    "decaf": Plugin("DECAF", "GAN along a causal graph.", meanings=_BOTH_NETS, lacks=_NOISE),
    "survival_gan": Plugin("SurvivalGAN", _SURVIVAL), "survival_ctgan": Plugin("Survival CTGAN", _SURVIVAL),
    "survae": Plugin("Survival VAE", _SURVIVAL), "survival_nflow": Plugin("Survival flow", _SURVIVAL),
    "timegan": Plugin(
        "TimeGAN", f"GAN of sequences. {_SEQUENCES}", ("time_gan",), meanings=_BOTH_NETS | _BOTH_RATES,
        lacks={"pac": _NOISE["pac"]},
    ),
    "timevae": Plugin(
        "TimeVAE", f"Variational autoencoder of sequences. {_SEQUENCES}", ("time_vae",), meanings=_BOTH_CODERS,
    ),
    "fflows": Plugin("Fourier flows", f"Invertible maps of sequences' spectra. {_SEQUENCES}", ("fourier_flows",)),
    "radialgan": Plugin(
        "RadialGAN", "GAN of rows from several sources. Needs a column that names each row's: parameter domain.",
    ),
    "marginal_distributions": Plugin("Marginals", "Each column on its own."),
    "uniform_sampler": Plugin("Uniform", "Each column evenly over its range."),
    "dummy_sampler": Plugin("Dummy", "Rows of the table itself, for trying out code: it protects nobody."),
}
"""SynthCity's plugins for tables, installed or not."""

_SDV_NETS = {
    "lr": ("generator_lr", "discriminator_lr"), "learning_rate": ("generator_lr", "discriminator_lr"),
    "weight_decay": ("generator_decay", "discriminator_decay"),
}
_SDV_WIDTH = {"width": "its layers are lists of widths: give generator_dim and discriminator_dim, such as [256, 256]"}

SDV: Mapping[str, Plugin] = {
    "gaussian_copula": Plugin(
        "Gaussian copula", "Marginal distributions joined by correlations.", ("gc", "gaussiancopula"), choosable=True,
    ),
    "ctgan": Plugin(
        "CTGAN", "Conditional GAN on modes of numbers.", meanings=_SDV_NETS, lacks=_SDV_WIDTH, choosable=True,
    ),
    "tvae": Plugin(
        "TVAE", "Variational autoencoder on modes of numbers.", lacks={
            "learning_rate": "SDV trains it at a fixed rate", "lr": "SDV trains it at a fixed rate",
            "width": "its layers are lists of widths: give compress_dims and decompress_dims, such as [128, 128]",
        }, choosable=True,
    ),
    "copulagan": Plugin(
        "CopulaGAN", "CTGAN on columns made normal by their marginals.", ("copula_gan",), meanings=_SDV_NETS,
        lacks=_SDV_WIDTH, choosable=True,
    ),
    "par": Plugin("PAR", f"Autoregressive net, row after row of a sequence. {_SEQUENCES}", ("parsynthesizer",)),
}
"""SDV's synthesizers of one table."""

PLUGINS: Mapping[str, Mapping[str, Plugin]] = {"synthcity": SYNTHCITY, "sdv": SDV}

OURS = frozenset({
    "random_state", "seed", "workspace", "device", "cuda", "enable_gpu", "encoder", "dataloader_sampler", "strict",
    "patience_metric", "validation_metric", "sampling_strategy", "callbacks", "metadata", "locales", "verbose",
    "generator_loss", "discriminator_loss", "graph_prior", "prior_mask", "kwargs",
})
"""Parameters of plugins that this package sets itself or that no JSON value can be."""

ASKED_OTHERWISE: Mapping[str, str] = {
    "random_state": "the run's seed sets it", "seed": "the run's seed sets it",
    "cuda": "give device: cuda or cpu", "enable_gpu": "give device: cuda or cpu", "use_gpu": "give device: cuda or cpu",
    "workspace": "its files stay in a private folder", "verbose": "its progress is shown anyway",
}
"""Parameters of other packages that are asked for in another way here → how."""

UNSERVED: Mapping[str, str] = {
    "time_series_survival": "it learns survival times of sequences, and a table has one or the other",
    "images": "it learns pictures",
}
"""Kinds of plugins that load but that a table of this package cannot be given to → why."""


def plugin_of(backend: str, name: str) -> str:
    """A backend's own name for a method of any name; the name itself where nothing is known."""
    known = PLUGINS.get(backend, {})
    if name in known:
        return name
    return next((own for own, plugin in known.items() if name in plugin.aliases), name)
