// Convolution for processors of x86-64 with AVX2 and FMA, compiled beside the one for all others.
#define CPU_AVX2
#include "cpu_convolution.cpp"
