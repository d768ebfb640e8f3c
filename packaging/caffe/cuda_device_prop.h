// CUDA 13 took three fields out of cudaDeviceProp that common.cpp prints. CMakeLists.txt puts this header before that
// file: it reads them as device attributes, which every CUDA release has.
#pragma once
#include <cuda_runtime.h>

struct CaffeDeviceProp : cudaDeviceProp {
  int clockRate, deviceOverlap, kernelExecTimeoutEnabled;
};

static inline cudaError_t caffe_get_device_properties(CaffeDeviceProp* prop, int device) {
  cudaDeviceGetAttribute(&prop->clockRate, cudaDevAttrClockRate, device);
  cudaDeviceGetAttribute(&prop->deviceOverlap, cudaDevAttrAsyncEngineCount, device);
  cudaDeviceGetAttribute(&prop->kernelExecTimeoutEnabled, cudaDevAttrKernelExecTimeout, device);
  return cudaGetDeviceProperties(static_cast<cudaDeviceProp*>(prop), device);
}

#undef cudaGetDeviceProperties
#define cudaDeviceProp CaffeDeviceProp
#define cudaGetDeviceProperties caffe_get_device_properties
