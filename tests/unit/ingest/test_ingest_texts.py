"""Texts and categories: told by what is written, not by spaces."""

import random

import pytest

from tests.unit.ingest.uploads import Take, rows_as_csv, rows_as_json_lines

SCRIPTS = {
    "chinese": "我们昨天在市场买了很多新鲜的水果和蔬菜味道都非常好孩子们很喜欢",
    "japanese": "きのう友だちと公園であそびましたとても楽しかったですまた行きたい",
    "thai": "เมื่อวานนี้ฉันไปตลาดกับแม่และซื้อผลไม้สดมากมายอร่อยมาก",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_sentences_without_spaces_are_texts(take: Take, script: str) -> None:
    draw = random.Random(1)
    characters = SCRIPTS[script]
    rows = [
        {"input": "".join(draw.choice(characters) for _ in range(draw.randrange(12, 30))), "label": "pq"[place % 2]}
        for place in range(120)
    ]
    assert take(rows_as_json_lines(rows), name="rows.jsonl").found.modality == "text"


@pytest.mark.parametrize(
    "text",
    ["https://shop.example.org/{w}/{v}{n}.html", "#{w}#{v}#number{n}x", "{w}_{v}_{w}_{n}_about_it"],
)
def test_addresses_and_hashtags_are_texts(take: Take, text: str) -> None:
    words = ["river", "mountain", "garden", "window", "kitchen"]
    rows = [
        {"seen": text.format(w=words[place % 5], v=words[place * 7 % 5], n=place), "label": "pq"[place % 2]}
        for place in range(120)
    ]
    assert take(rows_as_csv(rows)).found.modality == "text"


@pytest.mark.parametrize("name", ["text", "Review", "user_comment", "sentences", "content"])
def test_a_column_called_like_a_text_is_one_where_its_values_differ(take: Take, name: str) -> None:
    def rows(different: int) -> str:
        return rows_as_csv([{name: f"w{place % different}", "label": "pq"[place % 2]} for place in range(100)])

    assert take(rows(100)).found.modality == "text"
    assert take(rows(5)).kinds == {name: "categorical"}


def test_repeated_names_of_several_words_are_categories(take: Take) -> None:
    towns = ["New York City", "Rio de Janeiro", "Den Haag Centraal Station"]
    rows = [{"town": towns[place % 3], "b": place / 3, "label": "pq"[place % 2]} for place in range(60)]
    assert take(rows_as_csv(rows)).kinds["town"] == "categorical"


def test_codes_that_differ_in_every_row_are_not_learnt_from(take: Take) -> None:
    rows = [{"ticket": f"AB/{place * 37 + 100}", "b": place / 3, "label": "pq"[place % 2]} for place in range(90)]
    outcome = take(rows_as_csv(rows))
    assert "ticket" not in outcome.kinds
    named = outcome.found.inferred.id == "ticket"
    assert named or any("ticket" in one.detail for one in outcome.found.warnings)
