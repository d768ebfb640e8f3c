// fuzz_layers COUNT SEED: random geometries of pooling and convolution, forward and backward, on Caffe as it is shipped,
// against slow references. Every blob ends at a page that may not be touched, or begins after one: what reads or
// writes beyond it ends the process, whoever compiled that code. Prints how many geometries were tried, of each kind.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>

#include "caffe/caffe.hpp"

using caffe::Blob;
using caffe::Layer;
using caffe::LayerParameter;
using std::string;
using std::vector;

std::mt19937 engine;
int draw(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine); }

// Memory that lies directly before (or after) pages that may not be touched.
class Fenced {
 public:
  float* take(size_t count, bool at_end) {
    const size_t page = sysconf(_SC_PAGESIZE), bytes = count * sizeof(float);
    const size_t inside = (bytes + page - 1) / page * page;
    char* start = static_cast<char*>(mmap(nullptr, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(start != MAP_FAILED && !mprotect(start + page, inside, PROT_READ | PROT_WRITE));
    maps_.push_back({start, inside + 2 * page});
    return reinterpret_cast<float*>(start + page + (at_end ? inside - bytes : 0));
  }

  void fence(Blob<float>* blob, bool at_end) {
    if (!blob->count()) return;
    float *data = take(blob->count(), at_end), *diff = take(blob->count(), at_end);
    std::copy(blob->cpu_data(), blob->cpu_data() + blob->count(), data);
    blob->set_cpu_data(data);
    blob->diff()->set_cpu_data(diff);
  }

  ~Fenced() {
    for (auto& map : maps_) munmap(map.first, map.second);
  }

 private:
  vector<std::pair<char*, size_t>> maps_;
};

string geometry;  // of the case that runs, for messages

void compare(const string& what, const float* got, const vector<double>& want, double tolerance) {
  for (size_t i = 0; i < want.size(); ++i) {
    const bool same = std::isnan(want[i]) ? std::isnan(got[i])
                                          : got[i] == float(want[i]) || std::abs(got[i] - want[i]) <= tolerance;
    if (!same) {
      printf("%s, %s %zu: %g, not %g\n", geometry.c_str(), what.c_str(), i, got[i], want[i]);
      exit(1);
    }
  }
}

void fill(float* to, int count, bool special) {
  std::normal_distribution<float> normal;
  for (int i = 0; i < count; ++i) {
    to[i] = special ? draw(-3, 3) : normal(engine);
    if (special && !draw(0, 15)) to[i] = draw(0, 1) ? NAN : -std::numeric_limits<float>::infinity();
  }
}

struct Run {
  Blob<float> bottom, top, mask;
  vector<Blob<float>*> bottoms{&bottom}, tops{&top};
  boost::shared_ptr<Layer<float>> layer;
  Fenced fenced;

  // Sets the layer up for a bottom of this shape, with numbers in it.
  Run(const LayerParameter& parameter, const vector<int>& shape, bool special, bool two_tops) : bottom(shape) {
    if (two_tops) tops.push_back(&mask);
    layer = caffe::LayerRegistry<float>::CreateLayer(parameter);
    layer->SetUp(bottoms, tops);
    for (auto& blob : layer->blobs()) fill(blob->mutable_cpu_data(), blob->count(), false);
    fill(bottom.mutable_cpu_data(), bottom.count(), special);
    const bool at_end = draw(0, 1);
    fenced.fence(&bottom, at_end);
    for (auto& blob : layer->blobs()) fenced.fence(blob.get(), at_end);
    for (Blob<float>* blob : tops) fenced.fence(blob, at_end);
  }

  void passes() {
    layer->Forward(bottoms, tops);
    fill(top.mutable_cpu_diff(), top.count(), false);
    layer->Backward(tops, {true}, bottoms);
  }
};

bool pooling() {
  LayerParameter parameter;
  parameter.set_type("Pooling");
  auto& pool = *parameter.mutable_pooling_param();
  const bool max = draw(0, 2), global = !draw(0, 9), two_tops = max && !draw(0, 3);
  const int h = draw(1, 10), w = draw(1, 10), images = draw(1, 3), channels = draw(1, 3);
  int kernel[2] = {draw(1, 6), draw(1, 6)}, stride[2] = {draw(1, 7), draw(1, 7)}, pad[2] = {0, 0};
  const int size[2] = {h, w};
  if (draw(0, 1))
    for (int axis = 0; axis < 2; ++axis) pad[axis] = draw(0, kernel[axis] - 1);
  const bool ceil = draw(0, 1);
  if (global) {
    pool.set_global_pooling(true);
    kernel[0] = h, kernel[1] = w;
    for (int axis = 0; axis < 2; ++axis) stride[axis] = 1, pad[axis] = 0;
  } else {
    pool.set_kernel_h(kernel[0]), pool.set_kernel_w(kernel[1]), pool.set_stride_h(stride[0]), pool.set_stride_w(stride[1]);
    pool.set_pad_h(pad[0]), pool.set_pad_w(pad[1]);
  }
  pool.set_ceil_mode(ceil);
  pool.set_pool(max ? caffe::PoolingParameter_PoolMethod_MAX : caffe::PoolingParameter_PoolMethod_AVE);
  if (draw(0, 1)) pool.set_engine(caffe::PoolingParameter_Engine_CAFFE);
  int out[2];
  for (int axis = 0; axis < 2; ++axis) {
    const double steps = double(size[axis] + 2 * pad[axis] - kernel[axis]) / stride[axis];
    out[axis] = int(ceil ? std::ceil(steps) : std::floor(steps)) + 1;
    if ((pad[0] || pad[1]) && (out[axis] - 1) * stride[axis] >= size[axis] + pad[axis]) --out[axis];
    if (out[axis] < 1) return false;  // Caffe refuses it
  }
  geometry = parameter.ShortDebugString() + " on " + std::to_string(h) + " x " + std::to_string(w);
  Run run(parameter, {images, channels, h, w}, max, two_tops);
  CHECK(run.top.shape() == vector<int>({images, channels, out[0], out[1]})) << geometry;
  run.passes();
  vector<double> top, diff(run.bottom.count());
  for (int plane = 0; plane < images * channels; ++plane)
    for (int y = 0; y < out[0]; ++y)
      for (int x = 0; x < out[1]; ++x) {
        const float* from = run.bottom.cpu_data() + plane * h * w;
        const double gradient = run.top.cpu_diff()[top.size()];
        const int first = y * stride[0] - pad[0], left = x * stride[1] - pad[1];
        const int area = (std::min(first + kernel[0], h + pad[0]) - first) * (std::min(left + kernel[1], w + pad[1]) - left);
        double value = max ? -FLT_MAX : 0;
        int where = -1;
        for (int i = std::max(first, 0); i < std::min(first + kernel[0], h); ++i)
          for (int j = std::max(left, 0); j < std::min(left + kernel[1], w); ++j) {
            const float number = from[i * w + j];
            if (!max) {
              value += number / double(area);
              diff[plane * h * w + i * w + j] += gradient / area;
            } else if (number > value || std::isnan(number)) {
              value = number, where = i * w + j;
            }
          }
        if (where >= 0) diff[plane * h * w + where] += gradient;
        top.push_back(value);
      }
  compare("output", run.top.cpu_data(), top, max ? 0 : 1e-4);
  compare("gradient", run.bottom.cpu_diff(), diff, 1e-4);
  if (!global && !two_tops) {  // a smaller picture, and a backward pass before the next forward one: only safe
    Blob<float> small(vector<int>{1, channels, std::max(1, h / 2), std::max(1, w / 2)}), top_of_small;
    bool allowed = true;
    for (int axis = 0; axis < 2; ++axis)
      allowed &= small.shape(2 + axis) + 2 * pad[axis] >= kernel[axis];
    if (allowed) {
      vector<Blob<float>*> bottoms{&small}, tops{&top_of_small};
      run.layer->Reshape(bottoms, tops);
      small.cpu_data(), top_of_small.cpu_data();
      run.fenced.fence(&small, draw(0, 1)), run.fenced.fence(&top_of_small, draw(0, 1));
      run.layer->Backward(tops, {true}, bottoms);
    }
  }
  return true;
}

bool convolution() {
  LayerParameter parameter;
  parameter.set_type("Convolution");
  auto& conv = *parameter.mutable_convolution_param();
  const int group = draw(1, 3), images = draw(1, 20), channels = group * draw(1, 4), outputs = group * draw(1, 9);
  const int hole = draw(1, 2);
  int kernel[2], stride[2], pad[2], size[2], out[2];
  for (int axis = 0; axis < 2; ++axis) {
    kernel[axis] = draw(1, 5), stride[axis] = draw(1, 4), pad[axis] = draw(0, 3), size[axis] = draw(1, 9);
    out[axis] = (size[axis] + 2 * pad[axis] - hole * (kernel[axis] - 1) - 1) / stride[axis] + 1;
    if (out[axis] < 1) return false;
  }
  conv.set_num_output(outputs), conv.set_group(group), conv.add_dilation(hole);
  conv.set_kernel_h(kernel[0]), conv.set_kernel_w(kernel[1]), conv.set_stride_h(stride[0]), conv.set_stride_w(stride[1]);
  conv.set_pad_h(pad[0]), conv.set_pad_w(pad[1]);
  const int h = size[0], w = size[1], depth = channels / group, rows = outputs / group;
  geometry = parameter.ShortDebugString() + " on " + std::to_string(images) + " x " + std::to_string(channels) + " x " +
             std::to_string(h) + " x " + std::to_string(w);
  Run run(parameter, {images, channels, h, w}, false, false);
  CHECK(run.top.shape() == vector<int>({images, outputs, out[0], out[1]})) << geometry;
  run.passes();
  Blob<float>& weight = *run.layer->blobs()[0];
  const float* bias = run.layer->blobs()[1]->cpu_data();
  vector<double> top, diff(run.bottom.count()), of_weight(weight.count()), of_bias(outputs);
  for (int n = 0; n < images; ++n)
    for (int o = 0; o < outputs; ++o)
      for (int y = 0; y < out[0]; ++y)
        for (int x = 0; x < out[1]; ++x) {
          double sum = bias[o];
          const double gradient = run.top.cpu_diff()[top.size()];
          of_bias[o] += gradient;
          for (int c = 0; c < depth; ++c)
            for (int i = 0; i < kernel[0]; ++i)
              for (int j = 0; j < kernel[1]; ++j) {
                const int row = y * stride[0] - pad[0] + i * hole, column = x * stride[1] - pad[1] + j * hole;
                if (row < 0 || row >= h || column < 0 || column >= w) continue;
                const int from = ((n * channels + o / rows * depth + c) * h + row) * w + column;
                const int by = ((o * depth + c) * kernel[0] + i) * kernel[1] + j;
                sum += double(run.bottom.cpu_data()[from]) * weight.cpu_data()[by];
                diff[from] += gradient * weight.cpu_data()[by];
                of_weight[by] += gradient * run.bottom.cpu_data()[from];
              }
          top.push_back(sum);
        }
  compare("output", run.top.cpu_data(), top, 1e-3);
  compare("gradient", run.bottom.cpu_diff(), diff, 1e-3);
  compare("weights' gradient", weight.cpu_diff(), of_weight, 3e-3);
  compare("bias's gradient", run.layer->blobs()[1]->cpu_diff(), of_bias, 3e-3);
  return true;
}

int main(int, char** arguments) {
  FLAGS_minloglevel = 2;
  engine.seed(atoi(arguments[2]));
  int pools = 0, convolutions = 0;
  for (int i = 0; i < atoi(arguments[1]); ++i) pools += pooling(), convolutions += convolution();
  printf("%d poolings, %d convolutions\n", pools, convolutions);
}
