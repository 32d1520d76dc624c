"""Text by denoising: how it is masked, what the masked part costs, and how it is revealed again."""

from bitlm.diffusion.inference import Denoising, Frame, denoised, diffusion_inference, samples
from bitlm.diffusion.masking import draw_mask, draw_mask_of_size, hidden_logits, hidden_nats, revealed_nats
from bitlm.diffusion.sampler import SAMPLERS
from bitlm.diffusion.schedules import MOST_STEPS, SCHEDULES, NoiseSchedule, masked_shares, noise_schedule
from bitlm.diffusion.template import Template

__all__ = [
    "MOST_STEPS",
    "SAMPLERS",
    "SCHEDULES",
    "Denoising",
    "Frame",
    "NoiseSchedule",
    "Template",
    "denoised",
    "diffusion_inference",
    "draw_mask",
    "draw_mask_of_size",
    "hidden_logits",
    "hidden_nats",
    "masked_shares",
    "noise_schedule",
    "revealed_nats",
    "samples",
]
