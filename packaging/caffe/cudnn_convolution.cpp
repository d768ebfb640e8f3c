// Convolution on cuDNN 9 (and 8), in place of the release's own files, which stop at cuDNN 7.
//
// Caffe's convolution launches an im2col and a GEMM per image and group; here one call does the whole batch. The
// layer inherits everything else, the CPU included, and takes the place of "Convolution" in Caffe's registry unless
// a layer asks for engine: CAFFE. Arithmetic: float32, on cards from Ampere on with TF32 products
// (NVIDIA_TF32_OVERRIDE=0 in the environment switches those off).
#include <algorithm>
#include <array>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/layers/conv_layer.hpp"
#include "cudnn.hpp"

namespace caffe {
namespace {

const size_t kLargestWorkspace = size_t(1) << 30;  // bytes that an algorithm may ask for

// Whether cuDNN has an algorithm that works here and whose workspace fits: the first on its list, fastest first.
// get(count, list) asks for the list.
template <typename Perf, typename Get>
bool choose(Get get, int most, size_t limit, Perf* chosen) {
  std::vector<Perf> list(most);
  int count = 0;
  if (get(&count, list.data()) != CUDNN_STATUS_SUCCESS) return false;
  for (int i = 0; i < count; ++i)
    if (list[i].status == CUDNN_STATUS_SUCCESS && list[i].memory <= limit) {
      *chosen = list[i];
      return true;
    }
  return false;
}

template <typename Dtype>
class CudnnConvolutionLayer : public ConvolutionLayer<Dtype> {
 public:
  explicit CudnnConvolutionLayer(const LayerParameter& param) : ConvolutionLayer<Dtype>(param) {}

  virtual ~CudnnConvolutionLayer() {
    if (!described_) return;
    cudnnDestroyTensorDescriptor(bottom_);
    cudnnDestroyTensorDescriptor(top_);
    cudnnDestroyTensorDescriptor(bias_);
    cudnnDestroyFilterDescriptor(filter_);
    cudnnDestroyConvolutionDescriptor(convolution_);
  }

 protected:
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (!ready(*bottom[0], *top[0])) return ConvolutionLayer<Dtype>::Forward_gpu(bottom, top);
    Cudnn& cudnn = Cudnn::get();
    const Dtype one(1), zero(0);
    const Dtype* weight = this->blobs_[0]->gpu_data();
    CUDNN_CHECK(cudnnSetConvolutionMathType(convolution_, forward_.mathType));
    for (size_t i = 0; i < bottom.size(); ++i) {
      CUDNN_CHECK(cudnnConvolutionForward(cudnn.handle, &one, bottom_, bottom[i]->gpu_data(), filter_, weight,
          convolution_, forward_.algo, cudnn.room(forward_.memory), forward_.memory, &zero,
          top_, top[i]->mutable_gpu_data()));
      if (this->bias_term_)
        CUDNN_CHECK(cudnnAddTensor(cudnn.handle, &one, bias_, this->blobs_[1]->gpu_data(), &one,
            top_, top[i]->mutable_gpu_data()));
    }
  }

  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!ready(*bottom[0], *top[0])) return ConvolutionLayer<Dtype>::Backward_gpu(top, propagate_down, bottom);
    Cudnn& cudnn = Cudnn::get();
    const Dtype one(1), zero(0);
    for (size_t i = 0; i < top.size(); ++i) {
      const Dtype* top_diff = top[i]->gpu_diff();
      // Caffe adds up the gradients of parameters (the solver clears them), but sets those of bottoms.
      if (this->bias_term_ && this->param_propagate_down_[1])
        CUDNN_CHECK(cudnnConvolutionBackwardBias(cudnn.handle, &one, top_, top_diff, &one,
            bias_, this->blobs_[1]->mutable_gpu_diff()));
      if (this->param_propagate_down_[0]) {
        CUDNN_CHECK(cudnnSetConvolutionMathType(convolution_, to_filter_.mathType));
        CUDNN_CHECK(cudnnConvolutionBackwardFilter(cudnn.handle, &one, bottom_, bottom[i]->gpu_data(),
            top_, top_diff, convolution_, to_filter_.algo, cudnn.room(to_filter_.memory), to_filter_.memory, &one,
            filter_, this->blobs_[0]->mutable_gpu_diff()));
      }
      if (propagate_down[i]) {
        CUDNN_CHECK(cudnnSetConvolutionMathType(convolution_, to_data_.mathType));
        CUDNN_CHECK(cudnnConvolutionBackwardData(cudnn.handle, &one, filter_, this->blobs_[0]->gpu_data(),
            top_, top_diff, convolution_, to_data_.algo, cudnn.room(to_data_.memory), to_data_.memory, &zero,
            bottom_, bottom[i]->mutable_gpu_diff()));
      }
    }
  }

 private:
  // Whether cuDNN does this shape; the release's layer does what it cannot. Descriptors and algorithms are made at the
  // first pass on the GPU, so that a net that only ever runs on the CPU needs no card, and again for another shape.
  bool ready(const Blob<Dtype>& bottom, const Blob<Dtype>& top) {
    if (this->num_spatial_axes_ != 2) return false;
    if (shape_ != bottom.shape()) {
      shape_ = bottom.shape();
      ready_ = fits() && describe(bottom, top);
    }
    return ready_;
  }

  // A kernel larger than its padded input by less than the stride has an output in Caffe and none in cuDNN.
  bool fits() const {
    for (int axis = 0; axis < 2; ++axis)
      if (this->output_shape_[axis] < 1 ||
          this->conv_input_shape_.cpu_data()[axis + 1] + 2 * this->pad_.cpu_data()[axis] <
              this->dilation_.cpu_data()[axis] * (this->kernel_shape_.cpu_data()[axis] - 1) + 1)
        return false;
    return true;
  }

  bool describe(const Blob<Dtype>& bottom, const Blob<Dtype>& top) {
    const cudnnDataType_t type = cudnn_type<Dtype>();
    if (!described_) {
      CUDNN_CHECK(cudnnCreateTensorDescriptor(&bottom_));
      CUDNN_CHECK(cudnnCreateTensorDescriptor(&top_));
      CUDNN_CHECK(cudnnCreateTensorDescriptor(&bias_));
      CUDNN_CHECK(cudnnCreateFilterDescriptor(&filter_));
      CUDNN_CHECK(cudnnCreateConvolutionDescriptor(&convolution_));
      const vector<int>& w = this->blobs_[0]->shape();
      CUDNN_CHECK(cudnnSetFilter4dDescriptor(filter_, type, CUDNN_TENSOR_NCHW, w[0], w[1], w[2], w[3]));
      CUDNN_CHECK(cudnnSetTensor4dDescriptor(bias_, CUDNN_TENSOR_NCHW, type, 1, this->num_output_, 1, 1));
      const int *pad = this->pad_.cpu_data(), *stride = this->stride_.cpu_data(), *hole = this->dilation_.cpu_data();
      CUDNN_CHECK(cudnnSetConvolution2dDescriptor(convolution_, pad[0], pad[1], stride[0], stride[1],
          hole[0], hole[1], CUDNN_CROSS_CORRELATION, type));
      CUDNN_CHECK(cudnnSetConvolutionGroupCount(convolution_, this->group_));
      described_ = true;
    }
    CUDNN_CHECK(cudnnSetTensor4dDescriptor(bottom_, CUDNN_TENSOR_NCHW, type,
        bottom.shape(0), bottom.shape(1), bottom.shape(2), bottom.shape(3)));
    CUDNN_CHECK(cudnnSetTensor4dDescriptor(top_, CUDNN_TENSOR_NCHW, type,
        top.shape(0), top.shape(1), top.shape(2), top.shape(3)));

    size_t free_bytes, all_bytes;
    CUDA_CHECK(cudaMemGetInfo(&free_bytes, &all_bytes));
    Cudnn& cudnn = Cudnn::get();
    const size_t limit = std::max(cudnn.size, std::min(kLargestWorkspace, free_bytes / 4));
    // What an algorithm may do to its numbers is chosen with it: its list is made for all that is allowed.
    CUDNN_CHECK(cudnnSetConvolutionMathType(convolution_, CUDNN_DEFAULT_MATH));
    const int most = CUDNN_CONVOLUTION_FWD_ALGO_COUNT + CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT;
    return choose([&](int* count, cudnnConvolutionFwdAlgoPerf_t* list) {
          return cudnnGetConvolutionForwardAlgorithm_v7(cudnn.handle, bottom_, filter_, convolution_, top_, most, count,
                                                        list);
        }, most, limit, &forward_) &&
        choose([&](int* count, cudnnConvolutionBwdFilterAlgoPerf_t* list) {
          return cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnn.handle, bottom_, top_, convolution_, filter_, most,
                                                               count, list);
        }, most, limit, &to_filter_) &&
        choose([&](int* count, cudnnConvolutionBwdDataAlgoPerf_t* list) {
          return cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnn.handle, filter_, top_, convolution_, bottom_, most,
                                                             count, list);
        }, most, limit, &to_data_);
  }

  bool described_ = false, ready_ = false;
  vector<int> shape_;
  cudnnTensorDescriptor_t bottom_, top_, bias_;
  cudnnFilterDescriptor_t filter_;
  cudnnConvolutionDescriptor_t convolution_;
  cudnnConvolutionFwdAlgoPerf_t forward_;
  cudnnConvolutionBwdFilterAlgoPerf_t to_filter_;
  cudnnConvolutionBwdDataAlgoPerf_t to_data_;
};

template <typename Dtype>
boost::shared_ptr<Layer<Dtype>> create(const LayerParameter& param) {
  const ConvolutionParameter& convolution = param.convolution_param();
  const bool usual = !convolution.force_nd_im2col() && convolution.axis() == 1;
  if (convolution.engine() != ConvolutionParameter_Engine_CAFFE && usual)
    return boost::shared_ptr<Layer<Dtype>>(new CudnnConvolutionLayer<Dtype>(param));
  return boost::shared_ptr<Layer<Dtype>>(new ConvolutionLayer<Dtype>(param));
}

// Linked after the release's files, whose own registrations have therefore run before this line does.
const bool registered = [] {
  LayerRegistry<float>::Registry()["Convolution"] = create<float>;
  LayerRegistry<double>::Registry()["Convolution"] = create<double>;
  return true;
}();

}  // namespace
}  // namespace caffe
