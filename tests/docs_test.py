"""The documents: their examples run as printed, and what they name exists.

But that networks have a cell less, which takes half the time.
"""

import contextlib
import pathlib
import re
import runpy
import shlex
from typing import NamedTuple

import pytest
import toy_supernet
from launched import ROOT, launch

import opp_darts_jax
from opp_darts_jax import errors
from opp_darts_jax.launchers import config_files, main
from opp_darts_jax.methods.stages import Change

FILES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Sections that show what supernets have no part in.
ON_TOYS = ('A config', 'A method', 'A schedule', 'A callback', 'A notebook')
DEFAULTS = {'search': 'digits', 'train': 'digits:train'}
RECORDS = {'Change': Change} | {
  name: getattr(opp_darts_jax, name)
  for name in ('Method', 'Operation', 'Space')
}


class Block(NamedTuple):
  """Code in a document: its language, the line it begins at, its text."""

  language: str
  line: int
  text: str

  @property
  def file(self):
    """The name of the file that the block is, if it is one."""
    named = re.match(r'# (\w+\.py)\n', self.text)
    return named and named[1]


def blocks(text):
  """Blocks of Python, and indented ones, which are for a shell."""
  pattern = r'^```python\n(.*?)^```$|((?:^    .*\n)+)'
  for found in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
    line = text[: found.start()].count('\n') + 1
    if found[1]:
      yield Block('python', line + 1, found[1])
    else:
      lines = [each.removeprefix('    ') for each in found[2].splitlines()]
      yield Block('shell', line, '\n'.join(lines))


def smaller(text):
  """Of one cell, which reduces, as two would."""
  return re.sub(r"(\blayers'?[=:] ?)2\b", r'\g<1>1', text)


def sections(name):
  """(document, its blocks, on toys) of the sections with Python in them."""
  text = (ROOT / name).read_text()
  starts = [m.start() for m in re.finditer('^## ', text, re.MULTILINE)]
  for start, end in zip(starts, [*starts[1:], len(text)]):
    lines = text[:start].count('\n')
    own = [
      b._replace(line=b.line + lines, text=smaller(b.text))
      for b in blocks(text[start:end])
    ]
    if any(block.language == 'python' for block in own):
      title = text[start:].split('\n')[0][3:]
      yield pytest.param(name, own, title in ON_TOYS, id=title)


def commands(block):
  """The words of each call of opp-darts in a shell block."""
  for line in block.text.replace('\\\n', ' ').splitlines():
    if line.startswith('opp-darts '):
      yield shlex.split(line, comments=True)[1:]


def all_commands():
  for path in FILES:
    for block in blocks(path.read_text()):
      if block.language == 'shell':
        for words in commands(block):
          yield pytest.param(words, id=f'{path.name}:{block.line}')


@pytest.mark.parametrize(
  ('name', 'own', 'on_toys'),
  [*sections('README.md'), *sections('docs/guide.md')],
)
def test_examples(name, own, on_toys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  place = contextlib.nullcontext()
  if on_toys:
    place = toy_supernet.in_place_of_supernets(check=True)
  with place:
    run_blocks(name, own, tmp_path)


def run_blocks(name, own, tmp_path):
  known = {'__name__': '__main__'}
  for block in own:
    if block.file:
      (tmp_path / block.file).write_text(block.text)
    elif block.language == 'shell':
      for words in commands(block):
        done = launch(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    else:
      where = '\n' * (block.line - 1)  # So that tracebacks tell the line.
      exec(compile(where + block.text, str(ROOT / name), 'exec'), known)


@pytest.mark.parametrize('words', all_commands())
def test_commands_have_configs_and_fields(words):
  command, *flags = words
  assert command in main.COMMANDS
  pairs = dict(flag.removeprefix('--').partition('=')[::2] for flag in flags)
  for name in pairs.get('configs', '').split(','):
    assert not name or config_files.load(name)
  if pairs.get('config', '').endswith('.py'):
    return  # A file of the section, whose test runs the command.
  if command in DEFAULTS:
    config = config_files.load(pairs.get('config', DEFAULTS[command]))
    for name in pairs:
      assert not name.startswith('config.') or has_field(config, name), name


def has_field(config, flag):
  for name in flag.split('.')[1:]:
    if name not in config:
      return False
    config = config[name]
  return True


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_flags_in_the_text_are_fields(path):
  configs = [config_files.load(name) for name in DEFAULTS.values()]
  for flag in re.findall(r'--(config\.[a-z_.]*[a-z])', path.read_text()):
    assert any(has_field(config, flag) for config in configs), flag


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
  for link in re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', path.read_text()):
    assert (path.parent / link).exists(), link


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_files_in_the_text_exist(path):
  named = re.findall(
    r'`((?:opp_darts_jax|experiments)/[\w/.]+)`', path.read_text()
  )
  for name in named:
    assert (ROOT / name).exists(), name


def test_every_exit_code_is_told():
  text = (ROOT / 'docs/running.md').read_text()
  rows = re.findall(r'^\| ([\d, ]+) \|', text, re.MULTILINE)
  told = {int(code) for row in rows for code in row.split(',')}
  kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
  assert {k.exit_code for k in kinds if hasattr(k, 'exit_code')} <= told


def test_fields_in_the_table_of_methods_exist():
  text = pathlib.Path(ROOT, 'docs/methods.md').read_text()
  named = re.findall(rf'`({"|".join(RECORDS)})\.(\w+)`', text)
  assert len(named) > 20
  for record, field in named:
    kind = RECORDS[record]
    fields = getattr(kind, '_fields', None) or kind.__dataclass_fields__
    assert field in fields, f'{record}.{field}'


def test_the_page_of_fields_is_made_of_the_configs():
  made = runpy.run_path(str(ROOT / 'experiments' / 'config_page.py'))
  assert made['page']() == made['PAGE'].read_text()
