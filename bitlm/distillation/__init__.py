"""Making a model smaller: a student cut out of a teacher, and taught what the teacher says of every bit."""

from bitlm.distillation.channels import add_channels, channel_importance, drop_channels
from bitlm.distillation.collapse import (
    TEACHER_WEIGHT,
    Distilled,
    Lesson,
    Progress,
    Round,
    Standing,
    collapse_submodel,
    require_teacher,
)
from bitlm.distillation.floors import Achieved, Floors
from bitlm.distillation.heads import drop_heads, head_costs
from bitlm.distillation.pruning import drop_layer, least_needed_layer, merge_ngrams, submodel
from bitlm.distillation.representatives import Representatives, TelemetrySynthesizer
from bitlm.distillation.saving import save_distilled_model
from bitlm.distillation.shapes import least_parameters, student_shapes

__all__ = [
    "TEACHER_WEIGHT",
    "Achieved",
    "Distilled",
    "Floors",
    "Lesson",
    "Progress",
    "Representatives",
    "Round",
    "Standing",
    "TelemetrySynthesizer",
    "add_channels",
    "channel_importance",
    "collapse_submodel",
    "drop_channels",
    "drop_heads",
    "drop_layer",
    "head_costs",
    "least_needed_layer",
    "least_parameters",
    "merge_ngrams",
    "require_teacher",
    "save_distilled_model",
    "student_shapes",
    "submodel",
]
