// What BVLC's pycaffe has and the release's binding lost, put into the module caffe._caffe and its Solver; NumPy's
// integers wherever pycaffe takes an integer: Blob.reshape, Solver.step, set_random_seed; and how many threads work.
#include <boost/python.hpp>

#include <string>

#include "caffe/caffe.hpp"
#ifdef CPU_ONLY
#include "cpu_threads.hpp"
#endif

namespace bp = boost::python;

namespace caffe {
namespace {

// Initialised a second time, glog ends the process.
void init_log(int level, bool to_stderr) {
  static bool done = false;
  FLAGS_minloglevel = level;
  FLAGS_logtostderr = to_stderr;
  if (!done) ::google::InitGoogleLogging("");
  done = true;
}

void log(const std::string& text) { LOG(INFO) << text; }

// One process and one solver a thread: counts and ranks are kept for whoever asks, and rank 0 is Caffe's root.
int rank = 0;
bool several = false;
void set_solver_rank(int value) {
  rank = value;
  Caffe::set_root_solver(value == 0);
}
int solver_rank() { return rank; }
void set_multiprocess(bool value) { several = value; }
bool multiprocess() { return several; }
bool has_nccl() { return false; }

struct Opened : Solver<float> {  // ApplyUpdate is protected
  using Solver<float>::ApplyUpdate;
};
void apply_update(Solver<float>* solver) { (solver->*&Opened::ApplyUpdate)(); }

void share_weights(Solver<float>* solver, Net<float>* net) { net->ShareTrainedLayersWith(solver->net().get()); }

#ifdef CPU_ONLY
void set_threads(int count) {
  if (count < 1 || count > kMostThreads) {
    const std::string words = "set_threads takes a number from 1 to " + std::to_string(kMostThreads) + ", not " +
                              std::to_string(count) + "; len(os.sched_getaffinity(0)) is the number of cores";
    PyErr_SetString(PyExc_ValueError, words.c_str());
    bp::throw_error_already_set();
  }
  set_cpu_threads(count);
}
int get_threads() { return cpu_threads(); }
#else
void set_threads(int) {}  // a GPU has its own
int get_threads() { return 1; }
#endif

// Whatever has __index__ and is no int, as NumPy's integers.
template <typename Integer>
struct FromIndex {
  static void* convertible(PyObject* object) {
    return PyIndex_Check(object) && !PyLong_Check(object) ? object : nullptr;
  }

  static void construct(PyObject* object, bp::converter::rvalue_from_python_stage1_data* data) {
    const bp::object number{bp::handle<>(PyNumber_Index(object))};
    void* place = reinterpret_cast<bp::converter::rvalue_from_python_storage<Integer>*>(data)->storage.bytes;
    new (place) Integer(bp::extract<Integer>(number));
    data->convertible = place;
  }

  FromIndex() { bp::converter::registry::push_back(&convertible, &construct, bp::type_id<Integer>()); }
};

}  // namespace

// Called at the end of the module's initialisation.
void more() {
  FromIndex<int>();
  FromIndex<unsigned>();

  bp::def("init_log", &init_log, (bp::arg("level") = 0, bp::arg("stderr") = false));
  bp::def("log", &log);
  bp::def("solver_count", &Caffe::solver_count);
  bp::def("set_solver_count", &Caffe::set_solver_count);
  bp::def("solver_rank", &solver_rank);
  bp::def("set_solver_rank", &set_solver_rank);
  bp::def("multiprocess", &multiprocess);
  bp::def("set_multiprocess", &set_multiprocess);
  bp::def("has_nccl", &has_nccl);
  bp::def("set_threads", &set_threads, bp::arg("count"));
  bp::def("get_threads", &get_threads);

  bp::class_<Timer, shared_ptr<Timer>, boost::noncopyable>("Timer", bp::init<>())
      .def("start", &Timer::Start)
      .def("stop", &Timer::Stop)
      .add_property("ms", &Timer::MilliSeconds);

  bp::object solver = bp::scope().attr("Solver");
  solver.attr("apply_update") = bp::make_function(&apply_update);
  solver.attr("share_weights") = bp::make_function(&share_weights);
}

}  // namespace caffe
