// What our layers on cuDNN share: the handle, checks, data types.
#pragma once
#include <cudnn.h>

#include <map>

#include "caffe/common.hpp"

namespace caffe {

#define CUDNN_CHECK(condition)                                                              \
  do {                                                                                      \
    cudnnStatus_t status = condition;                                                       \
    CHECK_EQ(status, CUDNN_STATUS_SUCCESS) << " cuDNN: " << cudnnGetErrorString(status);    \
  } while (0)

template <typename Dtype> cudnnDataType_t cudnn_type();
template <> inline cudnnDataType_t cudnn_type<float>() { return CUDNN_DATA_FLOAT; }
template <> inline cudnnDataType_t cudnn_type<double>() { return CUDNN_DATA_DOUBLE; }

// Per thread, as Caffe's own handles are, and per card; never destroyed, since the driver may be gone when the process
// ends.
struct Cudnn {
  cudnnHandle_t handle = nullptr;
  void* workspace = nullptr;
  size_t size = 0;

  static Cudnn& get() {
    static thread_local std::map<int, Cudnn> cards;
    int card;
    CUDA_CHECK(cudaGetDevice(&card));
    Cudnn& cudnn = cards[card];
    if (!cudnn.handle) CUDNN_CHECK(cudnnCreate(&cudnn.handle));
    return cudnn;
  }

  void* room(size_t bytes) {
    if (bytes > size) {
      if (workspace) CUDA_CHECK(cudaFree(workspace));
      workspace = nullptr;
      size = 0;
      CUDA_CHECK(cudaMalloc(&workspace, bytes));
      size = bytes;
    }
    return workspace;
  }
};

}  // namespace caffe
