"""Tests of the record of a stage."""

from opp_darts_jax.methods.stages import Stage


def test_stages_go_through_json():
  stage = Stage(4, ('none', 'sep_conv_3x3'), {'none': 1.5})
  fields = {'epoch': 4, 'entered': ['none', 'sep_conv_3x3']}
  assert stage == Stage.from_json({**fields, 'losses': {'none': 1.5}})
