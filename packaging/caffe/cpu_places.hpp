// How a layer of ours takes the place of the release's in Caffe's registry, and what such layers share.
#pragma once

#include <algorithm>

#include "caffe/layer_factory.hpp"
#include "cpu_threads.hpp"

namespace caffe {
namespace {

const int kChunk = 1 << 16;  // numbers that a thread takes at a time where each is worked on by itself

// work(first, count) for chunks of `total` numbers.
template <typename Work>
void share_chunks(int total, const Work& work) {
  share((total - 1) / kChunk + 1, [&](int, int unit) {
    const int first = unit * kChunk;
    work(first, std::min(kChunk, total - first));
  });
}

template <typename Dtype, typename Ours, typename Release>
boost::shared_ptr<Layer<Dtype>> made(const LayerParameter& layer) {
  if (Ours::takes(layer)) return boost::shared_ptr<Layer<Dtype>>(new Ours(layer));
  return boost::shared_ptr<Layer<Dtype>>(new Release(layer));
}

// Put our layer into the registry where Ours::takes says so; else, as where another engine is asked for, the release's.
// Linked after the release's files, whose own registrations have therefore run before this.
template <template <typename> class Ours, template <typename> class Release>
bool take_the_place_of(const char* type) {
  LayerRegistry<float>::Registry()[type] = made<float, Ours<float>, Release<float>>;
  LayerRegistry<double>::Registry()[type] = made<double, Ours<double>, Release<double>>;
  return true;
}

}  // namespace
}  // namespace caffe
