// Forced before the release's tests: the layer that Caffe's registry has under a name, in the place of the release's class
// that they name.
#include "caffe/caffe.hpp"
#include "caffe/layers/accuracy_layer.hpp"
#include "caffe/layers/batch_norm_layer.hpp"
#include "caffe/layers/conv_layer.hpp"
#include "caffe/layers/dropout_layer.hpp"
#include "caffe/layers/inner_product_layer.hpp"
#include "caffe/layers/lrn_layer.hpp"
#include "caffe/layers/pooling_layer.hpp"
#include "caffe/layers/relu_layer.hpp"
#include "caffe/layers/scale_layer.hpp"
#include "caffe/layers/softmax_layer.hpp"
#include "caffe/layers/sigmoid_cross_entropy_loss_layer.hpp"

namespace caffe {

template <typename Dtype>
class Registered : public Layer<Dtype> {
 public:
  Registered(LayerParameter parameter, const char* type) : Layer<Dtype>(parameter) {
    parameter.set_type(type);
    layer_ = LayerRegistry<Dtype>::CreateLayer(parameter);
  }
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    layer_->SetUp(bottom, top);
    this->blobs_ = layer_->blobs();
    for (int i = 0; i < this->blobs_.size(); ++i) this->set_param_propagate_down(i, layer_->param_propagate_down(i));
  }

  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    layer_->Reshape(bottom, top);
  }

  virtual const char* type() const { return layer_->type(); }

  virtual int MaxTopBlobs() const { return layer_->MaxTopBlobs(); }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    layer_->blobs() = this->blobs_;
    layer_->Forward(bottom, top);
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& down,
                            const vector<Blob<Dtype>*>& bottom) {
    for (int i = 0; i < this->blobs_.size(); ++i) layer_->set_param_propagate_down(i, this->param_propagate_down(i));
    layer_->Backward(top, down, bottom);
  }

  boost::shared_ptr<Layer<Dtype>> layer_;
};

#define REGISTERED(NAME, TYPE)                                                             \
  template <typename Dtype>                                                                \
  struct NAME : Registered<Dtype> {                                                        \
    explicit NAME(const LayerParameter& parameter) : Registered<Dtype>(parameter, TYPE) {} \
  };
REGISTERED(RegisteredConvolution, "Convolution")
REGISTERED(RegisteredPooling, "Pooling")
REGISTERED(RegisteredReLU, "ReLU")
REGISTERED(RegisteredBatchNorm, "BatchNorm")
REGISTERED(RegisteredDropout, "Dropout")
REGISTERED(RegisteredInnerProduct, "InnerProduct")
REGISTERED(RegisteredLRN, "LRN")
REGISTERED(RegisteredScale, "Scale")
REGISTERED(RegisteredSoftmax, "Softmax")
REGISTERED(RegisteredAccuracy, "Accuracy")
REGISTERED(RegisteredSigmoidCrossEntropyLoss, "SigmoidCrossEntropyLoss")

}  // namespace caffe

#define ConvolutionLayer RegisteredConvolution
#define PoolingLayer RegisteredPooling
#define ReLULayer RegisteredReLU
#define BatchNormLayer RegisteredBatchNorm
#define DropoutLayer RegisteredDropout
#define InnerProductLayer RegisteredInnerProduct
#define LRNLayer RegisteredLRN
#define ScaleLayer RegisteredScale
#define SoftmaxLayer RegisteredSoftmax
#define AccuracyLayer RegisteredAccuracy
#define SigmoidCrossEntropyLossLayer RegisteredSigmoidCrossEntropyLoss
