# What the release lost of BVLC's Caffe 1.0 (commit 9b89154), put back in changed copies; and what is wrong in BVLC's, too.
# README.md lists every file that differs; tests/setup/test_as_bvlc.py tests 1.0's behaviour.

# Fields, with BVLC's names and numbers; fields of the release's that had taken these numbers have others now.
change(src/caffe/proto/caffe.proto
  "optional string eval_type = 41" "optional bool layer_wise_reduce = 41 [default = true];
  // Caffemodels to start from, several of them separated by commas, as --weights of `caffe train`, which counts more.
  repeated string weights = 42;
  optional string eval_type = 141"
  "optional string ap_version = 42" "optional string ap_version = 142"
  "optional PSROIPoolingParameter psroi_pooling_param = 149;" "optional PSROIPoolingParameter psroi_pooling_param = 149;
  optional SwishParameter swish_param = 147;
  optional ClipParameter clip_param = 148;"
  "stride_h = 13 [default = 1];" "stride_h = 13;"
  "stride_w = 14 [default = 1];" "stride_w = 14;"
  "// Message that stores parameters used by ProposalLayer" "message SwishParameter {
  optional float beta = 1 [default = 1];
}

message ClipParameter {
  required float min = 1;
  required float max = 2;
}

// Message that stores parameters used by ProposalLayer"
  "  // Specify the infogain matrix source.
  optional string source = 1;" "  // Specify the infogain matrix source.
  optional string source = 1;
  optional int32 axis = 2 [default = 1];  // of the classes"
  "optional bool ceil_mode = 13 [default = true];" "enum RoundMode {
    CEIL = 0;
    FLOOR = 1;
  }
  optional RoundMode round_mode = 13 [default = CEIL];
  optional bool ceil_mode = 113 [default = true];")

# `caffe train --weights`; a solver's field of that name is what it comes down to.
change(tools/caffe.cpp
  "  shared_ptr<caffe::Solver<float> >
      solver(" "  if (FLAGS_snapshot.size() || FLAGS_weights.size()) solver_param.clear_weights();
  if (FLAGS_weights.size()) solver_param.add_weights(FLAGS_weights);

  shared_ptr<caffe::Solver<float> >
      solver(")

# Weights to start from, rates in the log, ranks other than 0; iterations are counted where the weights are updated.
# In BVLC's, too, a restored solver's test nets keep random weights until its first test, which shares them.
change(src/caffe/solver.cpp
  "#include \"caffe/solver.hpp\"" "#include <boost/algorithm/string.hpp>
#include \"caffe/solver.hpp\"
#include \"caffe/util/benchmark.hpp\""
  "template <typename Dtype>
void Solver<Dtype>::Init(" "template <typename Dtype>
static void load_weights(const SolverParameter& param, Net<Dtype>* net) {
  for (const string& list : param.weights()) {
    vector<string> files;
    boost::split(files, list, boost::is_any_of(\",\"));
    for (string& file : files) {
      boost::trim(file);
      LOG(INFO) << \"Finetuning from \" << file;
      net->CopyTrainedLayersFrom(file);
    }
  }
}

template <typename Dtype>
void Solver<Dtype>::Init("
  "  CHECK(Caffe::root_solver() || root_solver_)
      << \"root_solver_ needs to be set for all non-root solvers\";
" ""
  "Caffe::root_solver() && param_.random_seed() >= 0" "param_.random_seed() >= 0"
  "Caffe::set_random_seed(param_.random_seed());" "Caffe::set_random_seed(param_.random_seed() + Caffe::solver_rank());"
  "  if (Caffe::root_solver()) {
    InitTestNets();
    LOG" "  if (!root_solver_) InitTestNets();
  if (Caffe::root_solver()) {
    LOG"
  "  if (Caffe::root_solver()) {
    net_.reset(" "  if (!root_solver_) {
    net_.reset("
  "root_solver_->net_.get()));
  }" "root_solver_->net_.get()));
  }
  load_weights(param_, net_.get());"
  "  CHECK(Caffe::root_solver());
  const bool has_net_param" "  const bool has_net_param"
  "    if (Caffe::root_solver()) {
      test_nets_[i].reset(" "    if (!root_solver_) {
      test_nets_[i].reset("
  "test_nets_[i]->set_debug_info(param_.debug_info());" "test_nets_[i]->set_debug_info(param_.debug_info());
    load_weights(param_, test_nets_[i].get());"
  "  smoothed_loss_ = 0;

  while" "  smoothed_loss_ = 0;
  Timer timer;
  timer.Start();
  int shown = iter_;

  while"
  "<< \"Iteration \" << iter_
          << \", loss = \"" "<< \"Iteration \" << iter_
          << \" (\" << (iter_ - shown) / std::max(timer.Seconds(), 1e-9f) << \" iter/s, \" << timer.Seconds() << \"s/\"
          << param_.display() << \" iters), loss = \""
  "      const vector<Blob<Dtype>*>& result = net_->output_blobs();" "      timer.Start();
      shown = iter_;
      const vector<Blob<Dtype>*>& result = net_->output_blobs();"
  "    // Increment the internal iter_ counter -- its value should always indicate
    // the number of times the weights have been updated.
    ++iter_;
" ""
  "  CHECK(Caffe::root_solver());
  string state_filename" "  string state_filename"
  "    RestoreSolverStateFromBinaryProto(state_filename);
  }" "    RestoreSolverStateFromBinaryProto(state_filename);
  }
  for (auto& net : test_nets_) net->ShareTrainedLayersWith(net_.get());")
change(src/caffe/solvers/sgd_solver.cpp
  "  CHECK(Caffe::root_solver());
" ""
  "    LOG(INFO) << \"Iteration \"" "    LOG_IF(INFO, Caffe::root_solver()) << \"Iteration \""
  "  this->net_->Update();" "  this->net_->Update();
  ++this->iter_;"
  "  if (lr_policy == \"fixed\") {" "  if (lr_policy == \"step\" || lr_policy == \"sigmoid\") CHECK_GT(this->param_.stepsize(), 0);
  if (lr_policy != \"fixed\" && lr_policy != \"poly\") CHECK_GE(this->param_.gamma(), 0);
  if (lr_policy == \"fixed\") {")
change(src/caffe/solvers/adagrad_solver.cpp "  CHECK(Caffe::root_solver());\n" "")
change(src/caffe/solvers/nesterov_solver.cpp "  CHECK(Caffe::root_solver());\n" "")
change(include/caffe/solver.hpp "void ApplyUpdate() {}" "void ApplyUpdate() { ++this->iter_; }")
change(include/caffe/common.hpp
  "inline static bool root_solver() { return Get().root_solver_; }" "inline static int solver_rank() { return Get().solver_rank_; }
  inline static void set_solver_rank(int val) { Get().solver_rank_ = val; }
  inline static bool multiprocess() { return Get().multiprocess_; }
  inline static void set_multiprocess(bool val) { Get().multiprocess_ = val; }
  inline static bool root_solver() { return Get().solver_rank_ == 0; }"
  "Get().root_solver_ = val;" "Get().solver_rank_ = val ? 0 : 1;"
  "bool root_solver_;" "int solver_rank_;
  bool multiprocess_;")
change(src/caffe/common.cpp "root_solver_(true)" "solver_rank_(0), multiprocess_(false)")
change(include/caffe/layers/python_layer.hpp "        && !ShareInParallel()" "        && !Caffe::multiprocess() && !ShareInParallel()")

# What a net says in the log, `debug_info` among it, and what is called before and after each layer.
# Weights in HDF5 are known by what they hold, and keep the net's shapes. HDF5 takes "/" for a path and cannot name a
# group "", nor two alike: in BVLC's, too, layers of such names end the process.
change(include/caffe/layer_factory.hpp
  "DLOG(INFO) << \"Creating layer" "LOG(INFO) << \"Creating layer"
  "    CHECK_EQ(registry.count(type), 1)" "#if !defined(USE_LMDB) && !defined(USE_LEVELDB)
    if (type == \"Data\" || type == \"AnnotatedData\") LOG(FATAL) << \"Layer \" << param.name() << \" reads LMDB or LevelDB, \"
        << \"which this Caffe was built without; read the data in Python and feed an Input layer, or use HDF5Data\";
#endif
    if (type == \"ImageData\" || type == \"WindowData\") LOG(FATAL) << \"Layer \" << param.name() << \" is of type \" << type
        << \", which needs OpenCV, and this Caffe was built without; read the images in Python and feed an Input layer\";
    CHECK_EQ(registry.count(type), 1)")
change(include/caffe/net.hpp
  "#include <map>" "#include <functional>
#include <map>"
  " protected:
  // Helpers for Init.
  /// @brief Append" "  /// What is called with the layer's number: before and after its forward pass, before and after its backward pass.
  vector<std::function<void(int)> > callbacks_[4];

 protected:
  // Helpers for Init.
  /// @brief Append")
change(src/caffe/net.cpp
  "namespace caffe {
" "#include <boost/algorithm/string/replace.hpp>
#include <boost/filesystem.hpp>

namespace caffe {

static string hdf5_group(const string& layer) { return boost::replace_all_copy(layer, \"/\", \"%2F\"); }
"
  "  CHECK(Caffe::root_solver() || root_net_)
      << \"root_net_ needs to be set for all non-root solvers\";
" ""
  "!Caffe::root_solver()
        && root_net_->" "root_net_
        && root_net_->"
  "DLOG_IF(" "LOG_IF("
  "DLOG(INFO) << layer_" "LOG(INFO) << layer_"
  "DLOG(INFO) << \"Ignoring" "LOG(INFO) << \"Ignoring"
  "    Dtype layer_loss" "    for (auto& run : callbacks_[0]) run(i);
    Dtype layer_loss"
  "{ ForwardDebugInfo(i); }" "{ ForwardDebugInfo(i); }
    for (auto& run : callbacks_[1]) run(i);"
  "    if (layer_need_backward_[i]) {
" "    for (auto& run : callbacks_[2]) run(i);
    if (layer_need_backward_[i]) {
"
  "{ BackwardDebugInfo(i); }
    }" "{ BackwardDebugInfo(i); }
    }
    for (auto& run : callbacks_[3]) run(i);"
  "trained_filename.size() >= 3 &&
      trained_filename.compare(trained_filename.size() - 3, 3, \".h5\") == 0" "boost::filesystem::exists(trained_filename) && H5Fis_hdf5(trained_filename.c_str()) > 0"
  "string source_layer_name = hdf5_get_name_by_idx(data_hid, i);" "const string group = hdf5_get_name_by_idx(data_hid, i);
    string source_layer_name = group;
    if (!layer_names_index_.count(group)) boost::replace_all(source_layer_name, \"%2F\", \"/\");"
  "H5Gopen2(data_hid, source_layer_name.c_str()" "H5Gopen2(data_hid, group.c_str()"
  "string layer_name = layer_param.name();" "string layer_name = hdf5_group(layer_param.name());
    const bool named = layer_name.size() && layer_names_index_.at(layer_param.name()) == layer_id;
    if (!named && layers_[layer_id]->blobs().empty()) continue;")
change(include/caffe/util/hdf5.hpp "Blob<Dtype>* blob);" "Blob<Dtype>* blob, bool reshape = false);")
change(src/caffe/util/hdf5.cpp
  "Dtype>* blob) {" "Dtype>* blob, bool reshape) {"
  "float>* blob) {" "float>* blob, bool reshape) {"
  "double>* blob) {" "double>* blob, bool reshape) {"
  "max_dim, blob);" "max_dim, blob, reshape);"
  "  blob->Reshape(blob_dims);" "  if (reshape) blob->Reshape(blob_dims);
  CHECK(blob->shape() == blob_dims) << \"Cannot load blob from hdf5; shape mismatch. Source shape is \"
      << Blob<Dtype>(blob_dims).shape_string() << \" target shape is \" << blob->shape_string();")
change(src/caffe/layers/hdf5_data_layer.cpp "hdf_blobs_[i].get());" "hdf_blobs_[i].get(), true);")

# Memory of the caller's is as large as the blob, not as the blob was; the words for a wrong copy read axes that are not there.
change(src/caffe/blob.cpp
  "  data_->set_cpu_data(data);" "  const size_t size = count_ * sizeof(Dtype);
  if (data_->size() != size) {
    data_.reset(new SyncedMemory(size));
    diff_.reset(new SyncedMemory(size));
  }
  data_->set_cpu_data(data);"
  "      LOG(FATAL) << source.shape()[0]" "      if (false) LOG(FATAL) << source.shape()[0]")

# Blobs of any number of axes (3-D convolution has five); a bilinear kernel of an odd size is centred.
change(include/caffe/filler.hpp
  "blob->num()" "blob->shape(0)"
  "blob->count() / blob->channels()" "blob->num_axes() > 1 ? blob->count() / blob->shape(1) : blob->count()"
  "float c = (2 * f - 1 - f % 2) / (2. * f)" "float c = (blob->width() - 1) / (2. * f)")

# What only a debug build of BVLC's notices, reading past the scores: a label beyond the classes.
change(src/caffe/layers/softmax_loss_layer.cpp "DCHECK_" "CHECK_")
change(src/caffe/layers/embed_layer.cpp "DCHECK_GE" "CHECK_GE" "DCHECK_LT" "CHECK_LT")

# Protobuf takes a page of HTML ("<" ends a group) and an empty file for a message with nothing in it, and weights came from
# neither without a word.
change(src/caffe/util/io.cpp
  "success = proto->ParseFromCodedStream(coded_input);" "success = proto->ParseFromCodedStream(coded_input) && coded_input->ConsumedEntireMessage();")
change(src/caffe/util/upgrade_proto.cpp "  CHECK(ReadProtoFromBinaryFile(param_file, param))
      << \"Failed to parse NetParameter file: \" << param_file;" "  CHECK(ReadProtoFromBinaryFile(param_file, param))
      << \"Failed to parse NetParameter file: \" << param_file << \"; is it a whole .caffemodel?\";
  CHECK_GT(param->layer_size() + param->layers_size(), 0) << param_file << \" holds no layers; is it a whole .caffemodel?\";")

# Where a file was looked for; what to do without a card; why a Python layer could not be made.
change(src/caffe/layer_factory.cpp "    PyErr_Print();\n" "")
change(src/caffe/util/io.cpp "\"File not found: \" << filename"
  "\"File not found: \" << filename << \", from the folder \" << boost::filesystem::current_path()")
change(include/caffe/util/device_alternate.hpp "Cannot use GPU in CPU-only Caffe: check mode."
  "Cannot use GPU in CPU-only Caffe: check mode. caffe.set_mode_cpu() and solver_mode: CPU choose the CPU.")

# Shapes that do not fit each other.
change(src/caffe/layers/pooling_layer.cpp "ceil_mode_ = pool_param.ceil_mode();"
  "ceil_mode_ = pool_param.ceil_mode() && pool_param.round_mode() == PoolingParameter_RoundMode_CEIL;")
change(src/caffe/layers/eltwise_layer.cpp
  "  // for (int i = 1; i < bottom.size(); ++i) {
  //   CHECK(bottom[i]->shape() == bottom[0]->shape());
  // }" "  for (int i = 1; i < bottom.size(); ++i)
    CHECK(bottom[i]->shape() == bottom[0]->shape()) << \"bottom[0]: \" << bottom[0]->shape_string() << \", bottom[\" << i
        << \"]: \" << bottom[i]->shape_string();")
change(src/caffe/layers/scale_layer.cpp
  "  // for (int i = 0" "  for (int i = 0"
  "  //   CHECK_EQ(bottom[0]" "    CHECK_EQ(bottom[0]"
  "  //       << " "        << "
  "  // }" "  }"
  "    bias_param_id_ = this->blobs_.size();
    this->blobs_.resize(bias_param_id_ + 1);
    this->blobs_[bias_param_id_] = bias_layer_->blobs()[0];" "    if (this->blobs_.size() + bottom.size() < 3) {
      this->blobs_.push_back(bias_layer_->blobs()[0]);
    } else {  // the prototxt brings its numbers
      bias_layer_->blobs()[0] = this->blobs_.back();
    }
    bias_param_id_ = this->blobs_.size() - 1;")
change(include/caffe/layers/accuracy_layer.hpp "MaxTopBlos" "MaxTopBlobs")
change(src/caffe/layers/crop_layer.cpp  # the same numbers, copied once
  "    for (int i = 0; i < top[0]->shape(cur_dim); ++i) {
      // prepare" "    {
      // prepare")
change(src/caffe/layers/base_conv_layer.cpp "\"All inputs must have the same shape.\"" "\"shape mismatch - bottom[0]: \"
        << bottom[0]->shape_string() << \" vs. bottom[\" << bottom_id << \"]: \" << bottom[bottom_id]->shape_string()")

# Names by which BatchNorm layers share their statistics stay; a solver's snapshots need no prefix, or a folder for one.
change(src/caffe/util/upgrade_proto.cpp
  "#include <google/protobuf/text_format.h>" "#include <google/protobuf/text_format.h>

#include <boost/filesystem.hpp>"
  "      net_param->mutable_layer(i)->clear_param();" "      for (ParamSpec& fixed : *net_param->mutable_layer(i)->mutable_param()) {
        fixed.set_lr_mult(0);
        fixed.set_decay_mult(0);
      }"
  "DLOG(INFO)" "LOG(INFO)"
  "  UpgradeSolverAsNeeded(param_file, param);
}" "  UpgradeSolverAsNeeded(param_file, param);
  const boost::filesystem::path file(param_file), prefix(param->snapshot_prefix());
  if (!param->has_snapshot_prefix())
    param->set_snapshot_prefix(boost::filesystem::path(file).replace_extension().string());
  else if (boost::filesystem::is_directory(prefix))
    param->set_snapshot_prefix((prefix / file.stem()).string());
}")

# On the card: no copy to the host and back with every ReLU; the loss leaves no numbers where a gradient belongs.
change(src/caffe/layers/relu_layer.cu "  const Dtype* bottom_data_output = bottom[0]->cpu_data();\n" "")
change(src/caffe/layers/softmax_loss_layer.cu "    top[1]->ShareData(prob_);
  }" "    top[1]->ShareData(prob_);
  }
  caffe_gpu_set(bottom[0]->count(), Dtype(0), bottom[0]->mutable_gpu_diff());")

# pycaffe: exceptions that name the way out where the file or the card is not there (pycaffe_more.cpp), and the other
# solvers are SGDSolvers. The tool ends with Caffe's words.
change(python/caffe/_caffe.cpp
  "net->CopyTrainedLayersFromHDF5(filename.c_str());" "CheckFile(filename);
  net->CopyTrainedLayersFromHDF5(filename.c_str());"
  "Solver<Dtype>* GetSolverFromFile(const string& filename) {
" "Solver<Dtype>* GetSolverFromFile(const string& filename) {
  CheckFile(filename);
")
foreach(solver Nesterov AdaGrad RMSProp AdaDelta Adam)
  change(python/caffe/_caffe.cpp "${solver}Solver<Dtype>, bp::bases<Solver<Dtype> >" "${solver}Solver<Dtype>, bp::bases<SGDSolver<Dtype> >")
endforeach()
change(tools/caffe.cpp
  "    } catch (bp::error_already_set) {" "    } catch (const std::exception& error) {
      std::cerr << error.what() << std::endl;
      return 1;
    } catch (bp::error_already_set) {")
