"""Tests of the published cells and of what else names a genotype."""

import json
import re

import pytest
from genotype_cells import BENCH, SEP3, SKIP, TINY

from opp_darts_jax import errors
from opp_darts_jax.genotypes import published
from opp_darts_jax.genotypes.darts_form import to_text
from opp_darts_jax.genotypes.pairs import pairs

TINY_TEXT = to_text(TINY)


@pytest.mark.parametrize('name', published.GENOTYPES)
def test_published_names(name):
  assert published.load_genotype(name) == published.GENOTYPES[name]


def test_published_cells():
  opp = published.GENOTYPES['OPP_DARTS']
  assert pairs(opp['normal']) == ((SEP3, 0), (SEP3, 1)) * 3 + (
    ('dil_conv_3x3', 0),
    (SKIP, 2),
  )
  assert pairs(opp['reduce'])[2:6] == (('avg_pool_3x3', 0), (SKIP, 2)) * 2
  other = published.GENOTYPES['OPP_DARTS_REPOSITORY']
  assert [edge.source for edge in other['normal'].edges] == [
    0,
    1,
    2,
    0,
    1,
    2,
    2,
    1,
  ]
  assert other['reduce'].output == (2, 3, 4, 5)
  assert published.GENOTYPES['AmoebaNet']['reduce'].output == (3, 4, 6)


def test_load_genotype_takes_texts_and_files(tmp_path):
  assert published.load_genotype(TINY_TEXT) == TINY
  assert published.load_genotype(json.dumps(TINY.to_dict(), indent=2)) == TINY
  path = tmp_path / 'genotype.txt'
  for text in (TINY_TEXT, f'OURS = {TINY_TEXT}\n', TINY.to_json()):
    path.write_text(text)
    assert published.load_genotype(str(path)) == TINY


def test_further_parsers(tmp_path):
  def stars(text):
    if not text.startswith('*'):
      return None
    if text != '**':
      raise errors.UserError(f'Expected two stars, got {text!r}.')
    return BENCH

  parsers = [lambda text: None, stars]
  assert published.load_genotype('**', parsers) == BENCH
  assert published.load_genotype('DARTS_V2', parsers) != BENCH
  assert published.load_genotype(TINY_TEXT, parsers) == TINY
  assert published.load_genotype(BENCH.to_json(), parsers) == BENCH
  with pytest.raises(errors.UserError, match='^Expected two stars'):
    published.load_genotype('*', parsers)
  path = tmp_path / 'stars.txt'
  path.write_text('**')
  assert published.load_genotype(str(path), parsers) == BENCH
  path.write_text('***')
  with pytest.raises(errors.UserError, match='In .*txt: Expected two stars'):
    published.load_genotype(str(path), parsers)
  path.write_text('x')
  with pytest.raises(errors.UserError, match='txt: expected a genotype, got t'):
    published.load_genotype(str(path), parsers)


@pytest.mark.parametrize(
  'spec', ['DARTS_V3', '', 'x' * 5000, 'a\0b', '~no_such_user']
)
def test_load_genotype_lists_the_published(spec):
  with pytest.raises(
    errors.UserError,
    match=r'; valid are JSON \(.*, the text Genotype\(.*, and NASNet, '
    'AmoebaNet, DARTS_V1, DARTS_V2, OPP_DARTS, OPP_DARTS_REPOSITORY',
  ):
    published.load_genotype(spec)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{"normal": [', 'Expected a genotype as JSON, but it does not parse'),
    ('', 'expected a genotype, got none; valid are JSON'),
    (
      ' hello: world',
      "expected a .*, got text that begins 'hello: world'; val",
    ),
    ('{}', r'Expected a genotype with the fields normal, .* got \[\]'),
    ('Genotype(', 'Expected the text Genotype'),
  ],
)
def test_broken_file_is_named(tmp_path, text, message):
  path = tmp_path / 'genotype.json'
  path.write_text(text)
  with pytest.raises(
    errors.UserError, match=f'In {re.escape(str(path))}: {message}'
  ):
    published.load_genotype(str(path))


@pytest.mark.parametrize(
  'content',
  [
    TINY_TEXT.encode('utf-8-sig'),
    TINY.to_json().encode('utf-8-sig'),
    TINY_TEXT.replace(', ', ',\r\n').encode('utf-16'),
  ],
)
def test_files_as_windows_writes_them(tmp_path, content):
  path = tmp_path / 'genotype.txt'
  path.write_bytes(content)
  assert published.load_genotype(str(path)) == TINY


def test_a_file_with_a_published_name(tmp_path):
  path = tmp_path / 'genotype.txt'
  path.write_text('DARTS_V2\n')
  found = published.load_genotype(str(path))
  assert found == published.GENOTYPES['DARTS_V2']


def test_files_that_are_no_text(tmp_path):
  path = tmp_path / 'genotype.txt'
  path.write_bytes(b'\x80\x02abc')
  for place, got in (
    (path, r'no text in UTF-8 \(byte 0\); valid are JSON'),
    (tmp_path, 'genotype.json of a run, got a folder'),
    ('/dev/zero', 'a file of more than 1 MB; valid are'),
  ):
    with pytest.raises(errors.UserError, match=f'^In {place}: .*{got}'):
      published.load_genotype(str(place))
