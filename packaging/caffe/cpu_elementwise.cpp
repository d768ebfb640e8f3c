// ReLU, Dropout and Softmax on the CPU, with threads: the release's results to the last bit. `engine: CAFFE` asks for the
// release's ReLU and Softmax.
#include <cmath>

#include "caffe/layers/dropout_layer.hpp"
#include "caffe/layers/relu_layer.hpp"
#include "caffe/layers/softmax_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "cpu_places.hpp"

namespace caffe {
namespace {

template <typename Dtype>
void rectify(const Dtype* from, Dtype slope, int count, Dtype* to) {
#pragma GCC ivdep  // in place, each number is read before it is written
  for (int i = 0; i < count; ++i) to[i] = std::max(from[i], Dtype(0)) + slope * std::min(from[i], Dtype(0));
}

template <typename Dtype>
void rectified(const Dtype* gradient, const Dtype* data, Dtype slope, int count, Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] = gradient[i] * (Dtype(data[i] > 0) + slope * Dtype(data[i] <= 0));
}

template <typename Dtype>
struct CpuReLULayer : ReLULayer<Dtype> {
  using ReLULayer<Dtype>::ReLULayer;

  static bool takes(const LayerParameter& layer) {
    return layer.relu_param().engine() == ReLUParameter_Engine_DEFAULT;
  }

  Dtype slope() const { return this->layer_param_.relu_param().negative_slope(); }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    const Dtype* from = bottom[0]->cpu_data();
    Dtype* to = top[0]->mutable_cpu_data();
    share_chunks(bottom[0]->count(), [=](int at, int count) { rectify(from + at, slope(), count, to + at); });
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!propagate_down[0]) return;
    const Dtype *data = bottom[0]->cpu_data(), *gradient = top[0]->cpu_diff();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    share_chunks(bottom[0]->count(),
                 [=](int at, int count) { rectified(gradient + at, data + at, slope(), count, to + at); });
  }
};

template <typename Dtype>
void masked(const Dtype* from, const unsigned* mask, Dtype scale, int count, Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] = from[i] * mask[i] * scale;
}

// The random numbers come one after the other, from one generator; the rest is shared.
template <typename Dtype>
struct CpuDropoutLayer : DropoutLayer<Dtype> {
  using DropoutLayer<Dtype>::DropoutLayer;

  static bool takes(const LayerParameter&) { return true; }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (this->phase_ != TRAIN) return DropoutLayer<Dtype>::Forward_cpu(bottom, top);
    unsigned* mask = this->rand_vec_.mutable_cpu_data();
    caffe_rng_bernoulli(bottom[0]->count(), 1. - this->threshold_, mask);
    mask_all(bottom[0]->count(), bottom[0]->cpu_data(), mask, top[0]->mutable_cpu_data());
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (this->phase_ != TRAIN || !propagate_down[0])
      return DropoutLayer<Dtype>::Backward_cpu(top, propagate_down, bottom);
    mask_all(top[0]->count(), top[0]->cpu_diff(), this->rand_vec_.cpu_data(), bottom[0]->mutable_cpu_diff());
  }

  void mask_all(int total, const Dtype* from, const unsigned* mask, Dtype* to) const {
    share_chunks(total, [=](int at, int count) { masked(from + at, mask + at, this->scale_, count, to + at); });
  }
};

// e to the numbers of `channels` planes of `inner` numbers each, over the planes' sum. most: room for `inner` numbers.
template <typename Dtype>
void normalise(const Dtype* from, int channels, int inner, const Dtype* ones, Dtype* most, Dtype* to) {
  std::copy(from, from + inner, most);
  for (int c = 1; c < channels; ++c)
    for (int i = 0; i < inner; ++i) most[i] = std::max(most[i], from[c * inner + i]);
  for (int c = 0; c < channels; ++c)
    for (int i = 0; i < inner; ++i) to[c * inner + i] = std::exp(from[c * inner + i] - most[i]);
  caffe_cpu_gemv<Dtype>(CblasTrans, channels, inner, 1, to, ones, 0, most);  // the release's, for its order of adding
  for (int c = 0; c < channels; ++c)
    for (int i = 0; i < inner; ++i) to[c * inner + i] /= most[i];
}

template <typename Dtype>
struct CpuSoftmaxLayer : SoftmaxLayer<Dtype> {
  using SoftmaxLayer<Dtype>::SoftmaxLayer;

  static bool takes(const LayerParameter& layer) {
    return layer.softmax_param().engine() == SoftmaxParameter_Engine_DEFAULT;
  }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    const int outer = this->outer_num_, inner = this->inner_num_, channels = bottom[0]->shape(this->softmax_axis_);
    const int size = channels * inner, together = std::max(1, kChunk / 4 / std::max(1, size));
    const Dtype *from = bottom[0]->cpu_data(), *ones = this->sum_multiplier_.cpu_data();
    Dtype *most = this->scale_.mutable_cpu_data(), *to = top[0]->mutable_cpu_data();
    share((outer + together - 1) / together, [=](int, int unit) {
      for (int n = unit * together; n < std::min(unit * together + together, outer); ++n)
        normalise(from + size_t(n) * size, channels, inner, ones, most + size_t(n) * inner, to + size_t(n) * size);
    });
  }
};

const bool registered = take_the_place_of<CpuReLULayer, ReLULayer>("ReLU") &&
                        take_the_place_of<CpuDropoutLayer, DropoutLayer>("Dropout") &&
                        take_the_place_of<CpuSoftmaxLayer, SoftmaxLayer>("Softmax");

}  // namespace
}  // namespace caffe
