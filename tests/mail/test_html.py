"""HTML of mails: what is kept, what is dropped, and how long it takes. test_html_browser has a browser look at it."""

from __future__ import annotations

import re
import time
from itertools import accumulate

import pytest

from sync.mail_html import LEVELS, MOST, safe_html, safe_style
from sync.mail_text import flowing, text_of

SECOND = 1.0  # of computing time
PARAGRAPHS = "<p>x</p>" * 10_000


def test_what_people_write_is_kept() -> None:
    html = (
        '<h1>Hi</h1><p style="color:red">a <b>b</b> <a href="https://mail.test/" target="_blank" rel="noopener'
        ' noreferrer">c</a></p><ul><li>d</li></ul><blockquote>e</blockquote>'
        '<table border="1"><tbody><tr><td colspan="2">f</td></tr></tbody></table>'
    )
    assert safe_html(html).html == html


@pytest.mark.parametrize(
    ("html", "safe"),
    [
        ("<p class='x' id='y' onclick='z()'>a</p>", "<p>a</p>"),
        ("<style>p{color:red}</style><title>t</title><script>x</script>a", "a"),
        ("<p>a <form action='/x'><input name=y>b</form>", "<p>a </p>b"),
        ("<a href='javascript:x'>a</a>", '<a target="_blank" rel="noopener noreferrer">a</a>'),
        ("<a href='/relative'>a</a>", '<a target="_blank" rel="noopener noreferrer">a</a>'),
        ("<a href='cid:x@y'>a</a>", '<a target="_blank" rel="noopener noreferrer">a</a>'),
        ("<img src='data:image/png;base64,AA'>", "<img>"),
        ("<!--[if mso]><table><![endif]-->a<![if !mso]>b<![endif]>", "ab"),
        ("a < b & c", "a &lt; b &amp; c"),
        ("a\x00b\u2028c&#1;&#x2029;\ud800", "ab\nc\n"),
    ],
)
def test_the_rest_is_dropped(html: str, safe: str) -> None:
    assert safe_html(html).html == safe


def test_remote_images_wait_and_inline_ones_stay() -> None:
    found = safe_html(
        '<img src="https://mail.test/a.png?b=1&amp;c" alt=""><img src="CID:x@y"> src="https://mail.test/"'
    )
    assert found.has_remote_images
    assert found.html == (
        '<img data-remote-src="https://mail.test/a.png?b=1&amp;c" alt=""><img src="cid:x@y"> src="https://mail.test/"'
    )
    assert not safe_html('<img src="cid:x@y"><img src="//mail.test/a.png">').has_remote_images


@pytest.mark.parametrize(
    ("style", "safe"),
    [
        ("color: RED; Font-Family: 'Segoe UI', sans-serif", "color:RED;font-family:'Segoe UI', sans-serif"),
        ("background:rgb(1, 2, 3)", "background:rgb(1, 2, 3)"),
        ("background:url(https://mail.test/x)", None),
        ("background:URL('https://mail.test/x')", None),
        (r"background:u\72l(https://mail.test/x)", None),
        ("background:u/**/rl(x)", None),
        ("background:image-set('https://mail.test/x' 1x)", None),
        ("background:var(--x)", None),
        ("width:expression(alert(1))", None),
        ("position:fixed; top:0; color:red", "color:red"),
        ("margin-left:-900px", None),
        ("content:'https://mail.test/x'", None),
        ("color:red;;x", "color:red"),
    ],
)
def test_styles_can_only_colour_and_space(style: str, safe: str | None) -> None:
    assert safe_style(style) == safe


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 50_000,
        "<div a=</div>" * 15_000,
        ("<div>" * 100 + '<div a="' + "</div>" * 100 + '">') * 150,
        ("<div>" * 100 + "<style>" + "</div>" * 100 + "</style>") * 150,
        "<p>" + "".join(f"<b a={one}>" for one in range(500)) + "</p>" + PARAGRAPHS,
        "<p>" + "".join(f"<FONT a='\"' b='>{one}'>" for one in range(500)) + "</p>" + PARAGRAPHS,
        "<table>" + "".join(f"<i a={one}><td></i></td>" for one in range(1000)) + "</table>" + PARAGRAPHS,
        "<!--" * 50_000,
        '<a b="' * 30_000,
        "<a " + "a=" * 100_000,
        "<" * 200_000,
        "<p style='" + "color:red;" * 20_000 + "'>",
    ],
)
def test_no_html_takes_long(html: str) -> None:
    start = time.process_time()
    safe = safe_html(html[:200_000]).html
    text_of(safe)
    assert time.process_time() - start < SECOND
    assert len(safe) < 5 * 200_000
    assert depth_of(safe) < 4 * LEVELS


def depth_of(safe: str) -> int:
    tags = re.findall(r"<(/?)([a-z0-9]+)", safe)
    depths = accumulate(-1 if end else 1 for end, name in tags if name not in ("br", "img"))
    return max(depths, default=0)


def test_too_much_is_cut() -> None:
    assert len(safe_html("x" * (MOST + 1)).html) == MOST
    assert safe_html("<div>" * LEVELS + "a" + "<div>b").html.count("<div>") == LEVELS
    assert "b" not in safe_html("<div>" * LEVELS + "<p>a" + "<div>b").html


def test_formatting_that_could_grow_still_looks_like_it() -> None:
    many = "".join(f"<b title={one}>a</b>" for one in range(2000))
    assert '<span style="font-weight:bold">a</span>' in safe_html(many).html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a\n b</p><p>c</p>", "a b\n\nc"),
        ("<div>a</div><div>b<br>c</div>", "a\nb\nc"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<a href='https://mail.test/x'>here</a>", "here <https://mail.test/x>"),
        ("<a href='https://mail.test/'>mail.test</a>", "mail.test"),
        ("yes<blockquote>a<br>b<blockquote>c</blockquote></blockquote>no", "yes\n\n> a\n> b\n>\n> > c\n\nno"),
        ("a &lt;b&gt; &amp;&nbsp;c", "a <b> & c"),
        ("<img alt='a smile' src='cid:x'><img alt='smile.png' src='cid:y'>", "a smile"),
    ],
)
def test_html_has_a_text(html: str, text: str) -> None:
    assert text_of(safe_html(html).html) == text


def test_broken_lines_flow_again() -> None:
    text = "This goes \non.\n\n> So does \n> this,\n>> not this.\n-- \nAnn"
    assert flowing(text, deletes_space=False) == "This goes on.\n\n> So does this,\n>> not this.\n-- \nAnn"
    assert flowing("one \ntwo", deletes_space=True) == "onetwo"
