"""What a drawing becomes inside a page."""

import re

from service.report.svg import inline

DRAWN = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt" viewBox="0 0 72 36" xmlns="http://www.w3.org/2000/svg">
 <metadata><a href="http://elsewhere"/></metadata><defs><style type="text/css">*{color: red}</style></defs>
 <g id="axes_1"><defs><path id="m1" d="M 0.123456 1\nL 2 3.5" style="stroke: #010203"/></defs>
  <g clip-path="url(#p1)"><use xlink:href="#m1" x="1.23456" style="fill: #112233; fill-opacity: 0.123456"/></g>
  <text style="font-size: 12px; font-family: 'A B', sans-serif; text-anchor: end">&lt;script&gt; #m1</text></g>
 <defs><clipPath id="p1"><rect x="0" y="0"/></clipPath></defs></svg>"""


def test_styles_become_attributes_and_addresses_vanish() -> None:
    made = inline(DRAWN, "#010203", 'told "so"')
    assert re.findall(r"style|http|xmlns|font-family|metadata", made) == []
    assert '<svg viewBox="0 0 72 36" width="72" height="36" role="img" aria-label="told &quot;so&quot;"' in made
    assert 'stroke="currentColor"' in made
    assert 'fill="#112233" fill-opacity="0.123456"' in made
    assert 'font-size="12px" text-anchor="end">&lt;script&gt; #m1</text>' in made


def test_ids_stay_where_they_are_used() -> None:
    made = inline(DRAWN, "#010203", "")
    assert re.findall(r'id="(\w+)"', made) == ["m1", "p1"]
    assert 'href="#m1"' in made
    assert 'clip-path="url(#p1)"' in made


def test_places_are_told_to_a_hundredth() -> None:
    assert 'd="M 0.12 1 L 2 3.5"' in inline(DRAWN, "", "")
    assert 'x="1.23"' in inline(DRAWN, "", "")
