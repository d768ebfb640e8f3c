// 16 images at a time (8 of doubles): what lies at one place of all of them is a line, one line of the cache.
#ifndef JIGSAW_CPU_LINES_HPP_
#define JIGSAW_CPU_LINES_HPP_

#include <immintrin.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "caffe/common.hpp"

#define FAST __attribute__((target("avx2,fma")))

namespace caffe {
namespace {

const int kRows = 6;  // lines that are summed at once: with two registers each, 12 of the 16 there are

template <typename Dtype>
struct Lanes {
  static constexpr int count = 64 / sizeof(Dtype);          // numbers in a line of the cache
  typedef Dtype Register __attribute__((vector_size(32)));  // half a line
  typedef Dtype Anywhere __attribute__((vector_size(32), aligned(sizeof(Dtype))));  // as many numbers, at any address
};

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Memory for intermediate results, shared by the layers of a type that run in a thread and freed with the last of them.
// helpers/training/memory.py counts it.
template <typename Dtype>
class Scratch {
 public:
  static std::shared_ptr<Scratch> of_this_thread() {
    static thread_local std::weak_ptr<Scratch> kept;
    std::shared_ptr<Scratch> scratch = kept.lock();
    if (!scratch) kept = scratch = std::make_shared<Scratch>();
    return scratch;
  }

  ~Scratch() {
    for (Part& part : parts_) free(part.start);
  }

  Dtype* room(int use, size_t count) {
    Part& part = parts_[use];
    const size_t bytes = (count * sizeof(Dtype) + 63) / 64 * 64;
    if (bytes > part.bytes) {
      free(part.start);
      part.start = std::aligned_alloc(64, bytes);
      CHECK(part.start) << "no memory for a convolution";
      part.bytes = bytes;
    }
    return static_cast<Dtype*>(part.start);
  }

 private:
  struct Part {
    void* start = nullptr;
    size_t bytes = 0;
  } parts_[5];
};

// A square of numbers, each row in a register, mirrored at its diagonal.
FAST inline void turn(Lanes<double>::Register* row) {
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < i; ++j) {
      const double kept = row[i][j];
      row[i][j] = row[j][i];
      row[j][i] = kept;
    }
}

FAST inline void turn(Lanes<float>::Register* row) {
  __m256 pair[8], four[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      four[i + 2 * j] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0x44);
      four[i + 2 * j + 1] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0xee);
    }
  for (int i = 0; i < 4; ++i) {
    row[i] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
    row[i + 4] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
  }
}

// Planes of `length` numbers of `count` images, `stride` apart, as lines: number i goes to line
// to + i / width * down + i % width * right. Lanes from `count` on are 0.
template <typename Dtype>
FAST void interleave(const Dtype* from, int count, size_t stride, int length, int width, Dtype* to, ptrdiff_t down,
                     ptrdiff_t right) {
  typedef typename Lanes<Dtype>::Register Register;
  typedef typename Lanes<Dtype>::Anywhere Anywhere;
  constexpr int lanes = Lanes<Dtype>::count, n = lanes / 2;
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
#pragma GCC unroll 8
      for (int j = 0; j < n; ++j)
        row[j] = half + j < count ? *reinterpret_cast<const Anywhere*>(from + (half + j) * stride + at) : Anywhere{};
      turn(row);
      int y = at / width, x = at % width;
#pragma GCC unroll 8
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
  constexpr int lanes = Lanes<Dtype>::count, n = lanes / 2;
  if (length < n) {
    for (int i = 0; i < length; ++i)
      for (int lane = 0; lane < count; ++lane) to[lane * stride + i] = from[i * step + lane] + add;
    return;
  }
  for (int i = 0; i < length; i += n) {
    const int at = std::min(i, length - n);
    for (int half = 0; half < lanes; half += n) {
      Register row[n];
#pragma GCC unroll 8
      for (int j = 0; j < n; ++j) row[j] = *reinterpret_cast<const Register*>(from + (at + j) * step + half) + add;
      turn(row);
#pragma GCC unroll 8
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
    for (int x = 0; x < width; ++x, to += 2 * kRows) {
      const Dtype* window = lines + y * down + x * right;
      Register sum[2 * kRows];
      for (int i = 0; i < 2 * kRows; ++i) sum[i] = fresh ? Register{} : to[i];
      for (int k = 0; k < depth; ++k) {
        const Register* line = reinterpret_cast<const Register*>(window + offsets[k]);
        for (int row = 0; row < kRows; ++row) {
          sum[2 * row] += line[0] * weights[k * kRows + row];
          sum[2 * row + 1] += line[1] * weights[k * kRows + row];
        }
      }
      for (int i = 0; i < 2 * kRows; ++i) to[i] = sum[i];
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
  Register sum[2 * kRows] = {};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const Dtype* line[kRows];
      for (int row = 0; row < kRows; ++row) line[row] = lines + y * down + x * right + offsets[row];
      for (int lane = 0; lane < Lanes<Dtype>::count; ++lane, from += 2)
        for (int row = 0; row < kRows; ++row) {
          sum[2 * row] += from[0] * line[row][lane];
          sum[2 * row + 1] += from[1] * line[row][lane];
        }
    }
  for (int i = 0; i < 2 * kRows; ++i) to[i] += sum[i];
}

}  // namespace
}  // namespace caffe

#endif  // JIGSAW_CPU_LINES_HPP_
