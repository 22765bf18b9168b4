import pytest

from trainer.text import escaped, has_control_characters, is_blank, printable

CONTROLS = [
    "\x00",
    "\n",
    "\r",
    "\t",
    "\x1b",
    "\x7f",
    "\x9b",
    "\u2028",
    "\u202e",
    "\ud800",
]


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_character_becomes_a_blank(control: str) -> None:
    assert has_control_characters(f"a{control}b")
    assert printable(f"a{control}{control}b") == "a b"


@pytest.mark.parametrize("control", CONTROLS)
def test_an_escaped_control_character_is_ascii(control: str) -> None:
    text = escaped(f"Amélie{control}")

    assert text.startswith("Amélie\\")
    assert not has_control_characters(text)


@pytest.mark.parametrize(
    "text", ["Amélie (2001)", "千と千尋の神隠し", "[bold]", "A$_$B", ""]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert not has_control_characters(text)
    assert printable(text) == escaped(text) == text


def test_what_shows_nothing_is_blank() -> None:
    assert is_blank("") and is_blank(" \t\u200b\u00a0")
    assert not is_blank("x")
