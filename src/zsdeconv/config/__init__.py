"""The configuration of a run: its sections (`sections`), and the tree they make (`tree`)."""

from zsdeconv.config.sections import (
    InputSection,
    LossSection,
    NetworkSection,
    OpticsSection,
    PairsSection,
    PredictionSection,
    SimSection,
    TrainingSection,
)
from zsdeconv.config.tree import (
    PRESETS,
    RENAMED,
    SETTINGS,
    Config,
    as_settings,
    read_config,
    resolve,
    specialised,
    to_yaml,
    with_new_names,
)

__all__ = [
    "PRESETS",
    "RENAMED",
    "SETTINGS",
    "Config",
    "InputSection",
    "LossSection",
    "NetworkSection",
    "OpticsSection",
    "PairsSection",
    "PredictionSection",
    "SimSection",
    "TrainingSection",
    "as_settings",
    "read_config",
    "resolve",
    "specialised",
    "to_yaml",
    "with_new_names",
]
