"""What one can ask of a running session: one union for page, REST, command line and MCP alike."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bitlm.errors import ConfigError

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""A number from 0 to 1."""

NOT_YET_DIFFERENTIABLE = ("lambda_C", "lambda_S")


class TelemetrySettings(BaseModel):
    """The weights of the objective's telemetry terms and the floors of the gate.

    Attributes:
        lambda_K: Reward for negentropy (sharper predictions).
        lambda_C: Reward for complexity (fewer loops); 0 in this version.
        lambda_S: Pull towards the reference model; 0 in this version.
        c_floor: Below this C the gate refuses a sample.
        s_floor: Below this S the gate refuses a sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lambda_K: Share = 0.0
    lambda_C: Share = 0.0
    lambda_S: Share = 0.0
    c_floor: Share = 0.3
    s_floor: Share = 0.5

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

    def changed(self, settings: TelemetrySettings) -> TelemetrySettings:
        """Return `settings` with this command's fields in place.

        Raises:
            ConfigError: lambda_C or lambda_S is above 0.
        """
        fields = self.model_dump(exclude={"kind"}, exclude_none=True)
        for field in NOT_YET_DIFFERENTIABLE:
            if fields.get(field, 0.0) > 0.0:
                symbol = field.removeprefix("lambda_")
                fix = f"leave it at 0: {symbol} has no differentiable form in this version; lambda_K has."
                raise ConfigError(field, fields[field], fix)
        return settings.model_copy(update=fields)


class Anneal(BaseModel):
    """Let the learning rate fall linearly to 1 % over `steps` steps, to end a run well."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["anneal"] = "anneal"
    steps: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


Command = Annotated[SetTelemetry | Anneal, Field(discriminator="kind")]
