// Layers as they are in BVLC's Caffe 1.0: Clip and Swish, which the release does not have; Accuracy, InfogainLoss and
// SigmoidCrossEntropyLoss, which are older there. On a card they compute on the host.
#include <algorithm>
#include <cmath>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/layers/accuracy_layer.hpp"
#include "caffe/layers/infogain_loss_layer.hpp"
#include "caffe/layers/neuron_layer.hpp"
#include "caffe/layers/sigmoid_cross_entropy_loss_layer.hpp"

namespace caffe {
namespace {

template <typename Dtype>
using Blobs = vector<Blob<Dtype>*>;

template <typename Dtype>
Dtype sigmoid(Dtype x) {
  return Dtype(0.5) * std::tanh(Dtype(0.5) * x) + Dtype(0.5);
}

template <typename Dtype>
struct BvlcSwishLayer : NeuronLayer<Dtype> {
  using NeuronLayer<Dtype>::NeuronLayer;
  Blob<Dtype> gate_;  // sigmoid(beta * x), for the gradient: in place, x is gone by then

  virtual const char* type() const { return "Swish"; }

  virtual void Reshape(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    NeuronLayer<Dtype>::Reshape(bottom, top);
    gate_.ReshapeLike(*bottom[0]);
  }

  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    const Dtype beta = this->layer_param_.swish_param().beta();
    const Dtype* from = bottom[0]->cpu_data();
    Dtype *to = top[0]->mutable_cpu_data(), *gate = gate_.mutable_cpu_data();
    for (int i = 0; i < bottom[0]->count(); ++i) {
      gate[i] = sigmoid(beta * from[i]);
      to[i] = from[i] * gate[i];
    }
  }

  virtual void Backward_cpu(const Blobs<Dtype>& top, const vector<bool>& propagate_down, const Blobs<Dtype>& bottom) {
    if (!propagate_down[0]) return;
    const Dtype beta = this->layer_param_.swish_param().beta();
    const Dtype *out = top[0]->cpu_data(), *from = top[0]->cpu_diff(), *gate = gate_.cpu_data();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    for (int i = 0; i < bottom[0]->count(); ++i)
      to[i] = from[i] * (beta * out[i] + gate[i] * (1 - beta * out[i]));
  }
};

template <typename Dtype>
struct BvlcClipLayer : NeuronLayer<Dtype> {
  using NeuronLayer<Dtype>::NeuronLayer;

  virtual const char* type() const { return "Clip"; }

  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    const Dtype low = this->layer_param_.clip_param().min(), high = this->layer_param_.clip_param().max();
    const Dtype* from = bottom[0]->cpu_data();
    Dtype* to = top[0]->mutable_cpu_data();
    for (int i = 0; i < bottom[0]->count(); ++i) to[i] = std::max(low, std::min(from[i], high));
  }

  virtual void Backward_cpu(const Blobs<Dtype>& top, const vector<bool>& propagate_down, const Blobs<Dtype>& bottom) {
    if (!propagate_down[0]) return;
    const Dtype low = this->layer_param_.clip_param().min(), high = this->layer_param_.clip_param().max();
    const Dtype *data = bottom[0]->cpu_data(), *from = top[0]->cpu_diff();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    for (int i = 0; i < bottom[0]->count(); ++i) to[i] = data[i] >= low && data[i] <= high ? from[i] : Dtype(0);
  }
};

// Of equal scores the last class comes first, as in BVLC's tag 1.0 and in helpers/evaluation.py; 0, not NaN, where every
// label is ignored. Unlike BVLC's, a score of NaN is never right.
template <typename Dtype>
struct BvlcAccuracyLayer : AccuracyLayer<Dtype> {
  using AccuracyLayer<Dtype>::AccuracyLayer;

  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    const Dtype *scores = bottom[0]->cpu_data(), *labels = bottom[1]->cpu_data();
    const int classes = bottom[0]->shape(this->label_axis_), inner = this->inner_num_;
    vector<int> right(classes), all(classes);
    for (int i = 0; i < this->outer_num_ * inner; ++i) {
      const int label = static_cast<int>(labels[i]);
      if (this->has_ignore_label_ && label == this->ignore_label_) continue;
      CHECK(label >= 0 && label < classes) << "a label is " << label << ", and the classes are 0 to " << classes - 1;
      const Dtype *first = scores + i / inner * classes * inner + i % inner, own = first[label * inner];
      int better = 0;
      for (int k = 0; k < classes; ++k)
        better += first[k * inner] > own || (first[k * inner] == own && k > label);
      right[label] += own == own && better < this->top_k_;
      ++all[label];
    }
    int hits = 0, count = 0;
    for (int k = 0; k < classes; ++k) {
      hits += right[k], count += all[k];
      if (top.size() > 1) top[1]->mutable_cpu_data()[k] = all[k] ? Dtype(right[k]) / all[k] : Dtype(0);
    }
    top[0]->mutable_cpu_data()[0] = count ? Dtype(hits) / count : Dtype(0);
  }
};

template <typename Dtype>
struct BvlcSigmoidCrossEntropyLossLayer : SigmoidCrossEntropyLossLayer<Dtype> {
  using SigmoidCrossEntropyLossLayer<Dtype>::SigmoidCrossEntropyLossLayer;

  // With a default of its own: the batch.
  Dtype divisor(const Blob<Dtype>& scores, int valid) {
    const LossParameter& loss = this->layer_param_.loss_param();
    auto mode = LossParameter_NormalizationMode_BATCH_SIZE;
    if (loss.has_normalization()) mode = loss.normalization();
    else if (loss.has_normalize() && loss.normalize()) mode = LossParameter_NormalizationMode_VALID;
    return this->GetNormalizer(mode, scores.shape(0), scores.count(1), valid);
  }

  bool ignored(Dtype label) const {
    const LossParameter& loss = this->layer_param_.loss_param();
    return loss.has_ignore_label() && static_cast<int>(label) == loss.ignore_label();
  }

  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    const Dtype *scores = bottom[0]->cpu_data(), *labels = bottom[1]->cpu_data();
    Dtype loss = 0;
    int valid = 0;
    for (int i = 0; i < bottom[0]->count(); ++i) {
      if (ignored(labels[i])) continue;
      loss += std::max(scores[i], Dtype(0)) - scores[i] * labels[i] + std::log(1 + std::exp(-std::abs(scores[i])));
      ++valid;
    }
    top[0]->mutable_cpu_data()[0] = loss / divisor(*bottom[0], valid);
  }

  virtual void Backward_cpu(const Blobs<Dtype>& top, const vector<bool>& propagate_down, const Blobs<Dtype>& bottom) {
    CHECK(!propagate_down[1]) << this->type() << " Layer cannot backpropagate to label inputs.";
    if (!propagate_down[0]) return;
    const Dtype *scores = bottom[0]->cpu_data(), *labels = bottom[1]->cpu_data();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    int valid = 0;
    for (int i = 0; i < bottom[0]->count(); ++i) {
      valid += !ignored(labels[i]);
      to[i] = ignored(labels[i]) ? Dtype(0) : sigmoid(scores[i]) - labels[i];
    }
    caffe_scal(bottom[0]->count(), top[0]->cpu_diff()[0] / divisor(*bottom[0], valid), to);
  }

  virtual void Backward_gpu(const Blobs<Dtype>& top, const vector<bool>& propagate_down, const Blobs<Dtype>& bottom) {
    Backward_cpu(top, propagate_down, bottom);
  }
};

// Of scores, to which it applies softmax itself, as SoftmaxWithLoss: the release's takes probabilities.
template <typename Dtype>
struct BvlcInfogainLossLayer : InfogainLossLayer<Dtype> {
  using InfogainLossLayer<Dtype>::InfogainLossLayer;
  shared_ptr<Layer<Dtype>> softmax_;
  Blob<Dtype> prob_;
  Blobs<Dtype> softmax_bottom_, softmax_top_;
  int outer_, classes_, inner_;

  virtual int ExactNumTopBlobs() const { return -1; }
  virtual int MinTopBlobs() const { return 1; }
  virtual bool AllowForceBackward(int bottom) const { return bottom == 0; }
  virtual int MaxTopBlobs() const { return 2; }

  virtual void LayerSetUp(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    InfogainLossLayer<Dtype>::LayerSetUp(bottom, top);
    CHECK(!this->layer_param_.loss_param().has_normalize()) << "normalize is deprecated. use \"normalization\"";
    LayerParameter softmax(this->layer_param_);
    softmax.set_type("Softmax");
    softmax.clear_loss_weight();
    softmax.mutable_softmax_param()->set_axis(this->layer_param_.infogain_loss_param().axis());
    softmax_ = LayerRegistry<Dtype>::CreateLayer(softmax);
    softmax_bottom_.assign(1, bottom[0]);
    softmax_top_.assign(1, &prob_);
    softmax_->SetUp(softmax_bottom_, softmax_top_);
  }

  virtual void Reshape(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    LossLayer<Dtype>::Reshape(bottom, top);
    softmax_->Reshape(softmax_bottom_, softmax_top_);
    const int axis = bottom[0]->CanonicalAxisIndex(this->layer_param_.infogain_loss_param().axis());
    outer_ = bottom[0]->count(0, axis), classes_ = bottom[0]->shape(axis), inner_ = bottom[0]->count(axis + 1);
    CHECK_EQ(outer_ * inner_, bottom[1]->count()) << "Number of labels must match number of predictions.";
    CHECK_EQ(matrix(bottom).count(), classes_ * classes_) << "H must be " << classes_ << "x" << classes_;
    if (top.size() > 1) top[1]->ReshapeLike(*bottom[0]);
  }

  const Blob<Dtype>& matrix(const Blobs<Dtype>& bottom) const {
    return bottom.size() > 2 ? *bottom[2] : this->infogain_;
  }

  // The row of H that belongs to the label of place i; null where that is ignored.
  const Dtype* row(const Blobs<Dtype>& bottom, int i) const {
    const int label = static_cast<int>(bottom[1]->cpu_data()[i]);
    const LossParameter& loss = this->layer_param_.loss_param();
    if (loss.has_ignore_label() && label == loss.ignore_label()) return nullptr;
    CHECK(label >= 0 && label < classes_) << "a label is " << label << ", and the classes are 0 to " << classes_ - 1;
    return matrix(bottom).cpu_data() + label * classes_;
  }

  Dtype divisor(int valid) {
    return this->GetNormalizer(this->layer_param_.loss_param().normalization(), outer_, inner_, valid);
  }

  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    softmax_->Forward(softmax_bottom_, softmax_top_);
    const Dtype* prob = prob_.cpu_data();
    Dtype loss = 0;
    int valid = 0;
    for (int i = 0; i < outer_ * inner_; ++i) {
      const Dtype *gains = row(bottom, i), *own = prob + i / inner_ * classes_ * inner_ + i % inner_;
      valid += gains != nullptr;
      for (int k = 0; gains && k < classes_; ++k) loss -= gains[k] * std::log(std::max(own[k * inner_], Dtype(1e-20)));
    }
    top[0]->mutable_cpu_data()[0] = loss / divisor(valid);
    if (top.size() > 1) top[1]->ShareData(prob_);
  }

  virtual void Backward_cpu(const Blobs<Dtype>& top, const vector<bool>& propagate_down, const Blobs<Dtype>& bottom) {
    CHECK(!propagate_down[1]) << this->type() << " Layer cannot backpropagate to label inputs.";
    CHECK(propagate_down.size() < 3 || !propagate_down[2])
        << this->type() << " Layer cannot backpropagate to infogain inputs.";
    if (!propagate_down[0]) return;
    const Dtype* prob = prob_.cpu_data();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    int valid = 0;
    for (int i = 0; i < outer_ * inner_; ++i) {
      const Dtype* gains = row(bottom, i);
      const int own = i / inner_ * classes_ * inner_ + i % inner_;
      Dtype sum = 0;
      for (int k = 0; gains && k < classes_; ++k) sum += gains[k];
      for (int k = 0; k < classes_; ++k)
        to[own + k * inner_] = gains ? prob[own + k * inner_] * sum - gains[k] : Dtype(0);
      valid += gains != nullptr;
    }
    caffe_scal(bottom[0]->count(), top[0]->cpu_diff()[0] / divisor(valid), to);
  }
};

template <template <typename> class Ours, typename Dtype>
boost::shared_ptr<Layer<Dtype>> made(const LayerParameter& layer) {
  return boost::shared_ptr<Layer<Dtype>>(new Ours<Dtype>(layer));
}

template <typename Dtype>
void take_the_places() {
  auto& registry = LayerRegistry<Dtype>::Registry();
  registry["Accuracy"] = made<BvlcAccuracyLayer, Dtype>;
  registry["Clip"] = made<BvlcClipLayer, Dtype>;
  registry["InfogainLoss"] = made<BvlcInfogainLossLayer, Dtype>;
  registry["SigmoidCrossEntropyLoss"] = made<BvlcSigmoidCrossEntropyLossLayer, Dtype>;
  registry["Swish"] = made<BvlcSwishLayer, Dtype>;
}

const bool registered = (take_the_places<float>(), take_the_places<double>(), true);

}  // namespace
}  // namespace caffe
