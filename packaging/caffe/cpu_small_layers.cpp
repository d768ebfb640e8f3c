// Max pooling forward, ReLU backward and LRN across channels on the CPU. `engine: CAFFE` asks for the release's.
//
// Pooling and ReLU give the release's results to the last bit, without a branch on each number, which processors guess
// wrong half of the time. NaN is the maximum of its window, as CMakeLists.txt makes it in the release's.
//
// LRN with beta = 0.75, AlexNet's, takes two square roots where the release calls `pow`, and adds up each window's
// squares, where the release adds to and subtracts from its neighbour's.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/layers/lrn_layer.hpp"
#include "caffe/layers/pooling_layer.hpp"
#include "caffe/layers/relu_layer.hpp"

namespace caffe {
namespace {

template <typename Dtype>
struct CpuPoolingLayer : PoolingLayer<Dtype> {
  using PoolingLayer<Dtype>::PoolingLayer;

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (this->layer_param_.pooling_param().pool() != PoolingParameter_PoolMethod_MAX || top.size() > 1)
      return PoolingLayer<Dtype>::Forward_cpu(bottom, top);
    const Dtype* from = bottom[0]->cpu_data();
    Dtype* to = top[0]->mutable_cpu_data();
    int* mask = this->max_idx_.mutable_cpu_data();
    const int height = this->height_, width = this->width_, pooled = this->pooled_width_, stride = this->stride_w_;
    // The largest number of each column of a window's rows, and its place; beyond the edges there is none.
    const int reach = (pooled - 1) * stride + this->kernel_w_;
    std::vector<Dtype> largest(std::max(this->pad_w_ + width, reach));
    std::vector<int> place(largest.size());
    std::vector<Dtype> ones(pooled);  // of these, one for each window
    std::vector<int> places(pooled);
    for (int plane = 0; plane < bottom[0]->num() * this->channels_; ++plane, from += height * width)
      for (int y = 0; y < this->pooled_height_; ++y, to += pooled, mask += pooled) {
        const int first = y * this->stride_h_ - this->pad_h_, last = std::min(first + this->kernel_h_, height);
        std::fill(largest.begin(), largest.end(), -FLT_MAX);
        std::fill(place.begin(), place.end(), -1);
        for (int h = std::max(first, 0); h < last; ++h) {
          Dtype* most = largest.data() + this->pad_w_;
          int* where = place.data() + this->pad_w_;
          for (int w = 0; w < width; ++w) {
            const Dtype one = from[h * width + w];
            const bool larger = (one > most[w]) | (one != one);
            most[w] = larger ? one : most[w];
            where[w] = larger ? h * width + w : where[w];
          }
        }
        std::fill(to, to + pooled, -FLT_MAX);
        std::fill(mask, mask + pooled, -1);
        for (int w = 0; w < this->kernel_w_; ++w) {
          for (int x = 0; x < pooled; ++x) ones[x] = largest[x * stride + w], places[x] = place[x * stride + w];
          for (int x = 0; x < pooled; ++x) {
            const Dtype one = ones[x], most = to[x];
            const int at = places[x], where = mask[x];
            // row by row, the first of the largest numbers is the window's, and the last NaN
            const bool larger = (one > most) | ((one == most) & (at < where)) |
                                ((one != one) & ((most == most) | (at > where)));
            to[x] = larger ? one : most;
            mask[x] = larger ? at : where;
          }
        }
      }
  }
};

template <typename Dtype>
struct CpuReLULayer : ReLULayer<Dtype> {
  using ReLULayer<Dtype>::ReLULayer;

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!propagate_down[0]) return;
    const Dtype *data = bottom[0]->cpu_data(), *from = top[0]->cpu_diff();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    const Dtype slope = this->layer_param_.relu_param().negative_slope();
    const int count = bottom[0]->count();
#pragma GCC ivdep  // in place, each number is read before it is written
    for (int i = 0; i < count; ++i)
      to[i] = from[i] * (Dtype(data[i] > 0) + slope * Dtype(data[i] <= 0));  // NaN is neither
  }
};

template <typename Dtype>
struct CpuLRNLayer : LRNLayer<Dtype> {
  using LRNLayer<Dtype>::LRNLayer;

  // sums[i] = first + the sum over the channels next to c, c among them, of factor * a[i] * b[i]
  void window(int c, const Dtype* a, const Dtype* b, Dtype factor, Dtype first, Dtype* sums) const {
    const int area = this->height_ * this->width_;
    std::fill(sums, sums + area, first);
    for (int k = std::max(c - this->pre_pad_, 0); k < std::min(c + this->pre_pad_ + 1, this->channels_); ++k)
      for (int i = 0; i < area; ++i) sums[i] += factor * a[k * area + i] * b[k * area + i];
  }

  virtual void CrossChannelForward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    const int area = this->height_ * this->width_, size = this->channels_ * area;
    const Dtype* image = bottom[0]->cpu_data();
    Dtype *scale = this->scale_.mutable_cpu_data(), *to = top[0]->mutable_cpu_data();
    for (int n = 0; n < this->num_; ++n, image += size)
      for (int c = 0; c < this->channels_; ++c, scale += area, to += area) {
        window(c, image, image, this->alpha_ / this->size_, this->k_, scale);
        for (int i = 0; i < area; ++i) to[i] = image[c * area + i] * power(scale[i]);
      }
  }

  virtual void CrossChannelBackward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                                        const vector<Blob<Dtype>*>& bottom) {
    const int area = this->height_ * this->width_, size = this->channels_ * area;
    const Dtype *image = bottom[0]->cpu_data(), *out = top[0]->cpu_data(), *gradient = top[0]->cpu_diff();
    const Dtype* scale = this->scale_.cpu_data();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    std::vector<Dtype> ratio(size), sums(area);
    const Dtype factor = 2 * this->alpha_ * this->beta_ / this->size_;
    for (int n = 0; n < this->num_; ++n, image += size, out += size, gradient += size, scale += size) {
      for (int i = 0; i < size; ++i) ratio[i] = out[i] / scale[i];
      for (int c = 0; c < this->channels_; ++c, to += area) {
        window(c, gradient, ratio.data(), factor, 0, sums.data());
        for (int i = 0; i < area; ++i)
          to[i] = gradient[c * area + i] * power(scale[c * area + i]) - image[c * area + i] * sums[i];
      }
    }
  }

  static Dtype power(Dtype scale) {  // scale^-0.75
    const Dtype root = std::sqrt(scale);
    return 1 / (root * std::sqrt(root));
  }
};

template <typename Ours, typename Release, typename Parameter>
Release* choose(const LayerParameter& layer, const Parameter& parameter, bool ours = true) {
  return ours && parameter.engine() == Parameter::DEFAULT ? new Ours(layer) : new Release(layer);
}

template <typename Dtype>
void take_the_places() {
  typedef boost::shared_ptr<Layer<Dtype>> Made;
  auto& registry = LayerRegistry<Dtype>::Registry();
  registry["LRN"] = [](const LayerParameter& layer) {
    const auto& parameter = layer.lrn_param();
    return Made(choose<CpuLRNLayer<Dtype>, LRNLayer<Dtype>>(layer, parameter, parameter.beta() == 0.75f));
  };
  registry["Pooling"] = [](const LayerParameter& layer) {
    return Made(choose<CpuPoolingLayer<Dtype>, PoolingLayer<Dtype>>(layer, layer.pooling_param()));
  };
  registry["ReLU"] = [](const LayerParameter& layer) {
    return Made(choose<CpuReLULayer<Dtype>, ReLULayer<Dtype>>(layer, layer.relu_param()));
  };
}

const bool registered = (take_the_places<float>(), take_the_places<double>(), true);

}  // namespace
}  // namespace caffe
