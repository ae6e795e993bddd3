"""Tests of the pages in a real browser, where there is one.

Debian: `apt-get install chromium`; CHROMIUM names another one.
"""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from run_files import GENOTYPE, search_records, write_lines, write_search

from opp_darts_jax.reporting import compare_page, report

sync_api = pytest.importorskip('playwright.sync_api')
CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium')
pytestmark = pytest.mark.skipif(
  not CHROMIUM, reason='no browser: install chromium, or name it by CHROMIUM'
)
ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
EPOCHS = 50
# Each text's colour and what it stands on, the nearest ground that is painted.
CONTRASTS = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map(
      (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = {};
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(
      (child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || node.closest('script')) continue;
    if (!node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const color = channels(node.ownerSVGElement ? style.fill : style.color);
    const [a, b] = [luminance(color), luminance(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${node.tagName}.${node.getAttribute('class') ?? ''}`;
    found[name] = Math.min(found[name] ?? 99, ratio);
  }
  return found;
}"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A search of 50 epochs, whose normal cell changes at every one."""
  folder = tmp_path_factory.mktemp('search')
  write_search(folder)
  rng = np.random.default_rng(0)
  names = ['none', 'max_pool_3x3', 'avg_pool_3x3', 'skip_connect']
  names += [f'{n}_conv_{k}x{k}' for n in ('sep', 'dil') for k in (3, 5)]
  records = list(search_records(epochs=2))[:2]
  for epoch in range(EPOCHS):
    *_, end = search_records(epochs=1)
    normal = [
      [names[rng.integers(1, 8)], int(rng.integers(0, node))]
      for node in range(2, 6)
      for _ in range(2)
    ]
    genotype = {**GENOTYPE, 'normal': normal}
    records.append(
      {**end, 'epoch': epoch, 'step': 10 * (epoch + 1), 'genotype': genotype}
    )
  write_lines(folder / 'metrics.jsonl', records)
  (folder / 'genotype.json').write_text(json.dumps(records[-1]['genotype']))
  alphas = [
    {
      'epoch': epoch,
      'step': 10 * (epoch + 1),
      'operations': names,
      'normal': rng.normal(size=(14, 8)).tolist(),
      'reduce': rng.normal(size=(14, 8)).tolist(),
    }
    for epoch in range(EPOCHS)
  ]
  write_lines(folder / 'alphas.jsonl', alphas)
  return folder


@pytest.fixture(scope='module')
def pages(folder):
  """Of a run, of one that gave another cell, and of both in comparison."""
  other = shutil.copytree(folder, folder.parent / 'other')
  config = json.loads((other / 'config.json').read_text())
  (other / 'config.json').write_text(json.dumps({**config, 'space': 's3'}))
  (other / 'results.json').write_text('{"ended_by": "the method"}')
  (other / 'genotype.json').write_text(json.dumps(GENOTYPE))
  return {
    'report': report.write_report(folder),
    'ended': report.write_report(other),
    'compare': compare_page.write(
      [folder, other], folder.parent / 'compare.html'
    ),
  }


@pytest.fixture(scope='module')
def browser():
  with sync_api.sync_playwright() as playwright:
    opened = playwright.chromium.launch(
      executable_path=CHROMIUM, args=ARGUMENTS
    )
    yield opened
    opened.close()


@pytest.fixture
def show(browser, pages):
  """Opens a page; in the end nothing may have been said on its console."""
  said, contexts = [], []

  def open_page(name='report', width=1200, **options):
    viewport = {'width': width, 'height': 900}
    context = browser.new_context(viewport=viewport, **options)
    contexts.append(context)
    page = context.new_page()
    page.on('console', lambda message: said.append(message.text))
    page.on('pageerror', lambda error: said.append(str(error)))
    page.on('request', lambda request: requested.append(request.url))
    requested = []
    page.goto(pathlib.Path(pages[name]).as_uri())
    own = [url for url in requested if not url.startswith('data:')]
    assert own == [pathlib.Path(pages[name]).as_uri()]
    return page

  yield open_page
  for context in contexts:
    context.close()
  assert said == []


def frames(page):
  """The first epochs of the frames that are seen, a cell each."""
  return page.eval_on_selector_all(
    '[data-first]:not([hidden])',
    'found => found.map((frame) => Number(frame.dataset.first))',
  )


def test_the_slider_moves_by_keyboard(show):
  page = show()
  slider = page.locator('#epoch')
  assert slider.is_visible()
  assert frames(page) == [EPOCHS - 1, 0]
  now = page.locator('.now').first
  last = float(now.get_attribute('x1'))
  slider.focus()
  page.keyboard.press('ArrowLeft')
  assert frames(page) == [EPOCHS - 2, 0]
  assert slider.get_attribute('aria-valuetext') == f'epoch {EPOCHS - 2}'
  assert page.locator('#epoch-text').inner_text() == f'epoch {EPOCHS - 2}'
  assert 'Normal cell' in page.locator('#epoch-changes').inner_text()
  per = float(now.get_attribute('data-per'))
  assert float(now.get_attribute('x1')) == pytest.approx(last - per)
  page.keyboard.press('Home')
  assert frames(page) == [0, 0]


def test_what_a_search_gave_stands_after_the_last_epoch(show):
  page = show('ended')
  text, now = page.locator('#epoch-text'), page.locator('.now').first
  assert frames(page) == [EPOCHS, 0]
  assert text.inner_text() == 'the search'
  at = now.get_attribute('x1')
  page.locator('#epoch').focus()
  page.keyboard.press('ArrowLeft')
  assert frames(page) == [EPOCHS - 1, 0]
  assert text.inner_text() == f'epoch {EPOCHS - 1}'
  assert now.get_attribute('x1') == at  # Both are at the end of all charts.


@pytest.mark.parametrize('name', ['report', 'compare'])
def test_nothing_is_wider_than_a_narrow_screen(show, name):
  page = show(name, width=400)
  assert page.evaluate('document.documentElement.scrollWidth') == 400
  page.evaluate(
    'document.querySelectorAll("details").forEach((d) => { d.open = true })'
  )
  assert page.evaluate('document.documentElement.scrollWidth') == 400


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_texts_can_be_read(show, scheme):
  for name in ('report', 'compare'):
    found = show(name, color_scheme=scheme).evaluate(CONTRASTS)
    assert len(found) > 10
    assert {n: r for n, r in found.items() if r < 4.5} == {}
  page = show(color_scheme=scheme)
  ground = page.evaluate('getComputedStyle(document.body).backgroundColor')
  assert (
    ground == {'light': 'rgb(253, 253, 252)', 'dark': 'rgb(20, 23, 26)'}[scheme]
  )


@pytest.mark.parametrize('name', ['report', 'compare'])
def test_every_picture_has_a_text(show, name):
  page = show(name)
  without = page.eval_on_selector_all(
    'svg:not([aria-hidden]), img',
    'all => all.filter((p) => !p.getAttribute("aria-label") && !p.alt).length',
  )
  assert without == 0
  assert page.locator('svg[role=img]').count() >= 8


def test_a_table_is_sorted_by_its_head(show):
  page = show('compare')
  table = page.locator('table', has=page.locator('text=collapse'))
  head = table.locator('th', has_text='run').first
  runs = table.locator('tbody td:first-child')
  head.locator('button').press('Enter')
  assert head.get_attribute('aria-sort') == 'ascending'
  names = runs.all_inner_texts()
  assert names == sorted(names)
  head.locator('button').press('Enter')
  assert runs.all_inner_texts() == names[::-1]


def test_the_last_cell_is_there_without_scripts(show):
  page = show(java_script_enabled=False)
  assert not page.locator('#epoch').is_visible()
  assert page.locator('[data-first]:not([hidden])').count() == 2
  assert page.locator('noscript p').count() == 1


def test_print_shows_all_but_what_only_a_screen_can(show):
  page = show()
  page.emulate_media(media='print')
  assert not page.locator('nav').is_visible()
  assert not page.locator('.slide').is_visible()
  assert page.locator('svg.graph:visible').count() == 2


def test_a_page_of_fifty_epochs_is_small(show, pages):
  """Half of what it may have; such a page takes a browser a fraction of 1 s."""
  assert pages['report'].stat().st_size < 1_500_000
  page = show()
  assert page.evaluate('document.querySelectorAll("*").length') < 25_000
  assert page.locator('[data-cell] [data-first]').count() == EPOCHS + 1
