"""The layers that a prototxt has in a phase, with stages and a level, are those that Caffe builds."""

import tempfile

import caffe
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from hypothesis import given, settings, strategies as st

from helpers import nets

STAGES = st.lists(st.sampled_from(("deploy", "val", "linear")), max_size=2, unique=True)
RULE = st.fixed_dictionaries(
    {"stage": STAGES, "not_stage": STAGES},
    optional={
        "phase": st.sampled_from((caffe.TRAIN, caffe.TEST)),
        "min_level": st.integers(-1, 2),
        "max_level": st.integers(-1, 2),
    },
)
RULES = st.lists(
    st.tuples(st.sampled_from(("include", "exclude", None)), st.lists(RULE, min_size=1, max_size=2)),
    min_size=1,
    max_size=4,
)


def net_of(rules, own_stages=()):
    net = caffe_pb2.NetParameter()
    data = net.layer.add(name="data", type="Input", top=["data"])
    data.input_param.shape.add(dim=[1, 2])
    for number, (kind, conditions) in enumerate(rules):
        layer = net.layer.add(name=f"power{number}", type="Power", bottom=["data"], top=[f"power{number}"])
        for condition in conditions if kind else ():
            getattr(layer, kind).add(**condition)
    net.state.stage.extend(own_stages)
    return net


@settings(max_examples=200, deadline=None)
@given(RULES, st.sampled_from((caffe.TRAIN, caffe.TEST)), STAGES, STAGES, st.integers(-1, 2))
def test_as_caffe_filters(rules, phase, stages, own_stages, level):
    net = net_of(rules, own_stages)
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(str(net))
        file.flush()
        built = caffe.Net(file.name, phase, level=level, stages=stages)
    filtered = nets.filter_net(net, phase, stages, level)
    assert [layer.name for layer in filtered.layer] == [
        name
        for name in built._layer_names
        if not name.startswith("data_")  # Caffe's own Split
    ]
    assert nets.filter_net(filtered, phase) == filtered


def test_both_kinds_of_rules_are_refused_by_name():
    net = net_of([("include", [{"phase": caffe.TEST}])])
    net.layer[1].exclude.add(stage=["val"])
    with pytest.raises(ValueError, match="power0 has include and exclude rules"):
        nets.filter_net(net)
    with pytest.raises(ValueError, match="power0 has include and exclude rules"):
        nets.parameter_counts(net)


def test_layers_of_2014_have_rules_too():
    net = text_format.Parse(
        'layers { name: "a" type: RELU include { phase: TRAIN } } layers { name: "b" type: RELU }',
        caffe_pb2.NetParameter(),
    )
    assert [layer.name for layer in nets.filter_net(net).layers] == ["b"]


TWO_ENDS = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 }
    exclude { stage: "deploy" } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 }
    include { stage: "deploy" } }
layer { name: "late" type: "InnerProduct" bottom: "ip" top: "late" inner_product_param { num_output: 1 }
    include { min_level: 1 } }"""


def test_stages_and_levels_are_chosen_before_anything_is_counted():
    net = text_format.Parse(TWO_ENDS, caffe_pb2.NetParameter())
    assert nets.parameter_counts(net) == {"ip": 15}
    assert nets.parameter_counts(nets.filter_net(net, stages=["deploy"])) == {"ip": 25}
    assert nets.blob_shapes(nets.filter_net(net, level=2))["late"] == (1, 1)
