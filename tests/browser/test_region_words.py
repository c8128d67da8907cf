"""The words of regions while a person types, in both renderers."""

from __future__ import annotations

from editor import PAD, PROMPT, TWO, Editor


def test_typed_words_go_into_the_prompt_by_enter(renderer: Editor) -> None:
    renderer.demo()
    renderer.drag(0.1, 0.1, 0.4, 0.4)
    steps = int(renderer.steps().split()[0])
    renderer.page.keyboard.press("Enter")
    renderer.page.keyboard.type("yellow star")
    renderer.page.keyboard.press("Enter")
    renderer.frame()
    assert renderer.widget("text") == f"{PROMPT}, yellow star"
    assert renderer.regions()[0]["phrase"] == "yellow star"
    assert renderer.find(".ad-region.ad-stale").count() == 0
    assert renderer.steps() == f"{steps + 1} 0"


def test_phrases_follow_what_is_typed_in_one_step_of_undo(renderer: Editor) -> None:
    renderer.demo(TWO)
    steps = int(renderer.steps().split()[0])
    renderer.type_over("circle", "shiny star")
    assert [region["phrase"] for region in renderer.regions()] == ["red shiny star", "blue square"]
    assert renderer.find(".ad-region.ad-stale").count() == 0
    assert renderer.api_prompt()["canvas"] == renderer.widget("canvas")
    renderer.page.evaluate(f"() => document.querySelector('{PAD}').focus()")
    renderer.capture()
    assert renderer.steps() == f"{steps + 1} 0"
    renderer.travel("Control+z", PAD)
    assert renderer.widget("text") == PROMPT
    assert [region["phrase"] for region in renderer.regions()] == ["red circle", "blue square"]
    renderer.travel("Control+y", PAD)
    assert renderer.widget("text") == PROMPT.replace("circle", "shiny star")
    assert [region["phrase"] for region in renderer.regions()] == ["red shiny star", "blue square"]


def test_words_that_are_gone_are_said_at_once_and_leave_their_region_out_of_the_run(renderer: Editor) -> None:
    renderer.demo(TWO)
    renderer.set_widget("text", "a blue square on a white background")
    assert "\"red circle\" is not in the prompt" in renderer.find(".ad-notice").inner_text()
    assert renderer.find(".ad-region.ad-stale").count() == 1
    assert renderer.queue() == "execution_success"
    assert "region 2 has no words in this prompt and was left out" in renderer.status("active in step")
    renderer.find(".ad-region.ad-stale").click()
    renderer.find("button").get_by_text("Insert into prompt").click()
    renderer.frame()
    assert renderer.widget("text").endswith(", red circle")
    assert renderer.find(".ad-region.ad-stale").count() == 0
    renderer.set_widget("text", "a circle of red, a blue square on a white background")
    renderer.find(".ad-notice button").get_by_text('Use "a circle"').click()
    assert renderer.regions()[0]["phrase"] == "a circle"


def test_the_editors_speak_the_persons_language(editor: Editor) -> None:
    """From the first node on: the texts are there before the graph is."""
    editor.use_vue(False)  # another page has the setting of this one
    choose = "(language) => app.extensionManager.setting.set('Comfy.Locale', language)"
    editor.page.evaluate(choose, "zh")
    page = editor.page.context.browser.new_page(viewport={"width": 1500, "height": 1200})
    other = Editor.open(page, editor.page.url.split("#")[0])
    try:
        other.demo(TWO)
        assert other.find(".ad-notice").inner_text() == "点击一个区域或它的词语。"
        assert other.find("button[title='撤销 (Ctrl+Z)']").count() == 1
        other.set_widget("text", "a blue square")
        assert other.find(".ad-notice").inner_text().startswith("区域 2：“red circle”不在提示词中。")
        assert not other.errors, other.errors
    finally:
        editor.page.evaluate(choose, "en")
        page.close()
