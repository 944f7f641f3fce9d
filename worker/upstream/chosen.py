"""The provider that this service buys from: the one place that names it."""

from worker.upstream.modelslab.provider import ModelsLab
from worker.upstream.provider import Provider

PROVIDER: Provider = ModelsLab()
