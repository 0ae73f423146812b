"""The trainer of the bundled model of words: scenes, vocabulary, loss, forward and resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("skimage")


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_scenes_are_functions_of_their_seed_and_show_what_is_said(seed: int) -> None:
    """A seed gives one scene; phrases that are there have pixels, and others have none."""
    from words_scenes import ANY, NOUNS, UNSEEN, Phrase, make_words_scene

    first, again = (make_words_scene(seed, (96, 128)) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.segments, again.segments)
    assert first.image.shape == (96, 128, 3)
    assert not {(p.colour, p.noun) for p in first.phrases} & set(UNSEEN)
    for phrase in first.present():
        assert (first.truth(phrase) == 1).any(), phrase
    for noun in NOUNS:
        if Phrase(noun) not in first.present():
            assert not (first.truth(Phrase(noun)) == 1).any()
    assert not (first.truth(Phrase("cat")) == 1).any()
    things = first.truth(Phrase(ANY)) == 1
    parts = np.any([first.truth(Phrase(noun)) == 1 for noun in NOUNS], axis=0)
    np.testing.assert_array_equal(things, parts)


def test_held_out_scenes_show_pairs_that_training_never_does() -> None:
    """Over some seeds every unseen pair occurs when held out."""
    from words_scenes import UNSEEN, make_words_scene

    found = {
        (phrase.colour, phrase.noun)
        for seed in range(40)
        for phrase in make_words_scene(seed, (96, 96), held_out=True).phrases
    }
    assert set(UNSEEN) <= found


def test_colours_of_coins_are_unknown_and_grounds_are_no_things() -> None:
    """A colour asked of a coin or cell has no answer; any thing is no ground."""
    from words_scenes import ANY, HIDDEN, PLAIN, Phrase, WordsScene

    phrases = (HIDDEN, Phrase("star", "red"), Phrase("coin"), Phrase("grass"), PLAIN)
    scene = WordsScene(np.zeros((1, 5, 3), np.uint8), np.arange(5, dtype=np.uint16)[None], phrases)
    expected = {
        Phrase("star"): [-1, 1, 0, 0, 0],
        Phrase("star", "red"): [-1, 1, 0, 0, 0],
        Phrase("star", "blue"): [-1, 0, 0, 0, 0],
        Phrase(ANY): [-1, 1, 1, 0, 0],
        Phrase(ANY, "red"): [-1, 1, -1, 0, 0],
        Phrase("grass"): [-1, 0, 0, 1, 0],
        Phrase("cat"): [-1, 0, 0, 0, 0],
    }
    for phrase, truth in expected.items():
        assert scene.truth(phrase)[0].tolist() == truth, phrase
    assert set(scene.present()) == {
        Phrase("star", "red"), Phrase("coin"), Phrase("grass"), Phrase("star"),
        Phrase(ANY, "red"), Phrase(ANY, ""),
    }  # fmt: skip


def test_a_named_colour_passes_its_own_hue_test_alone() -> None:
    """The control's pixels are those painted in a colour, and not those painted in another."""
    from words_report import hue_mask
    from words_scenes import COLOURS, paint_of

    rng = np.random.default_rng(0)
    for painted in COLOURS:
        pixels = np.array([paint_of(rng, painted) for _ in range(50)]) * 255
        for asked in COLOURS:
            share = hue_mask(pixels.round().astype(np.uint8)[None], asked).mean()
            assert share > 0.9 if asked == painted else share < 0.1, (painted, asked)


def test_a_known_word_is_one_token_and_others_are_spelt() -> None:
    """Start, word, end for what is known; any other word is some pieces, none of them unknown."""
    from words_model import KNOWN, build_tokenizer

    tokenizer = build_tokenizer()
    for word in KNOWN:
        assert len(tokenizer(word)["input_ids"]) == 3, word
    spelt = tokenizer("zebra x1")["input_ids"]
    assert len(spelt) > 4
    assert tokenizer.decode(spelt, skip_special_tokens=True).replace(" ", "") == "zebrax1"
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_what_is_asked_is_there_about_half_of_the_time() -> None:
    """Phrases that are there, that are not, and that nobody knows; each said in some way."""
    from words_scenes import make_words_scene
    from words_train import answer, ask, worded

    rng = np.random.default_rng(1)
    scene = make_words_scene(3, (96, 96))
    asked = ask(rng, scene, 400)
    there = np.mean([np.nansum(answer(scene, phrase)) > 0 for phrase in asked])
    assert 0.4 < there < 0.75
    assert {word for p in asked for word in worded(rng, p).split()} >= {"a", "the"}


def test_the_loss_falls_to_little_for_the_right_answer() -> None:
    """Right masks cost almost nothing, wrong ones more; what is unknown costs nothing."""
    from words_train import words_loss

    targets = torch.zeros(1, 2, 8, 8)
    targets[0, 0, 2:5] = 1
    targets[0, 1] = torch.nan
    logits = (targets.nan_to_num(0.5) * 2 - 1) * 20
    right, log = words_loss(logits, targets)
    wrong, _ = words_loss(-logits, targets)
    assert float(right) < 0.01 < float(wrong)
    assert log["iou"] == 1.0
    anything = logits.clone()
    anything[0, 1] = 9
    torch.testing.assert_close(words_loss(anything, targets)[0], right)


def small_run(**changes: Any) -> Any:
    """A run on small windows, its budget four of them."""
    from words_train import Plan, Run

    plan = {"pictures": 4, "batch": 1, "pool": 2, "sides": (64, 96)}
    return Run(Plan(**(plan | changes)))


def test_resuming_gives_the_same_continuation(tmp_path: Path) -> None:
    """Stopped after two steps and resumed, a run ends with the weights of an unbroken one."""
    from session import Pool
    from words_train import draw_scene

    unbroken = small_run()
    draw, size = draw_scene(unbroken.plan), unbroken.plan.pool
    pool = Pool(draw, size, 0)
    for _ in range(2):
        unbroken.advance(pool)
    unbroken.save(tmp_path / "checkpoint.pt")
    resumed = small_run()
    resumed.load(tmp_path / "checkpoint.pt")
    fresh = Pool(draw, size, resumed.step)
    for run, own in ((unbroken, pool), (resumed, fresh)):
        logs = [run.advance(own) for _ in range(2)]
        assert all(np.isfinite(v) for log in logs for v in log.values())
    assert unbroken.progress == resumed.progress == 1.0
    for name, value in unbroken.average.items():
        torch.testing.assert_close(value, resumed.average[name], msg=name)


def test_the_training_forward_is_the_stock_forward(tmp_path: Path) -> None:
    """An exported checkpoint loads in transformers and gives what the trainer computes."""
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor
    from words_export import export
    from words_model import IMAGE_SIZE, STRIDE, encode

    run = small_run()
    run.save(tmp_path / "checkpoint.pt")
    export(tmp_path / "checkpoint.pt", tmp_path / "model")
    stock = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "model").eval()
    run.trainee.model.load_state_dict(stock.state_dict())
    texts = [["a red star", "cat"], ["grass", "the blue things"]]
    processor = CLIPSegProcessor.from_pretrained(tmp_path / "model")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), dtype=np.uint8)
    images = processor(images=list(pictures), return_tensors="pt")["pixel_values"]
    assert images.shape[-2:] == (IMAGE_SIZE, IMAGE_SIZE)
    with torch.inference_mode():
        answers, _ = run.trainee.eval()(images, *encode(run.tokenizer, texts))
        words = processor(
            text=[t for some in texts for t in some], padding=True, return_tensors="pt"
        )
        expected = stock(pixel_values=images.repeat_interleave(2, 0), **words).logits
    assert answers.shape == (2, 2, IMAGE_SIZE // STRIDE, IMAGE_SIZE // STRIDE)
    torch.testing.assert_close(answers.flatten(0, 1), expected, rtol=1e-3, atol=1e-3)
    card = json.loads((tmp_path / "model" / "segcli.json").read_text())
    assert card["name"] == "tiny-words"
