"""Published networks are loaded, fed and read as their own programs do, whatever the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torchvision import transforms
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from data.clip import Clip, Edit
from metrics.base import Sample, Score
from metrics.nets import clip as openai
from metrics.nets import dino, files, hf_clip
from metrics.registry import get_metric
from tests.miniature import make_tokenizer

PROMPTS = ["a [blue] box", "a red box"]


def noise(seed: int, shape: tuple[int, ...] = (2, 64, 64, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def clip_of(frames: np.ndarray) -> Clip:
    masks = np.zeros((1, *frames.shape[:3]), bool)
    masks[0, :, 8:20, 10:30] = True
    edit = Edit("colour", "colour", PROMPTS[0])
    return Clip("box", "test", frames, PROMPTS[1], masks=masks, edits={"colour": edit})


def score(recipe: str, frames: np.ndarray, source: np.ndarray | None = None) -> Score:
    clip = clip_of(frames if source is None else source)
    return get_metric(recipe).compute(Sample(frames, clip, clip.edits["colour"]))


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory) -> Path:
    """Where weights of our own are looked for, empty at first; and the same random weights."""
    path = tmp_path_factory.mktemp("extractors")
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        patch.setattr(files, "FOLDER", path)
        yield path


# OpenAI's CLIP


@pytest.fixture(scope="module")
def tiny_openai(folder: Path) -> str:
    """A tiny CLIP with the name, file and loading of OpenAI's."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
        },
    }  # fmt: skip
    (folder / "tiny-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-test.json")
    file = files.HubFile("timm/tiny.openai", "open_clip_model.safetensors")
    (folder / file.path).parent.mkdir(parents=True)
    model = open_clip.create_model("tiny-test", force_quick_gelu=True)
    save_file(model.state_dict(), folder / file.path)
    openai.EXTRACTORS["tiny-test/openai"] = files.Extractor("tiny-test/openai", (file,), 1, "none")
    yield "tiny-test/openai"
    del openai.EXTRACTORS["tiny-test/openai"]


@torch.no_grad()
def test_openai_s_clip_is_fed_as_its_own_program_does(tiny_openai, folder):
    ours = openai.open_clip_encoder(tiny_openai)
    model = open_clip.create_model("tiny-test", force_quick_gelu=True).eval()
    path = openai.EXTRACTORS[tiny_openai].paths()[0]
    open_clip.load_checkpoint(model, str(path))
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    own = transforms.Compose(
        [transforms.Resize(64, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(64),
         transforms.ToTensor(), transforms.Normalize(mean, std)]
    )  # fmt: skip
    frames = noise(0, (2, 70, 99, 3))
    theirs = model.encode_image(torch.stack([own(Image.fromarray(f)) for f in frames]))
    assert torch.allclose(ours.encode_image(frames), theirs / theirs.norm(dim=-1, keepdim=True))
    assert torch.allclose(ours.encode_image(frames / 255), ours.encode_image(frames))
    tokens = open_clip.SimpleTokenizer(context_length=77)(PROMPTS)
    text = model.encode_text(tokens)
    assert torch.allclose(ours.encode_text(PROMPTS), text / text.norm(dim=-1, keepdim=True))


def test_prompts_are_equal_to_it_when_their_tokens_are(tiny_openai):
    ours = openai.open_clip_encoder(tiny_openai)
    assert ours.sees_equal("A red  box", "a red box") and not ours.sees_equal(*PROMPTS)


# PickScore, and the CLIP of PIE-Bench


@pytest.fixture(scope="module")
def tiny_hf(folder: Path) -> CLIPModel:
    """A tiny CLIP where PickScore's and PIE-Bench's weights would be, whatever their checksums."""
    hf_clip.hf_clip.cache_clear()
    patch = pytest.MonkeyPatch()
    patch.setattr(files.HubFile, "expected", "")
    common = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2}  # fmt: skip
    tokenizer = make_tokenizer()
    config = CLIPConfig(
        text_config=common | {"vocab_size": len(tokenizer), "max_position_embeddings": 24,
                              "eos_token_id": tokenizer.eos_token_id},
        vision_config=common | {"image_size": 32, "patch_size": 16},
        projection_dim=16,
    )  # fmt: skip
    model = CLIPModel(config).eval()
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    for name in ("openai/clip-vit-large-patch14", "yuvalkirstain/PickScore_v1"):
        model.save_pretrained(folder / name)
    for name in ("openai/clip-vit-large-patch14", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"):
        images.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    yield model
    patch.undo()
    hf_clip.hf_clip.cache_clear()


@torch.no_grad()
def logits(model: CLIPModel, frames: np.ndarray, prompt: str) -> np.ndarray:
    """What the model itself says of pictures and a text."""
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    pixels = images(images=[Image.fromarray(f) for f in frames], return_tensors="pt")
    text = make_tokenizer()([prompt], return_tensors="pt")
    return model(**pixels, **text).logits_per_image[:, 0].double().numpy()


def test_pickscore_is_the_model_s_logit_averaged_over_frames(tiny_hf):
    found = score("pickscore@v1", noise(1, (2, 40, 51, 3)))
    expected = logits(tiny_hf, noise(1, (2, 40, 51, 3)), PROMPTS[0])
    assert found.per_frame == pytest.approx(expected, rel=1e-4)
    assert found.value == pytest.approx(expected.mean(), rel=1e-4)


def test_pie_bench_s_clip_is_a_clamped_cosine_to_the_prompt_without_brackets(tiny_hf):
    scale = tiny_hf.logit_scale.exp().item()
    expected = 100 * logits(tiny_hf, noise(2), "a blue box") / scale
    found = score("clip_text@pie-compat", noise(2))
    assert found.per_frame == pytest.approx(np.maximum(expected, 0), rel=1e-4, abs=1e-4)


def test_pie_bench_s_edited_part_is_black_outside_the_mask_and_its_border(tiny_hf):
    frames = noise(3)
    seen = np.zeros_like(frames)
    seen[:, 8:20, 10:30] = frames[:, 8:20, 10:30]
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        seen[edge] = frames[edge]
    scale = tiny_hf.logit_scale.exp().item()
    expected = 100 * logits(tiny_hf, seen, "a blue box") / scale
    found = score("clip_text_inside@pie-compat", frames)
    assert found.per_frame == pytest.approx(np.maximum(expected, 0), rel=1e-4, abs=1e-4)


def test_an_overlong_prompt_is_cut_and_not_refused(tiny_hf):
    model = hf_clip.hf_clip("PickScore_v1")
    assert model.encode_text(["a very long prompt " * 9]).isfinite().all()


# DINO


@pytest.fixture(scope="module")
def tiny_dino():
    model = VisionTransformer(
        224, patch_size=32, embed_dim=32, depth=2, num_heads=4, num_classes=0,
        dynamic_img_size=True,
    ).eval()  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dino, "dino", lambda: model)
        yield model


@torch.no_grad()
def splice(model: VisionTransformer, pixels: torch.Tensor) -> torch.Tensor:
    """Self-similarity of keys as Splice's extractor writes it."""
    caught = []
    hook = model.blocks[1].attn.qkv.register_forward_hook(lambda m, i, o: caught.append(o))
    model(pixels)
    hook.remove()
    tokens = caught[0].shape[1]
    keys = caught[0].reshape(tokens, 3, 4, 8).permute(1, 2, 0, 3)[1]
    x = keys.transpose(0, 1).reshape(1, tokens, 32)
    norm = x.norm(dim=2, keepdim=True)
    return (x @ x.permute(0, 2, 1)) / torch.clamp(norm @ norm.permute(0, 2, 1), min=1e-8)


@pytest.mark.parametrize("recipe", ["dino-vitb8", "pie-compat"])
def test_the_structure_distance_is_splice_s(tiny_dino, recipe):
    pie = recipe == "pie-compat"
    resize = transforms.Resize(224, max_size=480, antialias=not pie)
    normal = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    def seen(frame: np.ndarray) -> torch.Tensor:
        levels = torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1)
        return splice(tiny_dino, normal(resize(levels if pie else levels / 255))[None])

    a, b = noise(4, (2, 301, 301, 3)), noise(5, (2, 301, 301, 3))
    expected = [1e3 * float((seen(x) - seen(y)).pow(2).mean()) for x, y in zip(a, b, strict=True)]
    assert score(f"structure_distance@{recipe}", a, b).per_frame == pytest.approx(expected, 1e-3)


def test_equal_frames_have_the_same_structure_and_sizes_may_be_odd(tiny_dino):
    odd = noise(6, (1, 37, 131, 3))
    assert score("structure_distance@dino-vitb8", odd).value == 0
    assert score("structure_distance@dino-vitb8", odd, noise(7, odd.shape)).value > 0


# Published files


def test_a_hub_file_is_found_in_the_hub_s_own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    file = files.HubFile("some/repository", "model.safetensors")
    assert file.cached() is None
    snapshot = tmp_path / "models--some--repository" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    assert file.cached() == snapshot / "model.safetensors"
    assert file.found() == file.cached()


def test_the_digest_is_that_of_the_bytes_and_a_torch_file_s_name_holds_its_checksum(folder):
    file = files.TorchFile("https://download.pytorch.org/models/net-4813494d.pth")
    extractor = files.Extractor("net", (file,), 1, "none")
    assert file.sha256 == "4813494d" and extractor.digest() == files.ABSENT
    (folder / "net-4813494d.pth").write_bytes(b"hello there")
    assert "is not the published file" in extractor.problem()
