"""Nothing foreign gets into a page unescaped."""

from __future__ import annotations

from modelpress.report.markup import Markup, el, join, table, text

NASTY = "<script>alert('x')</script> & \"quoted\""


def test_text_is_escaped_once() -> None:
    escaped = text(NASTY)
    assert escaped == "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;quoted&quot;"
    assert text(escaped) == escaped


def test_children_and_attributes_are_escaped() -> None:
    made = el("p", NASTY, title=NASTY)
    assert "<script>" not in made
    assert made.count("&lt;script&gt;") == 2
    assert '"quoted"' not in made


def test_names_of_attributes() -> None:
    assert el("path", class_="edge", stroke_width=2, id=None) == '<path class="edge" stroke-width="2"></path>'


def test_void_elements_have_no_end() -> None:
    assert el("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_markup_stays_markup_through_join_and_table() -> None:
    cell = el("td", "1", class_="number")
    made = table(["a"], [[cell], ["<b>"]])
    assert '<td class="number">1</td>' in made
    assert "<td>&lt;b&gt;</td>" in made
    assert isinstance(join("a", None, el("b", "c")), Markup)
    assert join("a", None, "b", separator=", ") == "a, b"
