// Convolution for processors of x86-64 with AVX-512 (F, VL, DQ and BW), compiled beside those for all others.
#define CPU_AVX512
#include "cpu_convolution.cpp"
