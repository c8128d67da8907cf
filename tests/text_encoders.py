"""Tiny random text encoders in the host's own classes, with the host's own tokenizers and templates.

Without attention a row is made of its own token alone, so that a change of a word shows which rows are its.
"""

from __future__ import annotations

import atexit
import io
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch

WIDTH = 16
CLIP_SIZES = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 2, "num_hidden_layers": 2}
T5_SIZES = {"d_ff": WIDTH, "d_kv": 8, "d_model": WIDTH, "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True,
            "model_type": "t5", "num_heads": 2, "num_layers": 2, "vocab_size": 32128}
LLM_SIZES = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 1, "num_key_value_heads": 1}
# How many layers an encoder needs, which takes the states of some in the middle.
DEPTHS = {"klein": 28, "flux2": 31}
NAMES = ("flux", "chroma", "klein", "zimage", "flux2", "lumina", "qwen", "longcat", "ovis", "omnigen2")


def _targets() -> dict[str, tuple[Any, Any, str]]:
    """Tokenizer and model as the host's loaders pair them, and the name of the model's sizes."""
    import comfy.text_encoders as host
    from comfy.text_encoders import flux, longcat_image, lumina2, omnigen2, ovis, pixart_t5, qwen_image, z_image

    assert host
    return {
        "flux": (flux.FluxTokenizer, flux.flux_clip(), "t5xxl"),
        "chroma": (pixart_t5.PixArtTokenizer, pixart_t5.pixart_te(), "t5xxl"),
        "klein": (flux.KleinTokenizer, flux.klein_te(), "qwen3_4b"),
        "zimage": (z_image.ZImageTokenizer, z_image.te(), "qwen3_4b"),
        "flux2": (flux.Flux2Tokenizer, flux.flux2_te(), "mistral3_24b"),
        "lumina": (lumina2.LuminaTokenizer, lumina2.te(), "gemma2_2b"),
        "qwen": (qwen_image.QwenImageTokenizer, qwen_image.te(), "qwen25_7b"),
        "longcat": (longcat_image.LongCatImageTokenizer, longcat_image.te(), "qwen25_7b"),
        "ovis": (ovis.OvisTokenizer, ovis.te(), "qwen3_2b"),
        "omnigen2": (omnigen2.Omnigen2Tokenizer, omnigen2.te(), "qwen25_3b"),
    }


@cache
def text_encoder(name: str, attention: bool = False) -> Any:
    """A CLIP object of a model's layout with random weights. attention: False makes each row of its token alone."""
    import comfy.sd
    from comfy.text_encoders import flux, qwen_vl

    tokenizer, model, key = _targets()[name]
    sizes = T5_SIZES if key == "t5xxl" else LLM_SIZES | {"num_hidden_layers": DEPTHS.get(name, 3)}
    options = {"clip_l_model_config": CLIP_SIZES, f"{key}_model_config": sizes, "dtype": torch.float32}
    torch.manual_seed(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qwen_vl, "Qwen2VLVisionTransformer", lambda **_: torch.nn.Identity())  # 2 GB that read no text
        patch.setattr(flux, "load_mistral_tokenizer", lambda data: _tekken())
        made = comfy.sd.CLIP(SimpleNamespace(params={}, clip=model, tokenizer=tokenizer), model_options=options,
                             tokenizer_data={"spiece_model": _gemma_pieces() if name == "lumina" else None})
    _draw_weights(made.cond_stage_model, attention)
    return made


def _draw_weights(model: torch.nn.Module, attention: bool) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(False)
        out = any(part in name for part in ("o_proj", "out_proj", "SelfAttention.o."))
        if out and not attention:
            parameter.zero_()
        else:
            torch.nn.init.normal_(parameter, std=0.5)


def _tekken() -> dict[str, Any]:
    """A small byte-level vocabulary as the host makes one of the tekken.json inside Mistral's checkpoints."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    controls = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", *(f"<SPECIAL_{n}>" for n in range(5, 11)), "<pad>",
                *(f"<SPECIAL_{n}>" for n in range(12, 17)), "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "c"), ("a", "t"), ("Ġc", "at"), ("r", "e"), ("re", "d"), ("Ġ", "red"), ("h", "at"), ("Ġ", "hat"),
              ("d", "o"), ("do", "g"), ("Ġ", "dog")]
    pieces = [*controls, *letters, *(a + b for a, b in merges)]
    made = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, merges, ignore_merges=True))
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, "isolated"),
                                                  pre_tokenizers.ByteLevel(False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)])])
    made.add_special_tokens(controls)
    return {"tokenizer_object": made, "legacy": False}


@cache
def _gemma_pieces() -> torch.Tensor:
    """A small SentencePiece vocabulary with pieces of single bytes, as checkpoints of Gemma carry one."""
    import sentencepiece

    model = io.BytesIO()
    lines = ["a red hat and a blue dog on the grass", "a cat in a red hat, a dog and a tree", "the sun (bright) at 7"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 9), model_writer=model, vocab_size=330, model_type="bpe", byte_fallback=True,
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, normalization_rule_name="identity", minloglevel=2)
    return torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8)


atexit.register(text_encoder.cache_clear)
