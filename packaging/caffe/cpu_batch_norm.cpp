// BatchNorm and Scale on the CPU in few passes over the numbers, 16 channels for each thread. The release makes a dozen
// passes with matrices of ones, and keeps one more blob.
//
// BatchNorm's sums over a map are the compiler's vectors', those over maps are doubles, in the order of the images.
#include "caffe/layers/batch_norm_layer.hpp"

#include <cmath>
#include <vector>

#include "caffe/layers/scale_layer.hpp"
#include "cpu_places.hpp"

namespace caffe {
namespace {

const int kChannels = 16;  // that a thread takes at a time

// A blob as images of channels of `area` numbers. Channel c of image n begins at number at(n, c).
struct Maps {
  int images, channels, area;

  size_t at(int n, int c) const { return (size_t(n) * channels + c) * area; }
  double count() const { return double(images) * area; }
};

// work(c) for every channel.
template <typename Work>
void share_channels(int channels, const Work& work) {
  share((channels + kChannels - 1) / kChannels, [&](int, int unit) {
    for (int c = unit * kChannels; c < std::min(unit * kChannels + kChannels, channels); ++c) work(c);
  });
}

template <typename Dtype>
Dtype sum(const Dtype* a, int count) {
  Dtype all = 0;
#pragma omp simd reduction(+ : all)
  for (int i = 0; i < count; ++i) all += a[i];
  return all;
}

template <typename Dtype>
Dtype squares(const Dtype* a, Dtype mean, int count) {
  Dtype all = 0;
#pragma omp simd reduction(+ : all)
  for (int i = 0; i < count; ++i) all += (a[i] - mean) * (a[i] - mean);
  return all;
}

template <typename Dtype>
Dtype dot(const Dtype* a, const Dtype* b, int count) {
  Dtype all = 0;
#pragma omp simd reduction(+ : all)
  for (int i = 0; i < count; ++i) all += a[i] * b[i];
  return all;
}

template <typename Dtype>
void standardise(const Dtype* from, Dtype mean, Dtype deviation, int count, Dtype* to, Dtype* copy) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    const Dtype value = (from[i] - mean) / deviation;
    to[i] = value;
    copy[i] = value;
  }
}

template <typename Dtype>
void unstandardise(const Dtype* gradient, const Dtype* out, Dtype mean, Dtype slope, Dtype deviation, int count,
                   Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] = (gradient[i] - mean - slope * out[i]) / deviation;
}

template <typename Dtype>
void divide(const Dtype* from, Dtype by, int count, Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] = from[i] / by;
}

template <typename Dtype>
void multiply_add(const Dtype* from, Dtype factor, Dtype add, int count, Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] = from[i] * factor + add;
}

template <typename Dtype>
struct CpuBatchNormLayer : BatchNormLayer<Dtype> {
  using BatchNormLayer<Dtype>::BatchNormLayer;

  static bool takes(const LayerParameter&) { return true; }

  Maps maps(const Blob<Dtype>& blob) const {
    const int images = blob.shape(0);
    return {images, this->channels_, blob.count() / (images * this->channels_)};
  }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    const Maps it = maps(*bottom[0]);
    const Dtype* from = bottom[0]->cpu_data();
    Dtype *to = top[0]->mutable_cpu_data(), *copy = this->x_norm_.mutable_cpu_data();
    Dtype *mean = this->mean_.mutable_cpu_data(), *variance = this->variance_.mutable_cpu_data();
    Dtype *means = this->blobs_[0]->mutable_cpu_data(), *variances = this->blobs_[1]->mutable_cpu_data();
    Dtype* weight = this->blobs_[2]->mutable_cpu_data();
    const bool known = this->use_global_stats_;
    const Dtype eps = this->eps_, keep = this->moving_average_fraction_, unbias = unbiased(it);
    const Dtype scale = *weight == 0 ? 0 : 1 / *weight;
    if (!known) *weight = *weight * keep + 1;
    share_channels(it.channels, [=](int c) {
      if (known) {
        mean[c] = scale * means[c], variance[c] = scale * variances[c];
      } else {
        double all = 0;
        for (int n = 0; n < it.images; ++n) all += sum(from + it.at(n, c), it.area);
        mean[c] = all / it.count();
        all = 0;
        for (int n = 0; n < it.images; ++n) all += squares(from + it.at(n, c), mean[c], it.area);
        variance[c] = all / it.count();
        means[c] = mean[c] + keep * means[c];
        variances[c] = unbias * variance[c] + keep * variances[c];
      }
      variance[c] = std::sqrt(variance[c] + eps);  // the deviation, as the release leaves it there
      for (int n = 0; n < it.images; ++n)
        standardise(from + it.at(n, c), mean[c], variance[c], it.area, to + it.at(n, c), copy + it.at(n, c));
    });
  }

  static Dtype unbiased(const Maps& it) {
    const int count = it.images * it.area;
    return count > 1 ? Dtype(count) / (count - 1) : 1;
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    const Maps it = maps(*bottom[0]);
    const Dtype *gradient = top[0]->cpu_diff(), *out = this->x_norm_.cpu_data();
    const Dtype* deviation = this->variance_.cpu_data();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    const bool known = this->use_global_stats_;
    share_channels(it.channels, [=](int c) {
      double all = 0, along = 0;
      for (int n = 0; n < it.images && !known; ++n) {
        all += sum(gradient + it.at(n, c), it.area);
        along += dot(gradient + it.at(n, c), out + it.at(n, c), it.area);
      }
      const Dtype mean = all / it.count(), slope = along / it.count();
      for (int n = 0; n < it.images; ++n)
        if (known)
          divide(gradient + it.at(n, c), deviation[c], it.area, to + it.at(n, c));
        else
          unstandardise(gradient + it.at(n, c), out + it.at(n, c), mean, slope, deviation[c], it.area, to + it.at(n, c));
    });
  }
};

template <typename Dtype>
struct CpuScaleLayer : ScaleLayer<Dtype> {
  using ScaleLayer<Dtype>::ScaleLayer;

  static bool takes(const LayerParameter&) { return true; }

  // Of a factor of its own for each channel; the release multiplies two blobs, and numbers of a whole image.
  bool usual(const vector<Blob<Dtype>*>& bottom) const { return bottom.size() == 1 && this->inner_dim_ > 1; }

  Maps maps() const { return {this->outer_dim_, this->scale_dim_, this->inner_dim_}; }
  Blob<Dtype>* bias() const { return this->bias_layer_ ? this->blobs_[this->bias_param_id_].get() : nullptr; }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (!usual(bottom)) return ScaleLayer<Dtype>::Forward_cpu(bottom, top);
    const Maps it = maps();
    const Dtype *from = bottom[0]->cpu_data(), *factor = this->blobs_[0]->cpu_data();
    const Dtype* add = bias() ? bias()->cpu_data() : nullptr;
    Dtype *to = top[0]->mutable_cpu_data(), *copy = bottom[0] == top[0] ? this->temp_.mutable_cpu_data() : nullptr;
    share(it.images, [=](int, int n) {
      if (copy) std::copy(from + it.at(n, 0), from + it.at(n + 1, 0), copy + it.at(n, 0));
      for (int c = 0; c < it.channels; ++c)
        multiply_add(from + it.at(n, c), factor[c], add ? add[c] : Dtype(0), it.area, to + it.at(n, c));
    });
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!usual(bottom)) return ScaleLayer<Dtype>::Backward_cpu(top, propagate_down, bottom);
    const Maps it = maps();
    const bool in_place = bottom[0] == top[0];
    const Dtype *gradient = top[0]->cpu_diff(), *factor = this->blobs_[0]->cpu_data();
    const Dtype* data = (in_place ? &this->temp_ : bottom[0])->cpu_data();
    Dtype* of_factor = this->param_propagate_down_[0] ? this->blobs_[0]->mutable_cpu_diff() : nullptr;
    const bool learns = bias() && this->param_propagate_down_.back();
    Dtype* of_bias = learns ? bias()->mutable_cpu_diff() : nullptr;
    Dtype* to = propagate_down[0] ? bottom[0]->mutable_cpu_diff() : nullptr;
    share_channels(it.channels, [=](int c) {
      double along = 0, all = 0;
      for (int n = 0; n < it.images; ++n) {
        const size_t at = it.at(n, c);
        if (of_factor) along += dot(gradient + at, data + at, it.area);
        if (of_bias) all += sum(gradient + at, it.area);
        if (to) multiply_add(gradient + at, factor[c], Dtype(0), it.area, to + at);
      }
      if (of_factor) of_factor[c] += along;
      if (of_bias) of_bias[c] += all;
    });
  }
};

const bool registered = take_the_place_of<CpuBatchNormLayer, BatchNormLayer>("BatchNorm") &&
                        take_the_place_of<CpuScaleLayer, ScaleLayer>("Scale");

}  // namespace
}  // namespace caffe
