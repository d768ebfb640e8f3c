// Convolution on the CPU, several images at a time, in place of the release's, which works image by image.
//
// The release copies each image kernel-size times (im2col) and multiplies small matrices, whose weights BLAS rearranges
// again for every image. Here a pixel of 16 images lies together (cpu_lines.hpp), and a convolution is a product of
// weights and such lines, which are read where they are; for kernels of 3x3 and 5x5 moved by 1, in Winograd's form. All
// sums have a fixed order: a repetition gives the same bits, and so do any number of threads and an image at any place in
// the batch. Forward, and for the gradient of the input, a thread takes a group of 16 images; for the gradient of the
// weights it takes 16 output channels, over all images in their order.
//
// The layer takes the place of "Convolution" in Caffe's registry, unless a layer asks for engine: CAFFE. The release's
// still does what is unusual: other than two axes, less than 8 images, a kernel larger than its padded input; and the
// gradient of the input where a stride is larger than 1.
#include <vector>

#include "caffe/layers/conv_layer.hpp"
#include "cpu_lines.hpp"
#include "cpu_places.hpp"
#include "cpu_winograd.hpp"

namespace caffe {
namespace {

const int kDepth = 128;      // products summed before the next line is: what they need fits the smallest cache, L1
const int kSums = 1 << 18;   // bytes of sums that the same part of the input is used for: half of a usual L2
const int kSteps = 2048;     // lines of an output's gradient that are used for all weights before the next ones: L2, too
const int kTiles = 2500000;  // bytes of transformed tiles at a time, in Winograd's form; a row of them may be more
const int kWorth = 256;      // weights of a group at one place of the kernel; with fewer the direct form is faster
const int kOutputs = 6;      // of a group; with fewer the release's layer is faster
const int kFewest = 8;       // images; below, the release's layer is faster, which does not fill up lines with zeros

template <typename Dtype>
class CpuConvolutionLayer : public ConvolutionLayer<Dtype> {
 public:
  using ConvolutionLayer<Dtype>::ConvolutionLayer;

  static bool takes(const LayerParameter& layer) {
    const ConvolutionParameter& convolution = layer.convolution_param();
    return convolution.engine() == ConvolutionParameter_Engine_DEFAULT && !convolution.force_nd_im2col();
  }

 protected:
  static constexpr int lanes = Lanes<Dtype>::count;
  typedef typename Lanes<Dtype>::Register Register;

  // A group's channels, with a border of zeros and, for tiles that reach over the edge, more of them at the far ends.
  struct Padded {
    int channels, height, width, border_h, border_w, more_h = 0, more_w = 0;

    ptrdiff_t row() const { return ptrdiff_t(width + 2 * border_w + more_w) * lanes; }
    // One line more than needed where the number is even, else a power of 2 would put all channels in the same few sets
    // of the cache.
    ptrdiff_t channel() const { return odd((height + 2 * border_h + more_h) * (row() / lanes)); }

    ptrdiff_t size() const { return channels * channel(); }

    // The channels from `first` to before `last` of `count` images, `stride` apart.
    FAST void fill(const Dtype* images, int count, size_t stride, int first, int last, Dtype* lines) const {
      std::fill(lines + first * channel(), lines + last * channel(), Dtype(0));
      for (int c = first; c < last; ++c)
        interleave(images + size_t(c) * height * width, count, stride, height * width, width,
                   lines + c * channel() + border_h * row() + border_w * lanes, row(), lanes);
    }

    Dtype* fill(Scratch<Dtype>& scratch, const Dtype* images, int count, size_t stride) const {
      Dtype* lines = scratch.room(0, size());
      fill(images, count, stride, 0, channels, lines);
      return lines;
    }
  };

  static ptrdiff_t odd(ptrdiff_t count) { return (count | 1) * lanes; }

  // Shapes, read from the release's members.
  int kernel(int axis) const { return this->kernel_shape_.cpu_data()[axis]; }
  int pad(int axis) const { return this->pad_.cpu_data()[axis]; }
  int stride(int axis) const { return this->stride_.cpu_data()[axis]; }
  int hole(int axis) const { return this->dilation_.cpu_data()[axis]; }

  bool usual() const {
    if (this->num_spatial_axes_ != 2 || this->num_ < kFewest || this->num_output_ / this->group_ < kOutputs) return false;
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

  // What a convolution multiplies with: `rows` outputs of each group. of_row, of_depth: distances in the blob of weights
  // between outputs, and between the channels that are summed over. mirrored: each kernel is turned by 180 degrees.
  struct Kernels {
    int rows;
    size_t of_row, of_depth;
    bool mirrored;
  };

  // The batch in blocks of `lanes` images, each for every group: what a thread takes at a time.
  struct Part {
    int group, images;
    size_t first;
  };
  int parts() const { return round_up(this->num_, lanes) / lanes * this->group_; }
  Part part(int unit) const {
    const int first = unit / this->group_ * lanes;
    return {unit % this->group_, std::min(lanes, this->num_ - first), size_t(first)};
  }
  Scratch<Dtype>& scratch(int worker) const { return workshop_->of(worker); }

  // `to` = all groups' channels of height x width pixels, for the whole batch, from `from`, whose images are from_stride
  // apart. A kernel is moved by step_h and step_w. bias: none where it is null.
  void convolve(const Dtype* from, size_t from_stride, const Padded& image, const Kernels& kernels, const Dtype* bias,
                int height, int width, int step_h, int step_w, Dtype* to) const {
    if (!by_tiles())
      direct(from, from_stride, image, kernels, bias, height, width, step_h, step_w, to);
    else if (kernel(0) == 3)
      winograd<3>(from, from_stride, image, kernels, bias, height, width, to);
    else
      winograd<5>(from, from_stride, image, kernels, bias, height, width, to);
  }

  void direct(const Dtype* from, size_t from_stride, const Padded& image, const Kernels& kernels, const Dtype* bias,
              int height, int width, int step_h, int step_w, Dtype* to) const {
    const std::vector<ptrdiff_t> where = offsets(image, kernels.mirrored);
    const int rows = kernels.rows, depth = where.size();
    const Dtype* weights = packed(kernels, image.channels);
    const size_t size = size_t(height) * width, panel = size * kRows * lanes;
    const int panels = (rows + kRows - 1) / kRows, together = std::max<int>(1, kSums / (panel * sizeof(Dtype)));
    share(parts(), [&](int worker, int unit) FAST {
      const auto [g, images, n] = part(unit);
      Dtype* sums = scratch(worker).room(1, std::min(together, panels) * panel);
      const Dtype* lines = image.fill(scratch(worker), from + n * from_stride + g * (from_stride / this->group_), images,
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
          separate(sum, kRows * lanes, size, add, to + ((n * this->group_ + g) * rows + row) * size, images,
                   this->group_ * rows * size);
        }
      }
    });
  }

  // Weights in the order in which `direct` reads them: [group][panel of kRows rows][channel, row and column of the
  // kernel][row of the panel].
  Dtype* packed(const Kernels& kernels, int depth) const {
    const int rows = kernels.rows, area = kernel(0) * kernel(1);
    const size_t group = this->blobs_[0]->count() / this->group_;
    Dtype* start = scratch(0).room(2, size_t(this->group_) * round_up(rows, kRows) * depth * area);
    Dtype* to = start;
    for (int g = 0; g < this->group_; ++g) {
      const Dtype* from = this->blobs_[0]->cpu_data() + g * group;
      for (int first = 0; first < rows; first += kRows)
        for (int d = 0; d < depth; ++d)
          for (int t = 0; t < area; ++t)
            for (int row = first; row < first + kRows; ++row)
              *to++ = row < rows ? from[row * kernels.of_row + d * kernels.of_depth + t] : Dtype(0);
    }
    return start;
  }

  // --- Winograd's form: each tile of 2x2 outputs -------------------------------------------------------------------
  bool by_tiles() const {
    for (int axis = 0; axis < 2; ++axis)
      if (kernel(axis) != kernel(0) || stride(axis) != 1 || hole(axis) != 1) return false;
    return (kernel(0) == 3 || kernel(0) == 5) &&
           this->blobs_[0]->count() / (this->group_ * kernel(0) * kernel(0)) >= kWorth;
  }

  // A map of height x width as tiles, of which `band` rows are in work at a time.
  template <int K>
  struct Tiles {
    static constexpr int size = Winograd<K>::size, positions = size * size;
    int height, width, down, across, band;

    Tiles(int height, int width, int lines_of_a_tile)
        : height(height), width(width), down((height + 1) / 2), across((width + 1) / 2) {
      band = std::min<int>(down, std::max<size_t>(1, kTiles / (size_t(64) * positions * across * lines_of_a_tile)));
    }

    Padded whole(Padded image) const {
      image.more_h = height % 2, image.more_w = width % 2;
      return image;
    }

    int pixels(int first, int last) const { return (std::min(2 * last, height) - 2 * first) * width; }

    // to[position][tile][channel] of the tiles' rows from `first` to before `last`, of the channels from `one` to before
    // `end`. step: from position to position.
    FAST void transform(const Dtype* lines, const Padded& image, int first, int last, int one, int end, Dtype* to,
                        ptrdiff_t step) const {
      for (int y = first; y < last; ++y)
        for (int x = 0; x < across; ++x) {
          Register* out = reinterpret_cast<Register*>(to) + kParts * (((y - first) * across + x) * image.channels + one);
          for (int c = one; c < end; ++c)
            for (int part = 0; part < kParts; ++part) {
              const Dtype* from = lines + c * image.channel() + 2 * y * image.row() + 2 * x * lanes;
              sandwich<Winograd<K>::input>(reinterpret_cast<const Register*>(from) + part,
                                           kParts * image.row() / lanes, kParts, out++, kParts * step / lanes);
            }
        }
    }
  };

  // Where the lines of a tile's channels lie.
  static std::vector<ptrdiff_t> in_a_row(int count, int padded) {
    std::vector<ptrdiff_t> list(padded);
    for (int c = 0; c < count; ++c) list[c] = ptrdiff_t(c) * lanes;
    return list;
  }

  // Transformed weights, [group][position][panel of kRows rows][channel][row of the panel].
  template <int K>
  FAST Dtype* transformed(const Kernels& kernels, int depth) const {
    constexpr int positions = Tiles<K>::positions, area = K * K;
    const int rows = kernels.rows, padded = round_up(rows, kRows);
    const size_t group = this->blobs_[0]->count() / this->group_, step = size_t(padded) * depth;
    Dtype* start = scratch(0).room(2, this->group_ * positions * step);
    const Dtype* weights = this->blobs_[0]->cpu_data();
    const int panels = round_up(padded, lanes) / lanes;
    share(this->group_ * panels, [&](int worker, int unit) FAST {
      const int g = unit / panels, first = unit % panels * lanes;
      Dtype* taps = scratch(worker).room(4, (area + positions) * lanes);
      Dtype* products = taps + area * lanes;
      for (int d = 0; d < depth; ++d) {
        interleave(weights + g * group + first * kernels.of_row + d * kernels.of_depth,
                   std::max(0, std::min(lanes, rows - first)), kernels.of_row, area, area,
                   kernels.mirrored ? taps + (area - 1) * lanes : taps, 0, kernels.mirrored ? -lanes : lanes);
        for (int part = 0; part < kParts; ++part)
          sandwich<Winograd<K>::kernel>(reinterpret_cast<Register*>(taps) + part, kParts * K, kParts,
                                        reinterpret_cast<Register*>(products) + part, kParts);
        for (int row = first; row < std::min(first + lanes, padded); ++row) {
          Dtype* to = start + g * positions * step + (size_t(row / kRows) * depth + d) * kRows + row % kRows;
          for (int p = 0; p < positions; ++p) to[p * step] = products[p * lanes + row - first];
        }
      }
    });
    return start;
  }

  template <int K>
  FAST void winograd(const Dtype* from, size_t from_stride, const Padded& given, const Kernels& kernels,
                     const Dtype* bias, int height, int width, Dtype* to) const {
    const int rows = kernels.rows, depth = given.channels, padded = round_up(rows, kRows), panels = padded / kRows;
    const Tiles<K> tiles(height, width, std::max(depth, padded));
    const Padded image = tiles.whole(given);
    const Dtype* weights = transformed<K>(kernels, depth);
    const std::vector<ptrdiff_t> where = in_a_row(depth, depth);
    const ptrdiff_t step = odd(ptrdiff_t(tiles.band) * tiles.across * depth);
    const ptrdiff_t out_step = odd(ptrdiff_t(tiles.band) * tiles.across * padded);
    share(parts(), [&](int worker, int unit) FAST {
      const auto [g, images, n] = part(unit);
      Dtype* inputs = scratch(worker).room(3, tiles.positions * step);
      Dtype* sums = scratch(worker).room(1, tiles.positions * out_step);  // [position][tile][row][lane]
      Dtype* plane = scratch(worker).room(4, size_t(2) * tiles.band * width * lanes);
      const Dtype* lines = image.fill(scratch(worker), from + n * from_stride + g * (from_stride / this->group_), images,
                                      from_stride);
      for (int first = 0; first < tiles.down; first += tiles.band) {
        const int last = std::min(first + tiles.band, tiles.down), count = (last - first) * tiles.across;
        tiles.transform(lines, image, first, last, 0, depth, inputs, step);
        for (int p = 0; p < tiles.positions; ++p)
          for (int tile = 0; tile < count; ++tile)
            for (int k = 0; k < depth; k += 2 * kDepth)
              for (int panel = 0; panel < panels; ++panel)
                correlate(inputs + p * step + ptrdiff_t(tile) * depth * lanes, &where[k],
                          std::min(2 * kDepth, depth - k),
                          weights + (((size_t(g) * tiles.positions + p) * panels + panel) * depth + k) * kRows,
                          k == 0, 1, 1, 0, 0,
                          sums + p * out_step + (ptrdiff_t(tile) * padded + panel * kRows) * lanes);
        for (int row = 0; row < rows; ++row) {
          for (int tile = 0; tile < count; ++tile)
            for (int part = 0; part < kParts; ++part) {
              Register out[4];
              const Dtype* sum = sums + (ptrdiff_t(tile) * padded + row) * lanes;
              sandwich<Winograd<K>::output>(reinterpret_cast<const Register*>(sum) + part,
                                            kParts * tiles.size * out_step / lanes, kParts * out_step / lanes, out, 1);
              for (int i = 0; i < 4; ++i) {
                const int y = tile / tiles.across * 2 + i / 2, x = tile % tiles.across * 2 + i % 2;
                if (x < width) reinterpret_cast<Register*>(plane)[kParts * (y * width + x) + part] = out[i];
              }
            }
          separate(plane, lanes, tiles.pixels(first, last), bias ? bias[g * rows + row] : Dtype(0),
                   to + (((n * this->group_ + g) * rows + row) * height + 2 * first) * width, images,
                   size_t(this->group_) * rows * height * width);
        }
      }
    });
  }

  template <int K>
  FAST void winograd_to_weights(const Dtype* bottom, const Dtype* gradient) {
    const int channels = this->num_output_ / this->group_, panels = round_up(channels, lanes) / lanes;
    const int height = this->output_shape_[0], width = this->output_shape_[1];
    const Tiles<K> tiles(height, width, this->channels_ / this->group_);
    const Padded image = tiles.whole(input());
    const int depth = image.channels, padded_depth = round_up(depth, kTaps);
    const std::vector<ptrdiff_t> where = in_a_row(depth, padded_depth);  // what is summed beyond is left out below
    const ptrdiff_t step = odd(ptrdiff_t(tiles.band) * tiles.across * depth);
    const ptrdiff_t out_step = odd(ptrdiff_t(tiles.band) * tiles.across * lanes);
    const size_t panel_step = size_t(padded_depth) * lanes, count = this->group_ * tiles.positions * panels * panel_step;
    Dtype* sums = scratch(0).room(2, count);  // [group][position][panel of channels][depth][channel]
    Dtype* lines = scratch(0).room(0, this->group_ * image.size());
    Dtype* inputs = scratch(0).room(3, this->group_ * tiles.positions * step);
    const size_t part_size = size_t(4) * tiles.band * tiles.across * lanes * lanes;
    const int some = round_up(depth, lanes) / lanes;  // parts of the input's channels
    for (size_t n = 0; n < size_t(this->num_); n += lanes)
      for (int first = 0; first < tiles.down; first += tiles.band) {
        const int images = std::min<int>(lanes, this->num_ - n), last = std::min(first + tiles.band, tiles.down);
        share(this->group_ * some, [&](int, int unit) FAST {
          const int g = unit / some, one = unit % some * lanes, end = std::min(one + lanes, depth);
          Dtype* own = lines + g * image.size();
          if (first == 0)
            image.fill(bottom + n * this->bottom_dim_ + g * (this->bottom_dim_ / this->group_), images,
                       this->bottom_dim_, one, end, own);
          tiles.transform(own, image, first, last, one, end, inputs + g * tiles.positions * step, step);
        });
        share(this->group_ * panels, [&](int worker, int unit) FAST {
          const int g = unit / panels, panel = unit % panels, tiled = (last - first) * tiles.across;
          Dtype* outputs = scratch(worker).room(1, tiles.positions * out_step);  // [position][tile][lane][channel]
          Dtype* part = scratch(worker).room(4, part_size);
          if (height % 2 || width % 2) std::fill(part, part + part_size, Dtype(0));  // beyond the map's edge
          const Dtype* diff =
              gradient + n * this->top_dim_ + ((g * channels + panel * lanes) * height + 2 * first) * width;
          for (int i = 0; i < lanes; ++i)  // the image that is missing in a lane has no channel
            interleave(diff + i * this->top_dim_, i < images ? std::min(lanes, channels - panel * lanes) : 0,
                       size_t(height) * width, tiles.pixels(first, last), width, part + i * lanes,
                       2 * tiles.across * lanes * lanes, lanes * lanes);
          for (int tile = 0; tile < tiled; ++tile)
            for (int i = 0; i < kParts * lanes; ++i) {
              const int pixel = tile / tiles.across * 4 * tiles.across + tile % tiles.across * 2;
              sandwich<Winograd<K>::output_t>(
                  reinterpret_cast<const Register*>(part + pixel * lanes * lanes) + i,
                  kParts * 2 * tiles.across * lanes, kParts * lanes,
                  reinterpret_cast<Register*>(outputs + ptrdiff_t(tile) * lanes * lanes) + i, kParts * out_step / lanes);
            }
          for (int p = 0; p < tiles.positions; ++p) {
            Dtype* sum = sums + ((size_t(g) * tiles.positions + p) * panels + panel) * panel_step;
            if (n == 0 && first == 0) std::fill(sum, sum + panel_step, Dtype(0));
            for (int k = 0; k < padded_depth; k += kTaps)
              accumulate(inputs + (g * tiles.positions + p) * step, &where[k], outputs + p * out_step, 1, tiled, 0,
                         ptrdiff_t(depth) * lanes, sum + k * lanes);
          }
        });
      }
    Dtype* diff = this->blobs_[0]->mutable_cpu_diff();
    const ptrdiff_t right = ptrdiff_t(kParts) * panels * padded_depth;  // from position to position
    share(this->group_ * panels, [&](int worker, int unit) FAST {
      const int g = unit / panels, c = unit % panels * lanes;
      Dtype* part = scratch(worker).room(4, part_size);
      for (int k = 0; k < depth; ++k) {
        const Dtype* sum = sums + (size_t(g) * tiles.positions * panels + c / lanes) * panel_step + k * lanes;
        for (int i = 0; i < kParts; ++i)
          sandwich<Winograd<K>::kernel_t>(reinterpret_cast<const Register*>(sum) + i, tiles.size * right, right,
                                          reinterpret_cast<Register*>(part) + i, kParts);
        for (int i = c; i < std::min(c + lanes, channels); ++i)
          for (int t = 0; t < K * K; ++t)
            diff[((size_t(g) * channels + i) * depth + k) * K * K + t] += part[t * lanes + i - c];
      }
    });
  }

  Padded input() const {
    const int* shape = this->conv_input_shape_.cpu_data();
    return {this->channels_ / this->group_, shape[1], shape[2], pad(0), pad(1)};
  }

  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (!usual()) return ConvolutionLayer<Dtype>::Forward_cpu(bottom, top);
    workshop_ = Workshop<Dtype>::of_this_thread();
    const Padded image = input();
    const size_t area = kernel(0) * kernel(1);
    const Kernels kernels = {this->num_output_ / this->group_, image.channels * area, area, false};
    for (size_t i = 0; i < bottom.size(); ++i)
      convolve(bottom[i]->cpu_data(), this->bottom_dim_, image, kernels,
               this->bias_term_ ? this->blobs_[1]->cpu_data() : nullptr, this->output_shape_[0],
               this->output_shape_[1], stride(0), stride(1), top[i]->mutable_cpu_data());
  }

  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    if (!usual()) return ConvolutionLayer<Dtype>::Backward_cpu(top, propagate_down, bottom);
    workshop_ = Workshop<Dtype>::of_this_thread();
    for (size_t i = 0; i < top.size(); ++i) {
      const Dtype* gradient = top[i]->cpu_diff();
      if (this->bias_term_ && this->param_propagate_down_[1])
        to_bias(gradient);
      if (this->param_propagate_down_[0]) to_weights(bottom[i]->cpu_data(), gradient);
      if (propagate_down[i]) to_bottom(gradient, bottom[i]->mutable_cpu_diff());
    }
  }

  // The gradient of the input: with steps of 1, a convolution of the output's gradient with the mirrored kernel.
  void to_bottom(const Dtype* gradient, Dtype* bottom) {
    const int rows = this->channels_ / this->group_, depth = this->num_output_ / this->group_;
    const size_t area = kernel(0) * kernel(1);
    const Padded image = {depth, this->output_shape_[0], this->output_shape_[1],
                          hole(0) * (kernel(0) - 1) - pad(0), hole(1) * (kernel(1) - 1) - pad(1)};
    if (stride(0) > 1 || stride(1) > 1 || image.border_h < 0 || image.border_w < 0) {
      for (size_t n = 0; n < size_t(this->num_); ++n)
        this->backward_cpu_gemm(gradient + n * this->top_dim_, this->blobs_[0]->cpu_data(),
                                bottom + n * this->bottom_dim_);
      return;
    }
    const int* shape = this->conv_input_shape_.cpu_data();
    convolve(gradient, this->top_dim_, image, {rows, area, rows * area, true}, nullptr, shape[1], shape[2], 1, 1,
             bottom);
  }

  void to_weights(const Dtype* bottom, const Dtype* gradient) {
    if (by_tiles()) return kernel(0) == 3 ? winograd_to_weights<3>(bottom, gradient)
                                          : winograd_to_weights<5>(bottom, gradient);
    const Padded image = input();
    const int channels = this->num_output_ / this->group_, panels = round_up(channels, lanes) / lanes;
    const int height = this->output_shape_[0], width = this->output_shape_[1];
    const size_t size = size_t(height) * width;
    const int band = std::max(1, kSteps / (width * lanes));  // rows of the output at a time
    std::vector<ptrdiff_t> where = offsets(image, false);
    const int depth = where.size(), padded_depth = round_up(depth, kTaps);
    where.resize(padded_depth, 0);  // what is summed there is left out below
    const size_t panel_step = size_t(padded_depth) * lanes;
    Dtype* sums = scratch(0).room(2, this->group_ * panels * panel_step);  // [group][panel of channels][depth][channel]
    Dtype* lines = scratch(0).room(0, this->group_ * image.size());
    const ptrdiff_t down = stride(0) * image.row(), right = ptrdiff_t(stride(1)) * lanes;
    for (size_t n = 0; n < size_t(this->num_); n += lanes) {
      const int images = std::min<int>(lanes, this->num_ - n);
      share(this->channels_, [&](int, int unit) FAST {
        const int g = unit / image.channels, c = unit % image.channels;
        image.fill(bottom + n * this->bottom_dim_ + g * (this->bottom_dim_ / this->group_), images, this->bottom_dim_, c,
                   c + 1, lines + g * image.size());
      });
      share(this->group_ * panels, [&](int worker, int unit) FAST {
        const int g = unit / panels, first = unit % panels * lanes;
        Dtype *sum = sums + unit * panel_step, *part = scratch(worker).room(1, size_t(band) * width * lanes * lanes);
        if (n == 0) std::fill(sum, sum + panel_step, Dtype(0));
        for (int y = 0; y < height; y += band) {
          const int rows = std::min(band, height - y);
          const Dtype* diff = gradient + n * this->top_dim_ + (g * channels + first) * size + y * width;
          for (int i = 0; i < lanes; ++i)  // the image that is missing in a lane has no channel
            interleave(diff + i * this->top_dim_, i < images ? std::min(lanes, channels - first) : 0, size,
                       rows * width, rows * width, part + i * lanes, 0, lanes * lanes);
          for (int k = 0; k < padded_depth; k += kTaps)
            accumulate(lines + g * image.size() + y * down, &where[k], part, rows, width, down, right, sum + k * lanes);
        }
      });
    }
    Dtype* diff = this->blobs_[0]->mutable_cpu_diff();
    const Dtype* sum = sums;
    for (int g = 0; g < this->group_; ++g)
      for (int first = 0; first < channels; first += lanes, sum += panel_step)
        for (int c = first; c < std::min(first + lanes, channels); ++c)
          for (int k = 0; k < depth; ++k) diff[(size_t(g) * channels + c) * depth + k] += sum[k * lanes + c - first];
  }

  // The gradient of the bias: of each channel the sum over its pixels, image by image.
  void to_bias(const Dtype* gradient) {
    Dtype* diff = this->blobs_[1]->mutable_cpu_diff();
    const size_t area = size_t(this->output_shape_[0]) * this->output_shape_[1];
    share(round_up(this->num_output_, lanes) / lanes, [&](int, int unit) FAST {
      for (int c = unit * lanes; c < std::min(unit * lanes + lanes, this->num_output_); ++c)
        for (size_t n = 0; n < size_t(this->num_); ++n) diff[c] += total(gradient + n * this->top_dim_ + c * area, area);
    });
  }

  std::shared_ptr<Workshop<Dtype>> workshop_;
};

const bool registered = [] {
#ifdef __x86_64__
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (WIDTH != (avx512 ? 64 : avx2 ? 32 : 16)) return false;
#endif
  return take_the_place_of<CpuConvolutionLayer, ConvolutionLayer>("Convolution");
}();

}  // namespace
}  // namespace caffe
