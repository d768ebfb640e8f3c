// Convolution on the CPU, 16 images at a time, in place of the release's, which works image by image.
//
// The release copies each image kernel-size times (im2col) and multiplies small matrices, whose weights BLAS rearranges
// again for every image. Here a pixel of 16 images lies together, one line of the cache, and a convolution is a product
// of weights and such lines, which are read where they are. All sums have a fixed order: a repetition gives the same
// bits, and so does an image at any place in the batch. One core does the work; processes train on several
// (helpers/parallel.py).
//
// The layer takes the place of "Convolution" in Caffe's registry where the processor has AVX2 and FMA, unless a layer
// asks for engine: CAFFE. The release's still does what is unusual: other than two axes, less than 8 images, a kernel
// larger than its padded input; and the gradient of the input where a stride is larger than 1.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/layers/conv_layer.hpp"

#define FAST __attribute__((target("avx2,fma")))

namespace caffe {
namespace {

const int kRows = 6;        // lines that are summed at once: with two registers each, 12 of the 16 there are
const int kDepth = 128;     // products summed before the next line is: what they need fits the smallest cache, L1
const int kSums = 1 << 18;  // bytes of sums that the same part of the input is used for: half of a usual L2
const int kSteps = 2048;    // lines of an output's gradient that are used for all weights before the next ones: L2, too
const int kFewest = 8;      // images; below, the release's layer is faster, which does not fill up lines with zeros

template <typename Dtype>
struct Lanes {
  static constexpr int count = 64 / sizeof(Dtype);          // numbers in a line of the cache
  typedef Dtype Register __attribute__((vector_size(32)));  // half a line
};

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Memory for intermediate results, shared by the layers of a type that run in a thread and freed with the last of them.
// helpers/memory.py counts it.
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
  } parts_[3];
};

// to[i * step + lane] = from[lane * stride + i]; lanes from `count` on are 0.
template <typename Dtype>
void interleave(const Dtype* from, int count, size_t stride, int length, Dtype* to, size_t step) {
  const int lanes = Lanes<Dtype>::count;
  for (int i = 0; i < length; ++i, to += step)
    for (int lane = 0; lane < lanes; ++lane) to[lane] = lane < count ? from[lane * stride + i] : Dtype(0);
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

template <typename Dtype>
class CpuConvolutionLayer : public ConvolutionLayer<Dtype> {
 public:
  explicit CpuConvolutionLayer(const LayerParameter& param) : ConvolutionLayer<Dtype>(param) {}

 protected:
  static constexpr int lanes = Lanes<Dtype>::count;

  // A group's channels, with a border of zeros, as lines of `lanes` images.
  struct Padded {
    int channels, height, width, border_h, border_w;

    ptrdiff_t row() const { return ptrdiff_t(width + 2 * border_w) * lanes; }
    // One line more than needed where the number is even, else a power of 2 would put all channels in the same few sets
    // of the cache.
    ptrdiff_t channel() const { return ((height + 2 * border_h) * (width + 2 * border_w) | 1) * ptrdiff_t(lanes); }

    Dtype* fill(Scratch<Dtype>& scratch, const Dtype* images, int count, size_t stride) const {
      Dtype* lines = scratch.room(0, channels * channel());
      std::fill(lines, lines + channels * channel(), Dtype(0));
      for (int c = 0; c < channels; ++c)
        for (int y = 0; y < height; ++y)
          interleave(images + (size_t(c) * height + y) * width, count, stride, width,
                     lines + c * channel() + (y + border_h) * row() + border_w * lanes, lanes);
      return lines;
    }
  };

  // Shapes, read from the release's members.
  int kernel(int axis) const { return this->kernel_shape_.cpu_data()[axis]; }
  int pad(int axis) const { return this->pad_.cpu_data()[axis]; }
  int stride(int axis) const { return this->stride_.cpu_data()[axis]; }
  int hole(int axis) const { return this->dilation_.cpu_data()[axis]; }

  bool usual() const {
    if (this->num_spatial_axes_ != 2 || this->num_ < kFewest || this->num_output_ / this->group_ < kRows) return false;
    // Caffe's size of the output, rounded towards 0, is 1 where the kernel is larger by less than the stride.
    for (int axis = 0; axis < 2; ++axis)
      if (this->output_shape_[axis] < 1 ||
          this->conv_input_shape_.cpu_data()[axis + 1] + 2 * pad(axis) < hole(axis) * (kernel(axis) - 1) + 1)
        return false;
    return true;
  }

  // Where the lines lie that one output needs: of each channel, each row and each column of the kernel.
  std::vector<ptrdiff_t> offsets(const Padded& image, bool mirrored) const {
    std::vector<ptrdiff_t> list;
    for (int c = 0; c < image.channels; ++c)
      for (int i = 0; i < kernel(0); ++i)
        for (int j = 0; j < kernel(1); ++j) {
          const int y = (mirrored ? kernel(0) - 1 - i : i) * hole(0), x = (mirrored ? kernel(1) - 1 - j : j) * hole(1);
          list.push_back(c * image.channel() + y * image.row() + x * lanes);
        }
    return list;
  }

  // All groups' `rows` channels of height x width pixels, for the whole batch: image by image times `weights`, in the
  // order [group][panel of kRows rows][channel, row and column of the kernel][row of the panel].
  void product(const Dtype* from, size_t from_stride, const Padded& image, bool mirrored, const Dtype* weights,
               const Dtype* bias, int rows, int height, int width, int step_h, int step_w, Dtype* to) const {
    const std::vector<ptrdiff_t> where = offsets(image, mirrored);
    const int depth = where.size();
    const size_t size = size_t(height) * width, panel = size * kRows * lanes;
    const int panels = (rows + kRows - 1) / kRows, together = std::max<int>(1, kSums / (panel * sizeof(Dtype)));
    Dtype* sums = scratch_->room(1, std::min(together, panels) * panel);
    for (size_t n = 0; n < size_t(this->num_); n += lanes)
      for (int g = 0; g < this->group_; ++g) {
        const int images = std::min<int>(lanes, this->num_ - n);
        const Dtype* lines = image.fill(*scratch_, from + n * from_stride + g * (from_stride / this->group_), images,
                                        from_stride);
        for (int first = 0; first < panels; first += together) {
          const int last = std::min(first + together, panels);
          for (int k = 0; k < depth; k += kDepth)
            for (int p = first; p < last; ++p)
              correlate(lines, &where[k], std::min(kDepth, depth - k),
                        weights + ((size_t(g) * panels + p) * depth + k) * kRows, k == 0, height, width,
                        step_h * image.row(), ptrdiff_t(step_w) * lanes, sums + (p - first) * panel);
          for (int row = first * kRows; row < std::min(last * kRows, rows); ++row) {
            const Dtype add = bias ? bias[g * rows + row] : Dtype(0);
            const Dtype* sum = sums + (row / kRows - first) * panel + row % kRows * lanes;
            for (int i = 0; i < images; ++i) {
              Dtype* out = to + (((n + i) * this->group_ + g) * rows + row) * size;
              for (size_t j = 0; j < size; ++j) out[j] = sum[j * kRows * lanes + i] + add;
            }
          }
        }
      }
  }

  // Weights in the order in which `product` reads them. of_row and of_depth: distances in the blob between rows, and
  // between the channels that are summed over. A kernel's weights lie together.
  Dtype* packed(int rows, size_t of_row, int depth, size_t of_depth) const {
    const int area = kernel(0) * kernel(1);
    const size_t group = this->blobs_[0]->count() / this->group_;
    Dtype* start = scratch_->room(2, size_t(this->group_) * round_up(rows, kRows) * depth * area);
    Dtype* to = start;
    for (int g = 0; g < this->group_; ++g) {
      const Dtype* from = this->blobs_[0]->cpu_data() + g * group;
      for (int first = 0; first < rows; first += kRows)
        for (int d = 0; d < depth; ++d)
          for (int t = 0; t < area; ++t)
            for (int row = first; row < first + kRows; ++row)
              *to++ = row < rows ? from[row * of_row + d * of_depth + t] : Dtype(0);
    }
    return start;
  }

  Padded input() const {
    const int* shape = this->conv_input_shape_.cpu_data();
    return {this->channels_ / this->group_, shape[1], shape[2], pad(0), pad(1)};
  }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (!usual()) return ConvolutionLayer<Dtype>::Forward_cpu(bottom, top);
    scratch_ = Scratch<Dtype>::of_this_thread();
    const Padded image = input();
    const int rows = this->num_output_ / this->group_, area = kernel(0) * kernel(1);
    const Dtype* weights = packed(rows, image.channels * area, image.channels, area);
    for (size_t i = 0; i < bottom.size(); ++i)
      product(bottom[i]->cpu_data(), this->bottom_dim_, image, false, weights,
              this->bias_term_ ? this->blobs_[1]->cpu_data() : nullptr, rows, this->output_shape_[0],
              this->output_shape_[1], stride(0), stride(1), top[i]->mutable_cpu_data());
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!usual()) return ConvolutionLayer<Dtype>::Backward_cpu(top, propagate_down, bottom);
    scratch_ = Scratch<Dtype>::of_this_thread();
    for (size_t i = 0; i < top.size(); ++i) {
      const Dtype* gradient = top[i]->cpu_diff();
      if (this->bias_term_ && this->param_propagate_down_[1])
        for (size_t n = 0; n < size_t(this->num_); ++n)
          this->backward_cpu_bias(this->blobs_[1]->mutable_cpu_diff(), gradient + n * this->top_dim_);
      if (this->param_propagate_down_[0]) to_weights(bottom[i]->cpu_data(), gradient);
      if (propagate_down[i]) to_bottom(gradient, bottom[i]->mutable_cpu_diff());
    }
  }

  // The gradient of the input: with steps of 1, a convolution of the output's gradient with the mirrored kernel.
  void to_bottom(const Dtype* gradient, Dtype* bottom) {
    const int rows = this->channels_ / this->group_, depth = this->num_output_ / this->group_;
    const int area = kernel(0) * kernel(1);
    const Padded image = {depth, this->output_shape_[0], this->output_shape_[1],
                          hole(0) * (kernel(0) - 1) - pad(0), hole(1) * (kernel(1) - 1) - pad(1)};
    if (stride(0) > 1 || stride(1) > 1 || image.border_h < 0 || image.border_w < 0) {
      for (size_t n = 0; n < size_t(this->num_); ++n)
        this->backward_cpu_gemm(gradient + n * this->top_dim_, this->blobs_[0]->cpu_data(),
                                bottom + n * this->bottom_dim_);
      return;
    }
    const Dtype* weights = packed(rows, area, depth, rows * area);
    const int* shape = this->conv_input_shape_.cpu_data();
    product(gradient, this->top_dim_, image, true, weights, nullptr, rows, shape[1], shape[2], 1, 1, bottom);
  }

  void to_weights(const Dtype* bottom, const Dtype* gradient) {
    const Padded image = input();
    const int channels = this->num_output_ / this->group_;
    const int height = this->output_shape_[0], width = this->output_shape_[1];
    const size_t size = size_t(height) * width;
    const int band = std::max(1, kSteps / (width * lanes));  // rows of the output at a time
    std::vector<ptrdiff_t> where = offsets(image, false);
    const int depth = where.size(), padded_depth = round_up(depth, kRows);
    where.resize(padded_depth, 0);  // what is summed there is left out below
    const size_t count = size_t(this->group_) * round_up(channels, lanes) * padded_depth;
    Dtype* sums = scratch_->room(2, count);  // [group][panel of channels][depth][channel]
    std::fill(sums, sums + count, Dtype(0));
    const ptrdiff_t down = stride(0) * image.row(), right = ptrdiff_t(stride(1)) * lanes;
    Dtype* part = scratch_->room(1, size_t(band) * width * lanes * lanes);
    for (size_t n = 0; n < size_t(this->num_); n += lanes) {
      const int images = std::min<int>(lanes, this->num_ - n);
      Dtype* sum = sums;
      for (int g = 0; g < this->group_; ++g) {
        const Dtype* from = bottom + n * this->bottom_dim_ + g * (this->bottom_dim_ / this->group_);
        const Dtype* lines = image.fill(*scratch_, from, images, this->bottom_dim_);
        for (int first = 0; first < channels; first += lanes, sum += size_t(padded_depth) * lanes)
          for (int y = 0; y < height; y += band) {
            const int rows = std::min(band, height - y);
            const Dtype* diff = gradient + n * this->top_dim_ + (g * channels + first) * size + y * width;
            for (int i = 0; i < lanes; ++i)  // the image that is missing in a lane has no channel
              interleave(diff + i * this->top_dim_, i < images ? std::min(lanes, channels - first) : 0, size,
                         rows * width, part + i * lanes, lanes * lanes);
            for (int k = 0; k < padded_depth; k += kRows)
              accumulate(lines + y * down, &where[k], part, rows, width, down, right, sum + k * lanes);
          }
      }
    }
    Dtype* diff = this->blobs_[0]->mutable_cpu_diff();
    const Dtype* sum = sums;
    for (int g = 0; g < this->group_; ++g)
      for (int first = 0; first < channels; first += lanes, sum += padded_depth * lanes)
        for (int c = first; c < std::min(first + lanes, channels); ++c)
          for (int k = 0; k < depth; ++k) diff[(size_t(g) * channels + c) * depth + k] += sum[k * lanes + c - first];
  }

  std::shared_ptr<Scratch<Dtype>> scratch_;
};

template <typename Dtype>
boost::shared_ptr<Layer<Dtype>> create(const LayerParameter& param) {
  const ConvolutionParameter& convolution = param.convolution_param();
  if (convolution.engine() == ConvolutionParameter_Engine_DEFAULT && !convolution.force_nd_im2col())
    return boost::shared_ptr<Layer<Dtype>>(new CpuConvolutionLayer<Dtype>(param));
  return boost::shared_ptr<Layer<Dtype>>(new ConvolutionLayer<Dtype>(param));
}

// Linked after the release's files, whose own registrations have therefore run before this line does.
const bool registered = [] {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  LayerRegistry<float>::Registry()["Convolution"] = create<float>;
  LayerRegistry<double>::Registry()["Convolution"] = create<double>;
  return true;
}();

}  // namespace
}  // namespace caffe
