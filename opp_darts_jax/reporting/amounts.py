"""Amounts as the text of a page."""


def percent(value: float) -> str:
  """A share."""
  digits = 0 if value in (0, 1) else 1
  return f'{100 * value:.{digits}f} %'


def number(value: float) -> str:
  """A number, of about three figures."""
  if value and abs(value) < 1e-3:
    return f'{value:.1e}'
  places = 0 if abs(value) >= 1000 else 3 if abs(value) < 10 else 1
  return f'{value:,.{places}f}'


def counted(count: int, name: str) -> str:
  """So many of what has a name."""
  return f'{count or "no"} {name}{"" if count == 1 else "s"}'


def duration(seconds: float) -> str:
  """A time."""
  if seconds < 60:
    return f'{seconds:.1f} s'
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours} h {minutes} min' if hours else f'{minutes} min {rest} s'
