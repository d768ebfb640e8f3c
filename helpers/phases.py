"""The layers that a prototxt has in a phase, in one place: Caffe's own rule (net.cpp, FilterNet). It needs no Caffe."""

import copy

TRAIN, TEST = 0, 1  # caffe.proto, Phase


def filter_net(net, phase=TEST, stages=(), level=0):
    """A copy of a prototxt message with those layers alone that Caffe builds, and without their rules.

    Parameters
    ----------
    net : NetParameter
        Any prototxt message; a `state` of its own names stages, too, as Caffe has it.
    phase : int
        caffe.TEST or caffe.TRAIN. Build the copy in the same phase.
    stages : sequence of str
        Stages that are set, such as "deploy" in the prototxts of NVIDIA DIGITS.
    level : int
        What min_level and max_level are compared with.

    Raises
    ------
    ValueError
        For a layer that has include and exclude rules, which Caffe refuses.
    """
    filtered, stages = copy.deepcopy(net), {*stages, *net.state.stage}
    for field in ("layer", "layers"):  # today's, and those of 2014
        layers = getattr(net, field)
        filtered.ClearField(field)
        getattr(filtered, field).extend(layer for layer in layers if _included(layer, phase, stages, level))
        for layer in getattr(filtered, field):
            layer.ClearField("include")
            layer.ClearField("exclude")
    return filtered


def _included(layer, phase, stages, level):
    if layer.include and layer.exclude:
        raise ValueError(f"{layer.name} has include and exclude rules; Caffe takes one kind or the other, so drop one")
    rules = layer.include or layer.exclude
    return any(_met(rule, phase, stages, level) for rule in rules) == bool(layer.include)


def _met(rule, phase, stages, level):
    """net.cpp, StateMeetsRule."""
    return (
        (not rule.HasField("phase") or rule.phase == phase)
        and (not rule.HasField("min_level") or level >= rule.min_level)
        and (not rule.HasField("max_level") or level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )
