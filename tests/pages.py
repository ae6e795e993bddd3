"""A page as tests ask it."""

import html.parser

VOID = {'meta', 'link', 'input', 'img', 'br'}


class Page(html.parser.HTMLParser):
  """A page as what is asked of it: elements, text, and whether it is whole."""

  def __init__(self, path):
    super().__init__()
    self.source = path.read_text()
    self.elements, self._open, self.texts = [], [], []
    self.feed(self.source)
    assert self._open == []

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in VOID and not self.get_starttag_text().endswith('/>'):
      self._open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    if self._open[-1:] not in (['style'], ['script']):
      self.texts.append(data.strip())

  @property
  def text(self):
    return ' '.join(filter(None, self.texts))

  @property
  def sections(self):
    return [a['id'] for tag, a in self.elements if tag == 'section']

  def attributes(self, tag, name):
    return [a[name] for t, a in self.elements if t == tag and name in a]
