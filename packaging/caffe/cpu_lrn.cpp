// Local response normalisation on the CPU, an image for each thread, across channels and within one. With beta = 0.75,
// AlexNet's, its power is two square roots where the release calls `pow`; every window's squares are added up, where the
// release adds to its neighbour's and subtracts from it. Other beta and `engine: CAFFE` are the release's.
#include "caffe/layers/lrn_layer.hpp"

#include <cmath>
#include <vector>

#include "cpu_places.hpp"

namespace caffe {
namespace {

template <typename Dtype>
Dtype power(Dtype scale) {  // scale^-0.75
  const Dtype root = std::sqrt(scale);
  return 1 / (root * std::sqrt(root));
}

// The neighbourhood that a number is divided by: `reach` channels or pixels to each side.
struct Region {
  int channels, height, width, reach;
  bool across;

  int area() const { return height * width; }
  int size() const { return channels * area(); }
};

template <typename Dtype>
void add_product(const Dtype* a, const Dtype* b, Dtype factor, int count, Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] += factor * a[i] * b[i];
}

template <typename Dtype>
void add(const Dtype* from, int count, Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] += from[i];
}

// sums[i] = first + factor * the sum of a * b over the region of pixel i of channel c.
template <typename Dtype>
void window(const Region it, int c, const Dtype* a, const Dtype* b, Dtype factor, Dtype first, std::vector<Dtype>& rows,
            Dtype* sums) {
  const int area = it.area(), width = it.width;
  std::fill(sums, sums + area, first);
  if (it.across) {
    for (int k = std::max(c - it.reach, 0); k < std::min(c + it.reach + 1, it.channels); ++k)
      add_product(a + k * area, b + k * area, factor, area, sums);
    return;
  }
  // A row's sums along the row, then those of the rows around it.
  rows.assign(2 * area, Dtype(0));
  Dtype *products = rows.data(), *along = rows.data() + area;
  add_product(a + c * area, b + c * area, factor, area, products);
  for (int y = 0; y < it.height; ++y)
    for (int step = -it.reach; step <= it.reach; ++step)
      if (std::abs(step) < width)
        add(products + y * width + std::max(step, 0), width - std::abs(step), along + y * width + std::max(-step, 0));
  for (int y = 0; y < it.height; ++y)
    for (int k = std::max(y - it.reach, 0); k < std::min(y + it.reach + 1, it.height); ++k)
      add(along + k * width, width, sums + y * width);
}

template <typename Dtype>
void scaled(const Dtype* from, const Dtype* scale, int count, Dtype* to) {
  for (int i = 0; i < count; ++i) to[i] = from[i] * power(scale[i]);
}

template <typename Dtype>
void forward(const Region it, const Dtype* image, Dtype factor, Dtype k, Dtype* scale, Dtype* to) {
  std::vector<Dtype> rows;
  const int area = it.area();
  for (int c = 0; c < it.channels; ++c) {
    window(it, c, image, image, factor, k, rows, scale + c * area);
    scaled(image + c * area, scale + c * area, area, to + c * area);
  }
}

template <typename Dtype>
void ratios(const Dtype* out, const Dtype* scale, int count, Dtype* to) {
  for (int i = 0; i < count; ++i) to[i] = out[i] / scale[i];
}

template <typename Dtype>
void gradients(const Dtype* gradient, const Dtype* scale, const Dtype* image, const Dtype* sums, int count, Dtype* to) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) to[i] = gradient[i] * power(scale[i]) - image[i] * sums[i];
}

template <typename Dtype>
void backward(const Region it, const Dtype* image, const Dtype* out, const Dtype* gradient, const Dtype* scale,
              Dtype factor, Dtype* to) {
  const int area = it.area();
  std::vector<Dtype> ratio(it.size()), sums(area), rows;
  ratios(out, scale, it.size(), ratio.data());
  for (int c = 0; c < it.channels; ++c) {
    const int at = c * area;
    window(it, c, gradient, ratio.data(), factor, Dtype(0), rows, sums.data());
    gradients(gradient + at, scale + at, image + at, sums.data(), area, to + at);
  }
}

template <typename Dtype>
struct CpuLRNLayer : LRNLayer<Dtype> {
  using LRNLayer<Dtype>::LRNLayer;

  static bool takes(const LayerParameter& layer) {
    return layer.lrn_param().engine() == LRNParameter_Engine_DEFAULT && layer.lrn_param().beta() == 0.75f;
  }

  bool across() const {
    return this->layer_param_.lrn_param().norm_region() == LRNParameter_NormRegion_ACROSS_CHANNELS;
  }
  Region region() const { return {this->channels_, this->height_, this->width_, this->pre_pad_, across()}; }
  // A window within a channel has size x size numbers, zeros of the border among them; its constant is 1, not k.
  int count() const { return across() ? this->size_ : this->size_ * this->size_; }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (bottom[0] == top[0]) return LRNLayer<Dtype>::Forward_cpu(bottom, top);  // windows reach back
    this->scale_.ReshapeLike(*bottom[0]);
    const Region it = region();
    const Dtype* image = bottom[0]->cpu_data();
    Dtype *scale = this->scale_.mutable_cpu_data(), *to = top[0]->mutable_cpu_data();
    const Dtype factor = this->alpha_ / count(), k = across() ? this->k_ : Dtype(1);
    share(this->num_, [=](int, int n) {
      const size_t at = size_t(n) * it.size();
      forward(it, image + at, factor, k, scale + at, to + at);
    });
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!propagate_down[0]) return;
    if (bottom[0] == top[0]) return LRNLayer<Dtype>::Backward_cpu(top, propagate_down, bottom);
    const Region it = region();
    const Dtype *image = bottom[0]->cpu_data(), *out = top[0]->cpu_data(), *gradient = top[0]->cpu_diff();
    const Dtype* scale = this->scale_.cpu_data();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    const Dtype factor = 2 * this->alpha_ * this->beta_ / count();
    share(this->num_, [=](int, int n) {
      const size_t at = size_t(n) * it.size();
      backward(it, image + at, out + at, gradient + at, scale + at, factor, to + at);
    });
  }
};

const bool registered = take_the_place_of<CpuLRNLayer, LRNLayer>("LRN");

}  // namespace
}  // namespace caffe
