"""Prototxts whose data layers have fields of another Caffe are read; others are an error in their line."""

import warnings

import pytest
from hypothesis import given, strategies as st

from helpers import nets, unknown_fields

# As the CFN authors' two prototxts begin, with two tiles and small layers; the fields' names are theirs.
SIAMESE = """name: "two tiles"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: PHASE }
  transform_param {
    crop_size: 255  mean_value: 104 mean_value: 117 mean_value: 123
    hash_file: "./permutations.bin" # { a brace
    siamese_size: 2
    patch_size: 8 ; jitter_size: 1
  }
  data_param { source: "train { \\" }" batch_size: 4 backend: LMDB rand_jump: -1 }
}
"""
BRANCHES = """layer { name: "slice" type: "Slice" bottom: "data" top: "one" top: "two"
  slice_param { slice_dim: 1 slice_point: 3 } }
""" + "".join(
    f"""layer {{ name: "conv_{tile}" type: "Convolution" bottom: "{tile}" top: "conv_{tile}"
  param {{ name: "w" }} param {{ name: "b" }} convolution_param {{ num_output: 4 kernel_size: 3 }} }}
"""
    for tile in ("one", "two")
)
# As nofe's begin: a data layer of a type of their own.
MAPPED = """layer { name: "data" type: "MapData" top: "data" top: "label" top: "meta_label"
  include < phase: PHASE >
  data_param { source: "lmdb" batch_size: 6 backend: LEVELDB_OF_OURS labels_map_file: 'a' "b" }
  map_data_param [ { x: 1 }, < y: 2 > ] }
layer { name: "sil" type: "Silence" bottom: "meta_label" }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
"""


def read(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return nets.read(path)


def both_phases(text):
    return text.replace("PHASE", "TRAIN") + text.replace("PHASE", "TEST").replace('name: "two tiles"', "")


def test_the_cfn_authors_fields_are_skipped_with_a_warning(tmp_path):
    words = (
        "the data layer data has transform_param.hash_file, transform_param.siamese_size, .*patch_size, .*jitter_size"
    )
    with pytest.warns(UserWarning, match=words + r", data_param.rand_jump, unknown to this Caffe and skipped.*data=\("):
        net = read(tmp_path, both_phases(SIAMESE) + BRANCHES)
    assert [layer.data_param.batch_size for layer in net.layer[:2]] == [4, 4]
    with pytest.warns(UserWarning, match="taken to give 4 x 6 x 8 x 8"):
        assert nets.parameter_counts(net, data=(6, 8, 8)) == {"conv_one": 4 * 27 + 4}
    with pytest.raises(ValueError, match=r"4 x 3 x 255 x 255; data=\(channels, height, width\) says otherwise"):
        nets.parameter_counts(net)


def test_data_layers_of_an_unknown_type_are_replaced_by_their_shape(tmp_path):
    with pytest.warns(UserWarning, match="data_param.backend, data_param.labels_map_file, map_data_param, unknown"):
        net = read(tmp_path, both_phases(MAPPED).partition('layer { name: "sil"')[0] + MAPPED.replace("PHASE", "TEST"))
    with pytest.warns(UserWarning, match="data reads lmdb, which is not read here: it is taken to give 6 x None"):
        assert nets.parameter_counts(net) == {"conv": None}
    with pytest.warns(UserWarning):
        shapes = nets.blob_shapes(net, data=(3, 9, 9))
    assert shapes["conv"] == (6, 4, 7, 7) and shapes["meta_label"] == (6,)


@pytest.mark.parametrize(
    "text, line",
    [
        (BRANCHES.replace("num_output", "num_outputs"), '4:.*no field named "num_outputs"'),
        (SIAMESE.replace("PHASE", "TEST") + BRANCHES.replace("slice_dim: 1", "slice_dim: 1 hash: 2"), "12:.*hash"),
        (SIAMESE.replace("PHASE", "VALIDATION"), "2:"),
        ('layer { name: "data" type: "Input" top: "data" input_param { shapes { dim: 1 } } }', "1:.*shapes"),
        (SIAMESE.replace("PHASE", "TEST")[:-4], r"\d+:"),
    ],
)
def test_what_is_computed_or_chosen_is_not_skipped(tmp_path, text, line):
    with pytest.raises(ValueError, match=f"net.prototxt is not the prototxt of a net: ({line})"):
        read(tmp_path, text)


def test_nothing_is_said_where_nothing_is_unknown(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path, str(nets.branch(4))) == nets.branch(4)


@given(st.text(alphabet="layer{}<>[]:\"'#\\\n top:d_-", max_size=60))
def test_any_text_keeps_its_length_and_lines(text):
    found, _ = unknown_fields.without_unknown(text)
    assert len(found) == len(text) and found.count("\n") == text.count("\n")


def test_messages_deeper_than_any_of_caffes_are_left_to_the_parser():
    text = "a {" * 5000
    assert unknown_fields.without_unknown(text) == (text, {})
