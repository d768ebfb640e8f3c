// The pool behind cpu_threads.hpp. No OpenMP: a forked child that runs a layer hangs once its parent has used it.
#include "cpu_threads.hpp"

#include <cblas.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "caffe/common.hpp"

namespace caffe {
namespace {

struct Job {
  const int count, workers;
  void (*const work)(const void* context, int worker, int unit);
  const void* const context;
  std::atomic<int> next[kMostThreads];  // of each worker's own units
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr error;
  std::fenv_t rounding;  // of the caller: rounding and denormal numbers are a thread's own affair

  Job(int count, int workers, void (*work)(const void*, int, int), const void* context)
      : count(count), workers(workers), work(work), context(context) {
    for (int i = 0; i < workers; ++i) next[i] = first(i);
    std::fegetenv(&rounding);
  }

  int first(int worker) const { return long(count) * worker / workers; }

  // A worker's own units first: what it has computed in one layer lies in its cache for the next. Then what is left of
  // the others'.
  void do_units(int worker) {
    try {
      for (int i = 0; i < workers; ++i) {
        const int whose = (worker + i) % workers, last = first(whose + 1);
        for (int unit; !failed && (unit = next[whose]++) < last;) work(context, worker, unit);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
      failed = true;
    }
  }
};

thread_local bool working = false;  // whether this thread is doing a unit already

class Pool {
 public:
  const pid_t owner = getpid();

  // Do a job, the caller as worker 0; false where another caller has the pool.
  bool run(Job& job) {
    std::unique_lock<std::mutex> mine(caller_, std::try_to_lock);
    if (!mine) return false;
    hire(job.workers - 1);
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = &job, ++round_;
    lock.unlock();
    wake_.notify_all();
    job.do_units(0);
    lock.lock();
    job_ = nullptr;  // whoever has not woken up by now is not waited for
    done_.wait(lock, [this] { return active_ == 0; });
    return true;
  }

 private:
  // Threads wait for jobs from here to the end of the process. Where no more can be had, those that are here do the work.
  void hire(int wanted) {
    if (hired_ >= wanted) return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // Ctrl-C is for the thread that has Python
    try {
      for (; hired_ < wanted; ++hired_) std::thread(&Pool::work, this, hired_ + 1).detach();
    } catch (const std::system_error&) {
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void work(int worker) {
    working = true;
    std::unique_lock<std::mutex> lock(mutex_);
    for (unsigned long seen = 0;;) {
      wake_.wait(lock, [&] { return job_ && round_ != seen && worker < job_->workers; });
      seen = round_, ++active_;
      Job& job = *job_;
      lock.unlock();
      std::fesetenv(&job.rounding);
      job.do_units(worker);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::mutex caller_, mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  int hired_ = 0, active_ = 0;
  unsigned long round_ = 0;
};

// This process's pool, made anew in a forked child, which has none of its parent's threads. It is never freed.
Pool& pool() {
  static std::atomic<Pool*> made{nullptr};
  Pool* found = made;
  while (!found || found->owner != getpid()) {
    Pool* mine = new Pool;
    if (made.compare_exchange_strong(found, mine)) return *mine;
    delete mine;
  }
  return *found;
}

std::atomic<int> threads{1};

const bool asked = [] {
  const char* text = std::getenv("CAFFE_THREADS");
  if (!text || !*text) return false;
  char* end;
  const long count = std::strtol(text, &end, 10);
  if (*end || count < 1 || count > kMostThreads) {
    LOG(WARNING) << "CAFFE_THREADS is '" << text << "', no number from 1 to " << kMostThreads << ": one thread works";
    return false;
  }
  set_cpu_threads(count);
  return true;
}();

}  // namespace

int cpu_threads() { return threads; }

void set_cpu_threads(int count) {
  threads = count;
  openblas_set_num_threads(1);
}

void share_units(int count, void (*work)(const void* context, int worker, int unit), const void* context) {
  const int together = std::min<int>(threads, count);
  if (together > 1 && !working) {
    Job job(count, together, work, context);
    working = true;
    const bool done = pool().run(job);
    working = false;
    if (job.error) std::rethrow_exception(job.error);
    if (done) return;
  }
  for (int unit = 0; unit < count; ++unit) work(context, 0, unit);
}

}  // namespace caffe
