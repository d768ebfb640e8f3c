// Layers of the release that declare passes for the GPU and define none: theirs are the CPU's, as in Caffe's base Layer.
#include "caffe/layers/hardsigmoid_layer.hpp"
#include "caffe/layers/hardswish_layer.hpp"
#include "caffe/layers/maxunpool_layer.hpp"
#include "caffe/layers/pixelshuffle_layer.hpp"
#include "caffe/layers/relu6_layer.hpp"
#include "caffe/layers/upsample_layer.hpp"

#define GPU_AS_CPU(LAYER)                                                                                           \
  template <typename Dtype>                                                                                         \
  void LAYER<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {             \
    this->Forward_cpu(bottom, top);                                                                                 \
  }                                                                                                                 \
  template <typename Dtype>                                                                                         \
  void LAYER<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,              \
                                  const vector<Blob<Dtype>*>& bottom) {                                             \
    this->Backward_cpu(top, propagate_down, bottom);                                                                \
  }                                                                                                                 \
  INSTANTIATE_LAYER_GPU_FUNCS(LAYER)

namespace caffe {
GPU_AS_CPU(HardSigmoidLayer);
GPU_AS_CPU(HardSwishLayer);
GPU_AS_CPU(MaxUnPoolLayer);
GPU_AS_CPU(PixelShuffleLayer);
GPU_AS_CPU(ReLU6Layer);
GPU_AS_CPU(UpsampleLayer);
}  // namespace caffe
