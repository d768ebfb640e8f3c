// Adam's update on the CPU in one pass over gradient and moments, with threads; the release makes nine. CMakeLists.txt has
// its solver call this. The solver's blob for intermediate results is never touched, and so takes no memory.
#include <cmath>

#include "cpu_places.hpp"

namespace caffe {
namespace {

template <typename Dtype>
void update(Dtype* gradient, Dtype* mean, Dtype* square, Dtype beta1, Dtype beta2, Dtype eps, Dtype rate, int count) {
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    const Dtype value = gradient[i];
    mean[i] = (1 - beta1) * value + beta1 * mean[i];
    square[i] = (1 - beta2) * (value * value) + beta2 * square[i];
    gradient[i] = rate * (mean[i] / (std::sqrt(square[i]) + eps));
  }
}

}  // namespace

template <typename Dtype>
void adam_update_cpu(int total, Dtype* gradient, Dtype* mean, Dtype* square, Dtype beta1, Dtype beta2, Dtype eps,
                     Dtype rate) {
  share_chunks(total, [=](int at, int count) {
    update(gradient + at, mean + at, square + at, beta1, beta2, eps, rate, count);
  });
}

template void adam_update_cpu(int, float*, float*, float*, float, float, float, float);
template void adam_update_cpu(int, double*, double*, double*, double, double, double, double);

}  // namespace caffe
