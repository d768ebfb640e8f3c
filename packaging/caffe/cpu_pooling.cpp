// Max and average pooling on the CPU, an image for each thread: the release's results to the last bit, without a branch
// on each number, which processors guess wrong half of the time. NaN is the maximum of its window, as CMakeLists.txt
// makes it in the release's. `engine: CAFFE` asks for the release's.
#include "caffe/layers/pooling_layer.hpp"

#include <cfloat>
#include <vector>

#include "cpu_places.hpp"

namespace caffe {
namespace {

// An image's planes and the windows that move over them.
struct Windows {
  int planes, height, width, pooled_h, pooled_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;

  size_t input() const { return size_t(planes) * height * width; }
  size_t output() const { return size_t(planes) * pooled_h * pooled_w; }
};

template <typename Dtype>
void maxima(const Windows it, const Dtype* from, Dtype* to, int* mask) {
  const int height = it.height, width = it.width, pooled = it.pooled_w, stride = it.stride_w, pad = it.pad_w;
  // The largest number of each column of a window's rows, and its place; beyond the edges there is none.
  std::vector<Dtype> largest(std::max(pad + width, (pooled - 1) * stride + it.kernel_w));
  std::vector<int> place(largest.size());
  std::vector<Dtype> ones(pooled);  // of these, one for each window
  std::vector<int> places(pooled);
  for (int plane = 0; plane < it.planes; ++plane, from += height * width)
    for (int y = 0; y < it.pooled_h; ++y, to += pooled, mask += pooled) {
      const int first = y * it.stride_h - it.pad_h, last = std::min(first + it.kernel_h, height);
      std::fill(largest.begin(), largest.end(), -FLT_MAX);
      std::fill(place.begin(), place.end(), -1);
      for (int h = std::max(first, 0); h < last; ++h) {
        Dtype* most = largest.data() + pad;
        int* where = place.data() + pad;
        for (int w = 0; w < width; ++w) {
          const Dtype one = from[h * width + w];
          const bool larger = (one > most[w]) | (one != one);
          most[w] = larger ? one : most[w];
          where[w] = larger ? h * width + w : where[w];
        }
      }
      std::fill(to, to + pooled, -FLT_MAX);
      std::fill(mask, mask + pooled, -1);
      for (int w = 0; w < it.kernel_w; ++w) {
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

template <typename Dtype>
void to_maxima(const Windows it, const Dtype* gradient, const int* mask, Dtype* to) {
  const int area = it.height * it.width, pooled = it.pooled_h * it.pooled_w;
  std::fill(to, to + it.input(), Dtype(0));
  for (int plane = 0; plane < it.planes; ++plane, to += area, gradient += pooled, mask += pooled)
    for (int i = 0; i < pooled; ++i)
      if (mask[i] >= 0 && mask[i] < area) to[mask[i]] += gradient[i];
}

// The part of a window that lies on the picture, and how many numbers it counts for: those of its border, too, as far
// as the padding reaches (pooling_layer.cpp).
struct Part {
  int top, bottom, left, right, size;

  Part(const Windows& it, int y, int x) {
    top = y * it.stride_h - it.pad_h, left = x * it.stride_w - it.pad_w;
    bottom = std::min(top + it.kernel_h, it.height + it.pad_h), right = std::min(left + it.kernel_w, it.width + it.pad_w);
    size = (bottom - top) * (right - left);
    top = std::max(top, 0), left = std::max(left, 0);
    bottom = std::min(bottom, it.height), right = std::min(right, it.width);
  }
};

template <typename Dtype>
void averages(const Windows it, const Dtype* from, Dtype* to) {
  // A row of the picture in zeros, which change no sum.
  std::vector<Dtype> row(std::max(it.pad_w + it.width, (it.pooled_w - 1) * it.stride_w + it.kernel_w), Dtype(0));
  for (int plane = 0; plane < it.planes; ++plane, from += it.height * it.width)
    for (int y = 0; y < it.pooled_h; ++y, to += it.pooled_w) {
      const int top = y * it.stride_h - it.pad_h, bottom = std::min(top + it.kernel_h, it.height);
      std::fill(to, to + it.pooled_w, Dtype(0));
      for (int h = std::max(top, 0); h < bottom; ++h) {
        std::copy(from + h * it.width, from + (h + 1) * it.width, row.data() + it.pad_w);
        for (int w = 0; w < it.kernel_w; ++w) {
          const Dtype* one = row.data() + w;
          const int stride = it.stride_w, pooled = it.pooled_w;
          for (int x = 0; x < pooled; ++x) to[x] += one[x * stride];
        }
      }
      for (int x = 0; x < it.pooled_w; ++x) {
        const Part part(it, y, x);
        if (part.size > 0) to[x] /= part.size;
      }
    }
}

template <typename Dtype>
void to_averages(const Windows it, const Dtype* gradient, Dtype* to) {
  std::fill(to, to + it.input(), Dtype(0));
  for (int plane = 0; plane < it.planes; ++plane, to += it.height * it.width)
    for (int y = 0; y < it.pooled_h; ++y)
      for (int x = 0; x < it.pooled_w; ++x, ++gradient) {
        const Part part(it, y, x);
        const Dtype each = *gradient / part.size;
        for (int h = part.top; h < part.bottom; ++h)
          for (int w = part.left; w < part.right; ++w) to[h * it.width + w] += each;
      }
}

template <typename Dtype>
struct CpuPoolingLayer : PoolingLayer<Dtype> {
  using PoolingLayer<Dtype>::PoolingLayer;

  static bool takes(const LayerParameter& layer) {
    return layer.pooling_param().engine() == PoolingParameter_Engine_DEFAULT;
  }

  bool averages_them() const {
    return this->layer_param_.pooling_param().pool() == PoolingParameter_PoolMethod_AVE;
  }

  // STOCHASTIC, and a second top with the places of the maxima, stay the release's.
  bool usual(const vector<Blob<Dtype>*>& top) const {
    return top.size() == 1 &&
           (averages_them() || this->layer_param_.pooling_param().pool() == PoolingParameter_PoolMethod_MAX);
  }

  Windows windows() const {
    return {this->channels_, this->height_,   this->width_,    this->pooled_height_, this->pooled_width_, this->kernel_h_,
            this->kernel_w_, this->stride_h_, this->stride_w_, this->pad_h_,         this->pad_w_};
  }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (!usual(top)) return PoolingLayer<Dtype>::Forward_cpu(bottom, top);
    const Windows it = windows();
    const Dtype* from = bottom[0]->cpu_data();
    Dtype* to = top[0]->mutable_cpu_data();
    int* mask = averages_them() ? nullptr : this->max_idx_.mutable_cpu_data();
    share(bottom[0]->num(), [=](int, int n) {
      if (mask)
        maxima(it, from + n * it.input(), to + n * it.output(), mask + n * it.output());
      else
        averages(it, from + n * it.input(), to + n * it.output());
    });
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!propagate_down[0] || !usual(top)) return PoolingLayer<Dtype>::Backward_cpu(top, propagate_down, bottom);
    const Windows it = windows();
    const Dtype* gradient = top[0]->cpu_diff();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    const int* mask = averages_them() ? nullptr : this->max_idx_.cpu_data();
    share(bottom[0]->num(), [=](int, int n) {
      if (mask)
        to_maxima(it, gradient + n * it.output(), mask + n * it.output(), to + n * it.input());
      else
        to_averages(it, gradient + n * it.output(), to + n * it.input());
    });
  }
};

const bool registered = take_the_place_of<CpuPoolingLayer, PoolingLayer>("Pooling");

}  // namespace
}  // namespace caffe
