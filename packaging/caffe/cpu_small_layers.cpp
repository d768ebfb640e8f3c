// Max pooling forward and ReLU backward on the CPU: the release's results to the last bit, without a branch on each
// number, which processors guess wrong half of the time. `engine: CAFFE` asks for the release's. NaN is the maximum of
// its window, as CMakeLists.txt makes it in the release's.
#include <algorithm>
#include <cfloat>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/layers/pooling_layer.hpp"
#include "caffe/layers/relu_layer.hpp"

namespace caffe {
namespace {

template <typename Dtype>
class CpuPoolingLayer : public PoolingLayer<Dtype> {
 public:
  explicit CpuPoolingLayer(const LayerParameter& param) : PoolingLayer<Dtype>(param) {}

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (this->layer_param_.pooling_param().pool() != PoolingParameter_PoolMethod_MAX || top.size() > 1)
      return PoolingLayer<Dtype>::Forward_cpu(bottom, top);
    const Dtype* from = bottom[0]->cpu_data();
    Dtype* to = top[0]->mutable_cpu_data();
    int* mask = this->max_idx_.mutable_cpu_data();
    const int height = this->height_, width = this->width_;
    for (int plane = 0; plane < bottom[0]->num() * this->channels_; ++plane, from += height * width)
      for (int y = 0; y < this->pooled_height_; ++y) {
        const int first = y * this->stride_h_ - this->pad_h_, last = std::min(first + this->kernel_h_, height);
        for (int x = 0; x < this->pooled_width_; ++x) {
          const int left = x * this->stride_w_ - this->pad_w_, right = std::min(left + this->kernel_w_, width);
          Dtype largest = -FLT_MAX;
          int where = -1;
          for (int h = std::max(first, 0); h < last; ++h)
            for (int w = std::max(left, 0); w < right; ++w) {
              const int index = h * width + w;
              const bool larger = (from[index] > largest) | (from[index] != from[index]);
              largest = larger ? from[index] : largest;
              where = larger ? index : where;
            }
          *to++ = largest;
          *mask++ = where;
        }
      }
  }
};

template <typename Dtype>
class CpuReLULayer : public ReLULayer<Dtype> {
 public:
  explicit CpuReLULayer(const LayerParameter& param) : ReLULayer<Dtype>(param) {}

 protected:
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!propagate_down[0]) return;
    const Dtype *data = bottom[0]->cpu_data(), *from = top[0]->cpu_diff();
    Dtype* to = bottom[0]->mutable_cpu_diff();
    const Dtype slope = this->layer_param_.relu_param().negative_slope();
    const int count = bottom[0]->count();
#pragma GCC ivdep  // in place, each number is read before it is written
    for (int i = 0; i < count; ++i)
      to[i] = from[i] * (data[i] > 0 ? Dtype(1) : slope);
  }
};

template <typename Dtype>
boost::shared_ptr<Layer<Dtype>> pooling(const LayerParameter& param) {
  if (param.pooling_param().engine() == PoolingParameter_Engine_DEFAULT)
    return boost::shared_ptr<Layer<Dtype>>(new CpuPoolingLayer<Dtype>(param));
  return boost::shared_ptr<Layer<Dtype>>(new PoolingLayer<Dtype>(param));
}

template <typename Dtype>
boost::shared_ptr<Layer<Dtype>> relu(const LayerParameter& param) {
  if (param.relu_param().engine() == ReLUParameter_Engine_DEFAULT)
    return boost::shared_ptr<Layer<Dtype>>(new CpuReLULayer<Dtype>(param));
  return boost::shared_ptr<Layer<Dtype>>(new ReLULayer<Dtype>(param));
}

const bool registered = [] {
  LayerRegistry<float>::Registry()["Pooling"] = pooling<float>;
  LayerRegistry<double>::Registry()["Pooling"] = pooling<double>;
  LayerRegistry<float>::Registry()["ReLU"] = relu<float>;
  LayerRegistry<double>::Registry()["ReLU"] = relu<double>;
  return true;
}();

}  // namespace
}  // namespace caffe
