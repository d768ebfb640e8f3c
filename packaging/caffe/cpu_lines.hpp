// Several images at a time: what lies at one place of all of them is a line. With AVX-512 or AVX2 that is 16 images (8 of
// doubles), one line of the cache, in one or two registers; their sums have the same order, and so the same bits.
// Everywhere else, on processors with registers of 16 bytes, a line is two of these, half as many images.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "caffe/common.hpp"
#include "cpu_threads.hpp"

// The compiler's vector types, no processor's own functions: the same code for x86-64, ARM and WebAssembly. For x86-64
// it is compiled three times: cpu_convolution_avx2.cpp and cpu_convolution_avx512.cpp say for which registers.
#if defined(CPU_AVX512)
#define FAST __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512")))
#define WIDTH 64
#define PARTS 1
#define ROWS 16
#define TAPS 8
#elif defined(CPU_AVX2)
#define FAST __attribute__((target("avx2,fma")))
#define WIDTH 32
#define PARTS 2
#define ROWS 6
#define TAPS 6
#else
#define FAST
#define WIDTH 16
#define PARTS 2
#define ROWS 6
#define TAPS 6
#endif

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define UNROLL _Pragma("GCC unroll 16")
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Index{__VA_ARGS__})  // GCC 12 has clang's, Colab's 11 has not
#endif

namespace caffe {
namespace {

const int kParts = PARTS;  // registers of a line
const int kRows = ROWS;    // lines that are summed at once: 12 of the 16 registers there are, 16 of 32 with AVX-512
const int kTaps = TAPS;    // the same for the gradient of the weights: each of them has an address of its own

template <typename Dtype>
struct Lanes {
  static constexpr int count = PARTS * WIDTH / sizeof(Dtype);  // numbers in a line
  typedef Dtype Register __attribute__((vector_size(WIDTH)));  // a part of one
  typedef Dtype Anywhere __attribute__((vector_size(WIDTH), aligned(sizeof(Dtype))));  // as many, at any address
};

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Memory for intermediate results of one worker. helpers/training/memory.py counts it.
template <typename Dtype>
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    for (Part& part : parts_) free(part.start);
  }

  Dtype* room(int use, size_t count) {
    Part& part = parts_[use];
    const size_t bytes = (count * sizeof(Dtype) + 63) / 64 * 64;
    if (bytes > part.bytes) {
      free(part.start);
      part.start = std::aligned_alloc(64, bytes);
      part.bytes = part.start ? bytes : 0;
      if (!part.start) throw std::bad_alloc();
    }
    return static_cast<Dtype*>(part.start);
  }

 private:
  struct Part {
    void* start = nullptr;
    size_t bytes = 0;
  } parts_[5];
};

// One for each worker. The layers of a type that one thread runs share them, and they go with the last of these layers.
template <typename Dtype>
class Workshop {
 public:
  static std::shared_ptr<Workshop> of_this_thread() {
    static thread_local std::weak_ptr<Workshop> kept;
    std::shared_ptr<Workshop> workshop = kept.lock();
    if (!workshop) kept = workshop = std::make_shared<Workshop>();
    return workshop;
  }

  Scratch<Dtype>& of(int worker) { return places_[worker]; }

 private:
  Scratch<Dtype> places_[kMostThreads];
};

// A square of numbers, each row in a register, mirrored at its diagonal.
FAST inline void turn(Lanes<double>::Register* row) {
  for (int i = 0; i < WIDTH / 8; ++i)
    for (int j = 0; j < i; ++j) {
      const double kept = row[i][j];
      row[i][j] = row[j][i];
      row[j][i] = kept;
    }
}

FAST inline void turn(Lanes<float>::Register* row) {
  typedef int Index __attribute__((vector_size(WIDTH), unused));
#if WIDTH == 64  // in each step squares of one, two, four and eight numbers at one side change places with those beside
  Lanes<float>::Register other[16];
  UNROLL
  for (int i = 0; i < 16; i += 2) {
    other[i] = SHUFFLE(row[i], row[i + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    other[i + 1] = SHUFFLE(row[i], row[i + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  UNROLL
  for (int i = 0; i < 16; ++i) {
    if (i & 2) continue;
    row[i] = SHUFFLE(other[i], other[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    row[i + 2] = SHUFFLE(other[i], other[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  UNROLL
  for (int i = 0; i < 16; ++i) {
    if (i & 4) continue;
    other[i] = SHUFFLE(row[i], row[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
    other[i + 4] = SHUFFLE(row[i], row[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
  UNROLL
  for (int i = 0; i < 8; ++i) {
    row[i] = SHUFFLE(other[i], other[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    row[i + 8] = SHUFFLE(other[i], other[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
#elif WIDTH == 32
  Lanes<float>::Register pair[8], four[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = SHUFFLE(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pair[i + 1] = SHUFFLE(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      four[i + 2 * j] = SHUFFLE(pair[i + j], pair[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      four[i + 2 * j + 1] = SHUFFLE(pair[i + j], pair[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    row[i] = SHUFFLE(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    row[i + 4] = SHUFFLE(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#else
  Lanes<float>::Register pair[4];
  for (int i = 0; i < 4; i += 2) {
    pair[i] = SHUFFLE(row[i], row[i + 1], 0, 4, 1, 5);
    pair[i + 1] = SHUFFLE(row[i], row[i + 1], 2, 6, 3, 7);
  }
  for (int i = 0; i < 2; ++i) {
    row[2 * i] = SHUFFLE(pair[i], pair[i + 2], 0, 1, 4, 5);
    row[2 * i + 1] = SHUFFLE(pair[i], pair[i + 2], 2, 3, 6, 7);
  }
#endif
}

// Planes of `length` numbers of `count` images, `stride` apart, as lines: number i goes to line
// to + i / width * down + i % width * right. Lanes from `count` on are 0.
template <typename Dtype>
FAST void interleave(const Dtype* from, int count, size_t stride, int length, int width, Dtype* to, ptrdiff_t down,
                     ptrdiff_t right) {
  typedef typename Lanes<Dtype>::Register Register;
  typedef typename Lanes<Dtype>::Anywhere Anywhere;
  constexpr int lanes = Lanes<Dtype>::count, n = lanes / kParts;
  if (length < n) {
    for (int i = 0; i < length; ++i)
      for (int lane = 0; lane < lanes; ++lane)
        to[i / width * down + i % width * right + lane] = lane < count ? from[lane * stride + i] : Dtype(0);
    return;
  }
  for (int i = 0; i < length; i += n) {
    const int at = std::min(i, length - n);  // the last ones overlap
    for (int half = 0; half < lanes; half += n) {
      Register row[n];
UNROLL
      for (int j = 0; j < n; ++j)
        row[j] = half + j < count ? *reinterpret_cast<const Anywhere*>(from + (half + j) * stride + at) : Anywhere{};
      turn(row);
      int y = at / width, x = at % width;
UNROLL
      for (int j = 0; j < n; ++j) {
        *reinterpret_cast<Register*>(to + y * down + x * right + half) = row[j];
        if (++x == width) x = 0, ++y;
      }
    }
  }
}

// The opposite: number i of `count` planes, `stride` apart, from line i, `step` apart; `add` is added.
template <typename Dtype>
FAST void separate(const Dtype* from, ptrdiff_t step, int length, Dtype add, Dtype* to, int count, size_t stride) {
  typedef typename Lanes<Dtype>::Register Register;
  typedef typename Lanes<Dtype>::Anywhere Anywhere;
  constexpr int lanes = Lanes<Dtype>::count, n = lanes / kParts;
  if (length < n) {
    for (int i = 0; i < length; ++i)
      for (int lane = 0; lane < count; ++lane) to[lane * stride + i] = from[i * step + lane] + add;
    return;
  }
  for (int i = 0; i < length; i += n) {
    const int at = std::min(i, length - n);
    for (int half = 0; half < lanes; half += n) {
      Register row[n];
UNROLL
      for (int j = 0; j < n; ++j) row[j] = *reinterpret_cast<const Register*>(from + (at + j) * step + half) + add;
      turn(row);
UNROLL
      for (int j = 0; j < n; ++j)
        if (half + j < count) *reinterpret_cast<Anywhere*>(to + (half + j) * stride + at) = row[j];
    }
  }
}

// sums[pixel][row][lane] = (or, where not `fresh`, +=) the sum over k from 0 to depth - 1 of
// weights[k][row] * lines[offsets[k] + where the pixel's window starts][lane]
template <typename Dtype>
FAST void correlate(const Dtype* lines, const ptrdiff_t* offsets, int depth, const Dtype* weights, bool fresh,
                    int height, int width, ptrdiff_t down, ptrdiff_t right, Dtype* sums) {
  typedef typename Lanes<Dtype>::Register Register;
  Register* to = reinterpret_cast<Register*>(sums);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x, to += kParts * kRows) {
      const Dtype* window = lines + y * down + x * right;
      Register sum[kParts * kRows];
      UNROLL
      for (int i = 0; i < kParts * kRows; ++i) sum[i] = fresh ? Register{} : to[i];
      for (int k = 0; k < depth; ++k) {
        const Register* line = reinterpret_cast<const Register*>(window + offsets[k]);
        UNROLL
        for (int row = 0; row < kRows; ++row) {
          UNROLL
          for (int part = 0; part < kParts; ++part) sum[kParts * row + part] += line[part] * weights[k * kRows + row];
        }
      }
      UNROLL
      for (int i = 0; i < kParts * kRows; ++i) to[i] = sum[i];
    }
}

// sums[row][channel] += sum over pixels and lanes of lines[offsets[row] + where the pixel's window starts][lane]
// * gradient[pixel][lane][channel]
template <typename Dtype>
FAST void accumulate(const Dtype* lines, const ptrdiff_t* offsets, const Dtype* gradient,
                     int height, int width, ptrdiff_t down, ptrdiff_t right, Dtype* sums) {
  typedef typename Lanes<Dtype>::Register Register;
  const Register* from = reinterpret_cast<const Register*>(gradient);
  Register* to = reinterpret_cast<Register*>(sums);
  Register sum[kParts * kTaps] = {};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const Dtype* line[kTaps];
      for (int row = 0; row < kTaps; ++row) line[row] = lines + y * down + x * right + offsets[row];
      for (int lane = 0; lane < Lanes<Dtype>::count; ++lane, from += kParts)
        UNROLL
        for (int row = 0; row < kTaps; ++row) {
          UNROLL
          for (int part = 0; part < kParts; ++part) sum[kParts * row + part] += from[part] * line[row][lane];
        }
    }
  UNROLL
  for (int i = 0; i < kParts * kTaps; ++i) to[i] += sum[i];
}

// The sum of `count` numbers: of as many registers of 32 bytes at once for every processor, for the same bits.
template <typename Dtype>
FAST Dtype total(const Dtype* from, size_t count) {
  constexpr size_t n = 32 / sizeof(Dtype);
  typedef Dtype Number __attribute__((vector_size(32), aligned(sizeof(Dtype))));
  Number sum[4] = {};
  size_t i = 0;
  for (; i + 4 * n <= count; i += 4 * n)
    UNROLL
    for (int j = 0; j < 4; ++j) sum[j] += *reinterpret_cast<const Number*>(from + i + j * n);
  Dtype rest = 0;
  for (; i < count; ++i) rest += from[i];
  sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  for (size_t j = 0; j < n; ++j) rest += sum[0][j];
  return rest;
}

}  // namespace
}  // namespace caffe
