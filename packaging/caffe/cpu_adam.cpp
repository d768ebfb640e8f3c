// Adam on the CPU in one pass over gradient and moments, with threads; the release makes nine. Its blob for intermediate
// results is never touched, and so takes no memory.
#include <cmath>

#include "caffe/sgd_solvers.hpp"
#include "caffe/solver_factory.hpp"
#include "cpu_places.hpp"

namespace caffe {
namespace {

template <typename Dtype>
struct Adam {
  Dtype beta1, beta2, eps, rate;
};

template <typename Dtype>
void update(const Adam<Dtype> by, int count, Dtype* mean, Dtype* square, Dtype* gradient) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    const Dtype value = gradient[i];
    mean[i] = (1 - by.beta1) * value + by.beta1 * mean[i];
    square[i] = (1 - by.beta2) * (value * value) + by.beta2 * square[i];
    gradient[i] = by.rate * (mean[i] / (std::sqrt(square[i]) + by.eps));
  }
}

template <typename Dtype>
struct CpuAdamSolver : AdamSolver<Dtype> {
  using AdamSolver<Dtype>::AdamSolver;

  virtual void ComputeUpdateValue(int id, Dtype rate) {
    const vector<Blob<Dtype>*>& parameters = this->net_->learnable_params();
    const Dtype beta1 = this->param_.momentum(), beta2 = this->param_.momentum2(), step = this->iter_ + 1;
    const Dtype correction = std::sqrt(1 - std::pow(beta2, step)) / (1 - std::pow(beta1, step));
    const Adam<Dtype> by = {beta1, beta2, Dtype(this->param_.delta()), rate * this->net_->params_lr()[id] * correction};
    Dtype *mean = this->history_[id]->mutable_cpu_data(), *gradient = parameters[id]->mutable_cpu_diff();
    Dtype* square = this->history_[id + parameters.size()]->mutable_cpu_data();
    share_chunks(parameters[id]->count(),
                 [=](int at, int count) { update(by, count, mean + at, square + at, gradient + at); });
  }
};

template <typename Dtype>
Solver<Dtype>* create(const SolverParameter& parameter) {
  return new CpuAdamSolver<Dtype>(parameter);
}

const bool registered = [] {
  SolverRegistry<float>::Registry()["Adam"] = create<float>;
  SolverRegistry<double>::Registry()["Adam"] = create<double>;
  return true;
}();

}  // namespace
}  // namespace caffe
