"""Which of the host's samplers does what with the predictions it is given."""

from __future__ import annotations

from typing import Any

import comfy.samplers

# Solve the differential equation and draw no noise of their own; each was seen to bring an inverted picture back
# as well as Euler does, on other schedules too. Not ipndm and gradient_estimation, which diverge on some.
SOLVERS = frozenset(("euler", "ddim", "heun", "heunpp2", "exp_heun_2_x0", "dpm_2", "lms", "dpm_fast", "dpm_adaptive",
                     "dpmpp_2m", "ipndm_v", "deis", "res_multistep", "uni_pc", "uni_pc_bh2"))
# Their step is a DDPM step with some share of fresh noise.
DDPM_LIKE = frozenset(("euler", "ddim", "euler_ancestral", "ddpm"))
_OTHER_NAMES = {"unipc": "uni_pc", "unipc_bh2": "uni_pc_bh2", "dpm_fast_function": "dpm_fast",
                "dpm_adaptive_function": "dpm_adaptive"}


def sampler_name(sampler: Any) -> str:
    """The name the host's menu has for it ("euler" for ddim too); "" for another pack's."""
    function = getattr(getattr(sampler, "sampler_function", None), "__name__", "").removeprefix("sample_")
    name = _OTHER_NAMES.get(function, function)
    return name if name in comfy.samplers.SAMPLER_NAMES else ""
