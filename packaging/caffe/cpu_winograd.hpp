// Winograd's minimal filtering F(2x2, KxK) (Lavin and Gray 2015, arXiv 1509.09308): two by two outputs of a convolution
// from (K + 1)^2 products of each channel instead of 4 K^2, 2.25 times fewer for K = 3 and 2.8 times for K = 5.
#pragma once

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

// Where polynomials are evaluated. With -1/2 instead of -2 the sums of a 5x5 kernel are as exact as those of the direct
// form.
constexpr double points[] = {0, 1, -1, 2, -0.5};

// The matrices of the one-dimensional form, output * ((kernel * weights) . (input * data)), by Toom and Cook: both are
// seen as polynomials and multiplied at `points` and at infinity.
template <int K>
struct Winograd {
  static constexpr int size = K + 1;

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

// to = matrix * from, of whose columns there are `count`, a register for each number. Steps from one row and from one
// column to the next: down and right of `from`, below and beside of `to`.
template <const auto& matrix, int count, typename Register>
FAST inline void multiply(const Register* from, ptrdiff_t down, ptrdiff_t right, Register* to, ptrdiff_t below,
                          ptrdiff_t beside) {
  typedef decltype(from[0][0] + 0) Number;
UNROLL
  for (int j = 0; j < count; ++j)
UNROLL
    for (int i = 0; i < matrix.rows; ++i) {
      Register sum = {};
UNROLL
      for (int k = 0; k < matrix.columns; ++k)
        if (matrix.at[i][k] != 0) sum += from[k * down + j * right] * Number(matrix.at[i][k]);
      to[i * below + j * beside] = sum;
    }
}

// to = matrix * from * matrix^T. step: from one number of `to` to the next.
template <const auto& matrix, typename Register>
FAST inline void sandwich(const Register* from, ptrdiff_t down, ptrdiff_t right, Register* to, ptrdiff_t step) {
  Register half[matrix.rows * matrix.columns];
  multiply<matrix, matrix.columns>(from, down, right, half, matrix.columns, 1);
  multiply<matrix, matrix.rows>(half, 1, matrix.columns, to, step, matrix.rows * step);  // both transposed
}

}  // namespace
}  // namespace caffe
