// BatchNorm, and the gradient of biases, on cuDNN.
//
// Caffe's BatchNorm passes over its data some twenty times; its Bias layer, which Scale holds, launches a kernel per
// image to add up a gradient. Both inherit everything else, the CPU included, and take their places in Caffe's registry.
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/layers/batch_norm_layer.hpp"
#include "caffe/layers/bias_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "cudnn.hpp"

namespace caffe {
namespace {

template <typename Dtype>
class CudnnBatchNormLayer : public BatchNormLayer<Dtype> {
 public:
  explicit CudnnBatchNormLayer(const LayerParameter& param) : BatchNormLayer<Dtype>(param) {}

  virtual ~CudnnBatchNormLayer() {
    if (!described_) return;
    cudnnDestroyTensorDescriptor(data_);
    cudnnDestroyTensorDescriptor(statistics_);
  }

 protected:
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (this->use_global_stats_) return BatchNormLayer<Dtype>::Forward_gpu(bottom, top);
    describe(*bottom[0]);
    // The layer may work in place, and its backward pass needs what came in: x_norm_ keeps that.
    caffe_copy(bottom[0]->count(), bottom[0]->gpu_data(), this->x_norm_.mutable_gpu_data());
    // With a factor of 1 the "running" mean and variance are this batch's, the variance unbiased as Caffe has it.
    const Dtype one(1), zero(0);
    CUDNN_CHECK(cudnnBatchNormalizationForwardTraining(Cudnn::get().handle, CUDNN_BATCHNORM_SPATIAL, &one, &zero,
        data_, this->x_norm_.gpu_data(), data_, top[0]->mutable_gpu_data(), statistics_, ones_.gpu_data(),
        zeros_.gpu_data(), 1.0, this->mean_.mutable_gpu_data(), this->variance_.mutable_gpu_data(), this->eps_,
        batch_mean_.mutable_gpu_data(), batch_inverse_.mutable_gpu_data()));
    const Dtype keep = this->moving_average_fraction_;
    Dtype* factor = this->blobs_[2]->mutable_cpu_data();
    factor[0] = factor[0] * keep + 1;
    caffe_gpu_axpby(this->channels_, one, this->mean_.gpu_data(), keep, this->blobs_[0]->mutable_gpu_data());
    caffe_gpu_axpby(this->channels_, one, this->variance_.gpu_data(), keep, this->blobs_[1]->mutable_gpu_data());
  }

  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (this->use_global_stats_) return BatchNormLayer<Dtype>::Backward_gpu(top, propagate_down, bottom);
    const Dtype* top_diff = top[0]->gpu_diff();
    if (bottom[0] == top[0]) {
      caffe_copy(top[0]->count(), top_diff, this->x_norm_.mutable_gpu_diff());
      top_diff = this->x_norm_.gpu_diff();
    }
    const Dtype one(1), zero(0);
    CUDNN_CHECK(cudnnBatchNormalizationBackward(Cudnn::get().handle, CUDNN_BATCHNORM_SPATIAL, &one, &zero, &one, &zero,
        data_, this->x_norm_.gpu_data(), data_, top_diff, data_, bottom[0]->mutable_gpu_diff(), statistics_,
        ones_.gpu_data(), ones_.mutable_gpu_diff(), zeros_.mutable_gpu_diff(), this->eps_,
        batch_mean_.gpu_data(), batch_inverse_.gpu_data()));
  }

 private:
  void describe(const Blob<Dtype>& bottom) {
    if (described_ && shape_ == bottom.shape()) return;
    if (!described_) {
      CUDNN_CHECK(cudnnCreateTensorDescriptor(&data_));
      CUDNN_CHECK(cudnnCreateTensorDescriptor(&statistics_));
      for (Blob<Dtype>* blob : {&ones_, &zeros_, &batch_mean_, &batch_inverse_})
        blob->Reshape(vector<int>(1, this->channels_));
      caffe_set(this->channels_, Dtype(1), ones_.mutable_cpu_data());
      caffe_set(this->channels_, Dtype(0), zeros_.mutable_cpu_data());
      described_ = true;
    }
    const int images = bottom.shape(0);
    CUDNN_CHECK(cudnnSetTensor4dDescriptor(data_, CUDNN_TENSOR_NCHW, cudnn_type<Dtype>(), images, this->channels_,
        bottom.count() / (images * this->channels_), 1));
    CUDNN_CHECK(cudnnDeriveBNTensorDescriptor(statistics_, data_, CUDNN_BATCHNORM_SPATIAL));
    shape_ = bottom.shape();
  }

  bool described_ = false;
  vector<int> shape_;
  cudnnTensorDescriptor_t data_, statistics_;
  Blob<Dtype> ones_, zeros_;  // Caffe's BatchNorm has neither factor nor offset, its Scale layer has
  Blob<Dtype> batch_mean_, batch_inverse_;  // mean and 1 / sqrt(variance + eps) of the batch, for the backward pass
};

template <typename Dtype>
class CudnnBiasLayer : public BiasLayer<Dtype> {
 public:
  explicit CudnnBiasLayer(const LayerParameter& param) : BiasLayer<Dtype>(param) {}

  virtual ~CudnnBiasLayer() {
    if (!described_) return;
    cudnnDestroyTensorDescriptor(data_);
    cudnnDestroyTensorDescriptor(bias_);
  }

 protected:
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (bottom.size() > 1) return BiasLayer<Dtype>::Backward_gpu(top, propagate_down, bottom);
    if (propagate_down[0] && bottom[0] != top[0])
      caffe_copy(bottom[0]->count(), top[0]->gpu_diff(), bottom[0]->mutable_gpu_diff());
    if (!this->param_propagate_down_[0]) return;
    if (!described_) {
      CUDNN_CHECK(cudnnCreateTensorDescriptor(&data_));
      CUDNN_CHECK(cudnnCreateTensorDescriptor(&bias_));
      described_ = true;
    }
    Blob<Dtype>& bias = *this->blobs_[0];
    const int images = bottom[0]->count(0, bottom[0]->CanonicalAxisIndex(this->layer_param_.bias_param().axis()));
    const int inner = bottom[0]->count() / (images * bias.count());
    CUDNN_CHECK(cudnnSetTensor4dDescriptor(data_, CUDNN_TENSOR_NCHW, cudnn_type<Dtype>(), images, bias.count(),
        inner, 1));
    CUDNN_CHECK(cudnnSetTensor4dDescriptor(bias_, CUDNN_TENSOR_NCHW, cudnn_type<Dtype>(), 1, bias.count(), 1, 1));
    const Dtype one(1);  // twice: Caffe adds to the gradient that is there
    CUDNN_CHECK(cudnnConvolutionBackwardBias(Cudnn::get().handle, &one, data_, top[0]->gpu_diff(), &one,
        bias_, bias.mutable_gpu_diff()));
  }

 private:
  bool described_ = false;
  cudnnTensorDescriptor_t data_, bias_;
};

template <typename Dtype, template <typename> class LayerClass>
boost::shared_ptr<Layer<Dtype>> create(const LayerParameter& param) {
  return boost::shared_ptr<Layer<Dtype>>(new LayerClass<Dtype>(param));
}

// Linked after the release's files, whose own registrations have therefore run before these lines do.
const bool registered = [] {
  LayerRegistry<float>::Registry()["BatchNorm"] = create<float, CudnnBatchNormLayer>;
  LayerRegistry<double>::Registry()["BatchNorm"] = create<double, CudnnBatchNormLayer>;
  LayerRegistry<float>::Registry()["Bias"] = create<float, CudnnBiasLayer>;
  LayerRegistry<double>::Registry()["Bias"] = create<double, CudnnBiasLayer>;
  return true;
}();

}  // namespace
}  // namespace caffe
