// threads: what cpu_threads.hpp promises, in C++, where threads of our own can call it; and a net of all our layers whose
// steps are the same bits for any number of threads. Ends with an exit status of 1, and words, where a promise is broken; else
// it prints a number that is another where a bit of the weights is.
#include <google/protobuf/text_format.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "caffe/caffe.hpp"
#include "cpu_threads.hpp"

void must(bool holds, const char* what) {
  if (holds) return;
  printf("broken: %s\n", what);
  exit(1);
}

// Every unit is done once, and nobody else has its worker's number meanwhile.
void shares(int count, int threads) {
  std::vector<int> done(count);
  std::atomic<bool> taken[caffe::kMostThreads] = {};
  caffe::share(count, [&](int worker, int unit) {
    must(worker >= 0 && worker < threads, "a worker's number is smaller than that of threads");
    must(!taken[worker].exchange(true), "no two have the same number");
    ++done[unit];
    taken[worker] = false;
  });
  for (int each : done) must(each == 1, "each unit is done once");
}

void throws() {
  for (int thrower : {0, 37, 99}) {
    std::string said;
    try {
      caffe::share(100, [&](int, int unit) {
        if (unit == thrower) throw std::runtime_error("unit " + std::to_string(unit));
      });
    } catch (const std::runtime_error& error) {
      said = error.what();
    }
    must(said == "unit " + std::to_string(thrower), "what a unit throws is thrown by share");
    shares(50, caffe::cpu_threads());
  }
}

void nests() {
  std::atomic<int> inner{0};
  caffe::share(20, [&](int, int) { caffe::share(10, [&](int, int) { ++inner; }); });
  must(inner == 200, "a unit may share work, too");
}

void several_callers() {
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([] {
      for (int i = 0; i < 200; ++i) shares(30, caffe::cpu_threads());
    });
  for (std::thread& caller : callers) caller.join();
}

const char* kSolver = R"(
type: "Adam" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 momentum2: 0.999 weight_decay: 0.001 random_seed: 5
snapshot_after_train: false
net_param {
  layer { name: "data" type: "DummyData" top: "data" top: "label"
          dummy_data_param { shape { dim: 40 dim: 6 dim: 11 dim: 11 } shape { dim: 40 }
                             data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
  layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          convolution_param { num_output: 24 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
  layer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }
  layer { name: "scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
  layer { name: "relu" type: "ReLU" bottom: "conv1" top: "conv1" }
  layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.01 } }
  layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
          convolution_param { num_output: 48 kernel_size: 5 pad: 2 group: 2 weight_filler { type: "msra" } } }
  layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 3 stride: 2 pool: AVE } }
  layer { name: "norm2" type: "LRN" bottom: "pool2" top: "norm2"
          lrn_param { local_size: 3 alpha: 0.01 norm_region: WITHIN_CHANNEL } }
  layer { name: "conv3" type: "Convolution" bottom: "norm2" top: "conv3"
          convolution_param { num_output: 40 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
  layer { name: "pool3" type: "Pooling" bottom: "conv3" top: "pool3" pooling_param { kernel_size: 2 } }
  layer { name: "drop" type: "Dropout" bottom: "pool3" top: "pool3" }
  layer { name: "fc" type: "InnerProduct" bottom: "pool3" top: "fc"
          inner_product_param { num_output: 1500 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
}
)";

std::vector<float> steps(int threads) {
  caffe::set_cpu_threads(threads);
  caffe::SolverParameter parameter;
  must(google::protobuf::TextFormat::ParseFromString(kSolver, &parameter), "the net can be read");
  parameter.set_solver_mode(caffe::SolverParameter_SolverMode_CPU);
  boost::shared_ptr<caffe::Solver<float>> solver(caffe::SolverRegistry<float>::CreateSolver(parameter));
  solver->Step(2);
  std::vector<float> numbers;
  for (caffe::Blob<float>* blob : solver->net()->learnable_params())
    numbers.insert(numbers.end(), blob->cpu_data(), blob->cpu_data() + blob->count());
  return numbers;
}

int main(int, char**) {
  FLAGS_minloglevel = 2;
  for (int threads : {1, 2, 3, 8, 64}) {
    caffe::set_cpu_threads(threads);
    for (int count : {0, 1, 2, 7, 500}) shares(count, threads);
    throws();
    nests();
    several_callers();
  }
  const std::vector<float> one = steps(1);
  for (int threads : {2, 5}) {
    const std::vector<float> other = steps(threads);
    must(other.size() == one.size() && !std::memcmp(one.data(), other.data(), one.size() * sizeof(float)),
         "any number of threads steps to the same bits");
  }
  unsigned long hash = 0;
  for (float number : one) {
    unsigned bits;
    std::memcpy(&bits, &number, sizeof bits);
    hash = hash * 31 + bits;
  }
  printf("%lu\n", hash);
}
