// Winograd's minimal filtering F(2x2, KxK) (Lavin and Gray 2015, arXiv 1509.09308): two by two outputs of a convolution
// from (K + 1)^2 products of each channel instead of 4 K^2, 2.25 times fewer for K = 3 and 2.8 times for K = 5.
#ifndef JIGSAW_CPU_WINOGRAD_HPP_
#define JIGSAW_CPU_WINOGRAD_HPP_

#include "cpu_lines.hpp"

namespace caffe {
namespace {

template <int R, int C>
struct Matrix {
  static constexpr int rows = R, columns = C;
  double at[R][C] = {};

  constexpr Matrix<C, R> transposed() const {
    Matrix<C, R> other;
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < C; ++j) other.at[j][i] = at[i][j];
    return other;
  }
};

// The matrices of the one-dimensional form, output * ((kernel * weights) . (input * data)), by Toom and Cook: both are
// seen as polynomials and multiplied at the points below and at infinity. With -1/2 instead of -2 the sums of a 5x5
// kernel are as exact as those of the direct form.
template <int K>
struct Winograd {
  static constexpr int size = K + 1;
  static constexpr double points[] = {0, 1, -1, 2, -0.5};

  static constexpr Matrix<2, size> make_output() {
    Matrix<2, size> m;
    for (int j = 0; j < K; ++j) m.at[0][j] = 1, m.at[1][j] = points[j];
    m.at[1][K] = 1;
    return m;
  }

  static constexpr Matrix<size, K> make_kernel() {
    Matrix<size, K> m;
    for (int i = 0; i < K; ++i) {
      double power = 1;
      for (int j = 0; j < K; ++j)
        if (j != i) power /= points[i] - points[j];
      for (int j = 0; j < K; ++j, power *= points[i]) m.at[i][j] = power;
    }
    m.at[K][K - 1] = 1;
    return m;
  }

  static constexpr Matrix<size, size> make_input() {
    Matrix<size, size> m;
    for (int i = 0; i < size; ++i) {  // the coefficients of the product of all (x - point) but the i-th
      m.at[i][0] = 1;
      for (int j = 0; j < K; ++j)
        for (int k = K; j != i && k >= 0; --k) m.at[i][k] = (k ? m.at[i][k - 1] : 0) - points[j] * m.at[i][k];
    }
    return m;
  }

  static constexpr auto output = make_output();
  static constexpr auto kernel = make_kernel();
  static constexpr auto input = make_input();
  static constexpr auto output_t = output.transposed();
  static constexpr auto kernel_t = kernel.transposed();
};

// to = matrix * from * matrix^T, a register for each number. down, right: from one row and column of `from` to the
// next; step: from one number of `to` to the next.
template <const auto& matrix, typename Register>
FAST inline void sandwich(const Register* from, ptrdiff_t down, ptrdiff_t right, Register* to, ptrdiff_t step) {
  constexpr int rows = matrix.rows, columns = matrix.columns;
  typedef decltype(from[0][0] + 0) Number;
  Register half[rows][columns];
#pragma GCC unroll 8
  for (int j = 0; j < columns; ++j)
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      Register sum = {};
#pragma GCC unroll 8
      for (int k = 0; k < columns; ++k)
        if (matrix.at[i][k] != 0) sum += from[k * down + j * right] * Number(matrix.at[i][k]);
      half[i][j] = sum;
    }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < rows; ++j) {
      Register sum = {};
#pragma GCC unroll 8
      for (int k = 0; k < columns; ++k)
        if (matrix.at[j][k] != 0) sum += half[i][k] * Number(matrix.at[j][k]);
      to[(i * rows + j) * step] = sum;
    }
}

}  // namespace
}  // namespace caffe

#endif  // JIGSAW_CPU_WINOGRAD_HPP_
