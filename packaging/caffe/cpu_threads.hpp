// Threads inside a layer: share(count, work) calls work(worker, unit) for every unit from 0 to count - 1.
//
// What a unit is depends on the layer and its batch, never on the number of threads, and each unit writes numbers of its
// own. So outputs, gradients and stepped weights are equal to the bit for any number of threads. `worker`, from 0 to
// cpu_threads() - 1, tells apart those who work at the same time: no two of them have the same one.
//
// Loops over pixels belong into functions that take their arguments by value: GCC does not vectorise them inside a
// lambda that captures by reference.
#pragma once

namespace caffe {

const int kMostThreads = 64;  // OpenBLAS has memory for no more callers at a time

// How many threads share a layer's work. 1, unless the environment variable CAFFE_THREADS says otherwise.
int cpu_threads();

// From 1 to kMostThreads. From then on BLAS has one thread: a second pool beside ours takes two to three times as long.
void set_cpu_threads(int count);

// As `share`. What a unit throws is thrown here, once every other worker has stopped.
void share_units(int count, void (*work)(const void* context, int worker, int unit), const void* context);

template <typename Work>
void share(int count, const Work& work) {
  share_units(
      count, [](const void* it, int worker, int unit) { (*static_cast<const Work*>(it))(worker, unit); }, &work);
}

}  // namespace caffe
