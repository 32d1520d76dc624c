"""What one can ask of a running session: one union for page, REST, command line and MCP alike."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from bitlm.errors import ConfigError
from bitlm.growth import GrowthSchedule
from bitlm.training import Lambdas

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""A number from 0 to 1."""

AlertAction = Literal["notify", "pause", "anneal", "rollback"]
"""What an alert leads to: no more; a pause; a learning rate that falls; a branch from the state before."""


class TelemetrySettings(BaseModel):
    """The weights of the objective's terms and the floors of the gate.

    Attributes:
        lambda_K: Reward for negentropy (sharper predictions).
        lambda_C: Reward for expected complexity (leaving phrases that occur before).
        lambda_S: Reward for expected symbiosis (towards the reference model).
        c_floor: Below this C the gate refuses a sample.
        s_floor: Below this S the gate refuses a sample.
        causal_share: Of a mixed run's windows, those that are causal: at 1 nothing is denoised, at 0 all is.
            None for other runs, which are written without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lambda_K: Share = 0.0
    lambda_C: Share = 0.0
    lambda_S: Share = 0.0
    c_floor: Share = 0.3
    s_floor: Share = 0.5
    causal_share: Share | None = None

    @model_serializer(mode="wrap")
    def _written(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}

    @property
    def lambdas(self) -> Lambdas:
        """The weights alone, as the objective takes them."""
        return Lambdas(K=self.lambda_K, C=self.lambda_C, S=self.lambda_S)

    def differences(self, new: "TelemetrySettings") -> list[dict[str, Any]]:
        """Return field, old and new value of each setting that differs."""
        return [
            {"field": field, "old": old, "new": getattr(new, field)}
            for field, old in vars(self).items()
            if old != getattr(new, field)
        ]


class SetTelemetry(BaseModel):
    """Change any of the telemetry settings from the next step on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["set_telemetry"] = "set_telemetry"
    lambda_K: Share | None = None
    lambda_C: Share | None = None
    lambda_S: Share | None = None
    c_floor: Share | None = None
    s_floor: Share | None = None
    causal_share: Share | None = None

    def changed(self, settings: TelemetrySettings) -> TelemetrySettings:
        """Return `settings` with this command's fields in place."""
        return settings.model_copy(update=self.model_dump(exclude={"kind"}, exclude_none=True))

    def require_fitting(self, objective: str) -> None:
        """Check that a run with that objective has all that is to be changed.

        Raises:
            ConfigError: It has not.
        """
        if self.causal_share is not None and objective != "mixed":
            fix = f"this run's objective is {objective!r}; make one with 'mixed'."
            raise ConfigError("causal_share", self.causal_share, fix)


class Anneal(BaseModel):
    """Let the learning rate fall linearly to 1 % over `steps` steps, to end a run well."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["anneal"] = "anneal"
    steps: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class SetAlertAction(BaseModel):
    """Do `action` about every alert from now on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["set_alert_action"] = "set_alert_action"
    action: AlertAction


class SampleSchedule(BaseModel):
    """The same prompt gone on from every so many steps, so that texts along training can be compared.

    Attributes:
        every: Steps between two samples; more of them where telemetry would take too much of the time.
        prompt: What is gone on from.
        max_new_bytes: How many bytes.
        temperature: As for `generate`.
        top_p: As for `generate`.
        seed: As for `generate`; the same at every step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    prompt: Annotated[str, Field(max_length=4096)] = ""
    max_new_bytes: Annotated[int, Field(strict=True, ge=1, le=1024)] = 128
    temperature: Annotated[float, Field(strict=True, ge=0.0, le=5.0, allow_inf_nan=False)] = 0.8
    top_p: Annotated[float, Field(strict=True, gt=0.0, le=1.0, allow_inf_nan=False)] = 1.0
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 0


class ScheduleSamples(BaseModel):
    """Draw samples along training from now on; None to draw no more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["schedule_samples"] = "schedule_samples"
    schedule: SampleSchedule | None


class GrowthRule(BaseModel):
    """When a run that trains goes on as a branch with a larger model, and how large that may become.

    Attributes:
        improve_thresh: In bits per byte: a smaller mean gain from one estimate on held-out text to the next
            is a stall.
        most_memory_mb: Millions of bytes that weights, gradients and optimizer may take, at most. 64 are four
            to five million weights, twice `base`: what one core can train in an hour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    improve_thresh: Annotated[float, Field(strict=True, ge=0.0, allow_inf_nan=False)] = 0.01
    most_memory_mb: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 64

    def schedule(self, most_window_bytes: int) -> GrowthSchedule:
        """Return what decides; windows are to be no longer than that."""
        most_bytes = self.most_memory_mb * 10**6
        return GrowthSchedule(self.improve_thresh, most_bytes=most_bytes, most_window_bytes=most_window_bytes)


class SetGrowthRule(BaseModel):
    """Let the run grow by this rule from now on; None to let it grow no more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["set_growth_rule"] = "set_growth_rule"
    rule: GrowthRule | None


Command = Annotated[
    SetTelemetry | Anneal | SetAlertAction | ScheduleSamples | SetGrowthRule, Field(discriminator="kind")
]
