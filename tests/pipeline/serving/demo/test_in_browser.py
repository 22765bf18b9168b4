"""The page in Chromium, on the server with the pushed model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.fixtures.browser import chromium
from tests.fixtures.running_app import RunningApp

pytestmark = pytest.mark.slow

Open = Callable[..., Any]
HOSTILE = (
    '<script>alert(1)</script><img src=x onerror="alert(2)"> \u05e9\u05dc\u05d5\u05dd'
)
# The least contrast of visible text with its background: WCAG 2.2, 1.4.3.
LEAST_CONTRAST = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => channels(color).slice(0, 3).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }).reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const background = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return getComputedStyle(document.documentElement).colorScheme;
  };
  let worst = [21, ""];
  for (const node of document.querySelectorAll("body *")) {
    const isText = [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
    if (!isText || node.disabled || !node.checkVisibility()) continue;
    const pair = [getComputedStyle(node).color, background(node)].map(luminance);
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (contrast < worst[0]) worst = [contrast, node.outerHTML.slice(0, 80)];
  }
  return worst;
}"""


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with chromium() as browser:
        opened = browser.new_context(reduced_motion="reduce")
        opened.set_default_timeout(60_000)  # the machine may be busy
        expect.set_options(timeout=60_000)
        yield opened


@pytest.fixture
def opened(context: Any, demo: RunningApp) -> Iterator[Open]:
    """Opens the page; in the end nothing has failed or come from elsewhere."""
    complaints, addresses = [], []

    def open_page(fragment: str = "") -> Any:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(f"{demo.url}/demo/{fragment}")
        return page

    yield open_page
    for page in context.pages:
        page.close()
    assert complaints == []
    assert [a for a in addresses if not a.startswith((demo.url, "data:"))] == []


def titles(page: Any, column: int = 0) -> list[str]:
    """Returns the recommended titles, once they are those of what is asked for."""
    page.locator("#answers[aria-busy=false] article").first.wait_for()
    article = page.get_by_role("article").nth(column)
    return article.locator("button.title").all_inner_texts()


def test_a_history_is_built_with_the_keyboard_alone(opened: Open) -> None:
    page = opened()
    nobody = titles(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "user"
    page.get_by_role("combobox", name="Add a watched movie").focus()
    page.keyboard.type("hamlet")
    page.get_by_role("option").nth(1).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    box = page.get_by_role("combobox", name="Add a watched movie")
    active = box.get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
    assert box.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove Hamlet").wait_for()
    assert page.evaluate("document.activeElement.id") == "movie"
    page.wait_for_url(re.compile("#added="))
    assert titles(page) != nobody
    # Its list closes on Escape, and what was done is undone by going back.
    page.keyboard.type("a")
    page.get_by_role("listbox", name="Movies").wait_for()
    page.keyboard.press("Escape")
    assert box.get_attribute("aria-expanded") == "false"
    page.go_back()
    page.get_by_role("button", name="Remove Hamlet").wait_for(state="detached")
    expect(page.get_by_role("article").first.locator("button.title")).to_have_text(
        nobody
    )


def test_enter_takes_the_first_suggestion_of_what_was_typed(opened: Open) -> None:
    page = opened()
    page.get_by_role("combobox", name="User").fill("200")
    page.keyboard.press("Enter")  # before the suggestions are there
    page.wait_for_url("**#user=200")
    page.get_by_text("newest events that the model stores").wait_for()
    history = page.get_by_role("list", name="Watched")
    watched = history.locator("button.title").all_inner_texts()
    assert re.search(r"\d(\.5)? ★ · \d+ \w+ \d{4}", history.inner_text())
    found = titles(page)
    assert len(found) == 10
    assert not set(found) & set(watched)
    assert "Close to " in page.get_by_role("article").first.inner_text()


def test_a_diverse_list_is_chosen_shared_and_reset(opened: Open) -> None:
    page = opened("#user=1")
    usual = titles(page)
    page.get_by_role("combobox", name="Diversity").select_option("strong")
    page.wait_for_url("**#user=1&diversity=0.8")
    expect(page.locator("#filters-summary")).to_have_text("diversity 0.8")
    diverse = titles(page)
    assert diverse[0] == usual[0]
    assert diverse != usual
    shared = opened("#user=1&diversity=0.75")
    expect(shared.get_by_role("combobox", name="Diversity")).to_have_value("0.75")
    page.get_by_role("button", name="Reset filters").click()
    page.wait_for_url("**#user=1")
    assert titles(page) == usual


def test_a_recommendation_is_added_and_rated_and_focus_stays_near(opened: Open) -> None:
    page = opened("#user=1")
    first, second, *_ = titles(page)
    page.get_by_role("button", name=f"Add {first} to").first.press("Enter")
    rating = page.get_by_role("combobox", name=f"Rating of {first}")
    rating.focus()
    rating.select_option("1")
    page.wait_for_url(re.compile("%3A1$"))
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    assert first not in titles(page)
    page.reload()  # the address holds it
    assert rating.input_value() == "1"
    page.get_by_role("button", name=f"Remove {first}").press("Enter")
    assert page.evaluate("document.activeElement.id") == "movie"


def test_filters_apply_and_can_be_reset(opened: Open) -> None:
    page = opened("#user=1")
    everything = titles(page)
    name = "Comedy"  # not all of which this user has watched
    page.get_by_role("checkbox", name=name).check()
    page.wait_for_url(f"**genre={name}")
    rows = page.get_by_role("article").first.get_by_role("listitem")
    expect(rows.filter(has_not_text=name)).to_have_count(0)
    assert rows.count() > 0
    page.get_by_label("From year").fill("2900")
    page.get_by_text("No movie is left").first.wait_for()
    page.get_by_label("To year").fill("1990")
    page.get_by_role("alert").get_by_text("The first year is after").wait_for()
    page.get_by_role("article").first.get_by_role("button", name="Reset").click()
    expect(page.get_by_role("article").first.locator("button.title")).to_have_text(
        everything
    )


def test_the_card_of_a_movie_shows_similar_ones(opened: Open) -> None:
    page = opened("#user=1")
    first = titles(page)[0]
    page.get_by_role("article").first.locator("button.title").first.click()
    card = page.get_by_role("dialog", name=first)
    card.get_by_role("listitem").nth(9).wait_for()
    similar = card.locator("li button.title").first
    name = similar.inner_text()
    similar.click()
    page.get_by_role("dialog", name=name).wait_for()
    page.go_back()
    card.wait_for()
    page.keyboard.press("Escape")
    card.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.innerText") == first
    page.wait_for_url("**#user=1")


def test_what_the_canary_changes_is_marked(opened: Open) -> None:
    page = opened()
    titles(page)
    assert "The canary recommends the same." in page.locator("#summary").inner_text()

    def changed(route: Any) -> None:
        content = route.fetch().json()
        stable, canary = (answer["movies"] for answer in content["answers"])
        stable.pop()  # new in the canary
        canary.append(canary.pop(0))
        canary.pop(0)  # not in the canary
        route.fulfill(json=content)

    page.route("**/api/recommend", changed)
    page.get_by_role("checkbox", name="Include watched").check()
    page.get_by_text("The canary keeps 8 of 9 movies (8 moved)").wait_for()
    stable, canary = page.get_by_role("article").all()
    assert stable.get_by_text("not in canary").count() == 1
    assert canary.get_by_text("new", exact=True).count() == 1
    assert canary.get_by_text("up 2").count() == 7
    assert canary.get_by_text("down 8").count() == 1


def test_it_fits_a_phone_and_can_be_read_in_light_and_dark(opened: Open) -> None:
    page = opened("#user=1&added=1%3A5")
    page.set_viewport_size({"width": 360, "height": 740})
    titles(page)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    for scheme, expected in (("light", "255, 255, 255"), ("dark", "20, 23, 27")):
        page.emulate_media(color_scheme=scheme)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == f"rgb({expected})"
        contrast, where = page.evaluate(LEAST_CONTRAST)
        assert contrast >= 4.5, (scheme, where)
        assert not page.evaluate(wide)
    page.locator("article button.title").first.click()
    page.get_by_role("dialog").get_by_role("listitem").first.wait_for()
    assert not page.evaluate(wide)


def test_every_control_has_a_name(opened: Open) -> None:
    page = opened("#user=1&added=1%3A5")
    titles(page)
    page.get_by_role("combobox", name="User").click()
    page.get_by_role("listbox", name="Users").wait_for()
    tree = page.locator("body").aria_snapshot()
    roles = r"button|combobox|listbox|option|checkbox|spinbutton|article|region|list"
    assert re.findall(rf"- (?:{roles})(?: \[.*\])?:?$", tree, re.MULTILINE) == []
    assert page.get_by_role("heading", level=1).count() == 1
    for name in ("From year", "To year", "How many"):
        assert page.get_by_role("spinbutton", name=name, exact=True).count() == 1


def test_titles_and_ids_are_never_markup(opened: Open) -> None:
    title = f'"title":{json.dumps(HOSTILE)}'

    def hostile(route: Any) -> None:
        content = route.fetch().text()
        route.fulfill(
            body=re.sub(r'"title":"[^"]*"', lambda _: title, content),
            content_type="application/json",
        )

    page = opened()
    titles(page)
    page.route("**/api/*", hostile)
    page.goto(page.url + "#user=1&added=1%3A5&movie=2")
    page.reload()
    dialog = page.get_by_role("dialog", name=HOSTILE)
    dialog.get_by_role("listitem").first.wait_for()
    assert HOSTILE in dialog.inner_text()
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Add a watched movie").click()
    page.get_by_role("option").first.wait_for()
    assert page.locator("img").count() == 0


def test_an_unknown_user_of_any_script_is_said_to_be_unknown(opened: Open) -> None:
    user = '<b>никто</b> "&#'
    page = opened()
    page.evaluate("user => change({ user })", user)
    page.get_by_text(f"This version knows no user {user}.").wait_for()
    page.reload()
    page.get_by_text(f"This version knows no user {user}.").wait_for()
    page.get_by_role("button", name="Clear user").click()
    page.get_by_text("10 movies for somebody new.").wait_for()
    assert page.evaluate("location.hash") in ("", "#")


def test_nonsense_in_the_address_is_left_out(opened: Open) -> None:
    page = opened("#k=-3&first=x&added=%E0%A4%A,:,1:NaN,映画:9&genre=Nonsense&seen=2")
    assert len(titles(page)) == 10
    page.get_by_text("not in this version").wait_for()


def test_a_server_that_is_gone_is_said_to_be_and_asked_again(
    context: Any, demo: RunningApp
) -> None:
    page = context.new_page()
    page.goto(f"{demo.url}/demo/")
    shown = titles(page)
    page.route("**/api/*", lambda route: route.abort())
    page.get_by_role("button", name="Random user").click()
    alert = page.get_by_role("alert")
    alert.get_by_text("The server does not answer.").wait_for()
    assert titles(page) == shown
    page.unroute("**/api/*")
    alert.get_by_role("button", name="Try again").click()
    alert.wait_for(state="hidden")
    assert titles(page) == shown
    page.close()
