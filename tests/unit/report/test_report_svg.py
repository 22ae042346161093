"""SVG is well-formed whatever is written in it, and says what it was given."""

from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from service.report.svg import bar, drawing, element, path, rectangle, width_of, words

printable = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")))


@given(text=printable, label=printable)
def test_text_and_label_are_read_back(text: str, label: str) -> None:
    root = fromstring(drawing(3, 4, f"x{label}", words(text, 1, 2)))
    assert " ".join(root.attrib["aria-label"].split()) == " ".join(f"x{label}".split())
    assert (root[0].text or "") == text


def test_an_element_has_its_attributes_by_their_names() -> None:
    drawn = element("rect", x=1, kind="red", fill_opacity=0.5, text_anchor="")
    assert drawn == '<rect x="1" class="red" fill-opacity="0.5"></rect>'
    assert rectangle(1, 2, 3, 4, "blue") == '<rect x="1" y="2" width="3" height="4" class="blue"></rect>'


def test_numbers_have_two_decimals_at_most() -> None:
    assert path([(1 / 3, 100), (-0.001, 2.5)], "grid") == '<path d="M0.33 100 0 2.5" class="grid"></path>'


def test_turned_text_turns_around_its_place() -> None:
    assert 'transform="translate(5 6) rotate(-40)"' in words("a", 5, 6, turn=-40)


def test_wide_letters_need_more_room() -> None:
    assert width_of("iiii") < width_of("nnnn") < width_of("WWWW") < width_of("猫猫猫猫")


def test_a_bar_is_as_long_as_its_share_and_no_longer_than_all() -> None:
    widths = [fromstring(bar(share))[0].attrib["width"] for share in (0.25, -1, 2)]
    assert widths == ["25", "0", "100"]


def test_a_drawing_grows_with_the_text_of_the_page() -> None:
    assert fromstring(drawing(32, 8, "x")).attrib["width"] == "2.00rem"
