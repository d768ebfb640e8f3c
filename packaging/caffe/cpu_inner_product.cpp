// InnerProduct on the CPU: each product of matrices in slices, one thread's BLAS for each.
#include "caffe/layers/inner_product_layer.hpp"

#include "caffe/util/math_functions.hpp"
#include "cpu_places.hpp"

namespace caffe {
namespace {

void blas(CBLAS_TRANSPOSE a_as, CBLAS_TRANSPOSE b_as, int m, int n, int k, const float* a, int a_row, const float* b,
          int b_row, float keep, float* c, int c_row) {
  cblas_sgemm(CblasRowMajor, a_as, b_as, m, n, k, 1, a, a_row, b, b_row, keep, c, c_row);
}

void blas(CBLAS_TRANSPOSE a_as, CBLAS_TRANSPOSE b_as, int m, int n, int k, const double* a, int a_row, const double* b,
          int b_row, double keep, double* c, int c_row) {
  cblas_dgemm(CblasRowMajor, a_as, b_as, m, n, k, 1, a, a_row, b, b_row, keep, c, c_row);
}

// Numbers of a side of a product's matrix that one thread takes at a time: in at least four parts, and not too small.
int slice(int side) { return std::min(128, std::max(32, (side / 4 + 15) / 16 * 16)); }

// c = a b + keep c, of m x k and k x n numbers, as caffe_cpu_gemm; in slices of the longer side of c.
template <typename Dtype>
void product(CBLAS_TRANSPOSE a_as, CBLAS_TRANSPOSE b_as, int m, int n, int k, const Dtype* a, const Dtype* b, Dtype keep,
             Dtype* c) {
  const int a_row = a_as == CblasNoTrans ? k : m, b_row = b_as == CblasNoTrans ? n : k;
  const bool columns = n >= m;
  const int side = columns ? n : m, part = slice(side);
  share((side + part - 1) / part, [=](int, int unit) {
    const int first = unit * part, count = std::min(part, side - first);
    if (columns)
      blas(a_as, b_as, m, count, k, a, a_row, b + size_t(first) * (b_as == CblasNoTrans ? 1 : b_row), b_row, keep,
           c + first, n);
    else
      blas(a_as, b_as, count, n, k, a + size_t(first) * (a_as == CblasNoTrans ? a_row : 1), a_row, b, b_row, keep,
           c + size_t(first) * n, n);
  });
}

template <typename Dtype>
struct CpuInnerProductLayer : InnerProductLayer<Dtype> {
  using InnerProductLayer<Dtype>::InnerProductLayer;

  static bool takes(const LayerParameter&) { return true; }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    Dtype* to = top[0]->mutable_cpu_data();
    product(CblasNoTrans, this->transpose_ ? CblasNoTrans : CblasTrans, this->M_, this->N_, this->K_,
            bottom[0]->cpu_data(), this->blobs_[0]->cpu_data(), Dtype(0), to);
    if (!this->bias_term_) return;
    const Dtype* bias = this->blobs_[1]->cpu_data();
    for (int m = 0; m < this->M_; ++m, to += this->N_)
      for (int n = 0; n < this->N_; ++n) to[n] += bias[n];
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    const int M = this->M_, N = this->N_, K = this->K_;
    const Dtype *from = bottom[0]->cpu_data(), *gradient = top[0]->cpu_diff(), *weights = this->blobs_[0]->cpu_data();
    if (this->param_propagate_down_[0]) {
      Dtype* to = this->blobs_[0]->mutable_cpu_diff();
      if (this->transpose_)
        product(CblasTrans, CblasNoTrans, K, N, M, from, gradient, Dtype(1), to);
      else
        product(CblasTrans, CblasNoTrans, N, K, M, gradient, from, Dtype(1), to);
    }
    if (this->bias_term_ && this->param_propagate_down_[1])
      caffe_cpu_gemv<Dtype>(CblasTrans, M, N, 1, gradient, this->bias_multiplier_.cpu_data(), 1,
                            this->blobs_[1]->mutable_cpu_diff());
    if (propagate_down[0])
      product(CblasNoTrans, this->transpose_ ? CblasTrans : CblasNoTrans, M, K, N, gradient, weights, Dtype(0),
              bottom[0]->mutable_cpu_diff());
  }
};

const bool registered = take_the_place_of<CpuInnerProductLayer, InnerProductLayer>("InnerProduct");

}  // namespace
}  // namespace caffe
