// What BVLC's pycaffe has and the release's binding lost, put into the module caffe._caffe, its Net, Blob and Solver; a
// card that is not there is an exception; how many threads work; and NumPy's integers wherever pycaffe takes an integer:
// Blob.reshape, Solver.step, set_random_seed.
#include <boost/python.hpp>

#include <string>

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"
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

bool has_nccl() { return false; }

// Caffe itself would find out at the first forward pass, or end the process.
void need_card(int device) {
#ifdef CPU_ONLY
  const int count = 0;
  const std::string why = "this Caffe was built for the CPU; leave out caffe.set_mode_gpu() and caffe.set_device(), and "
      "nets run on the CPU (in the course, `JIGSAW_DEVICE=gpu bash colab_setup.sh` builds the other one)";
#else
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  const std::string why = "cards here: " + std::to_string(count) + " (`nvidia-smi` tells more); nets run on the CPU after "
      "caffe.set_mode_cpu()";
#endif
  if (device >= 0 && device < count) return;
  PyErr_SetString(PyExc_RuntimeError, ("There is no GPU " + std::to_string(device) + ": " + why).c_str());
  bp::throw_error_already_set();
}
void set_device(int device) { need_card(device), Caffe::SetDevice(device); }
void set_mode_gpu() { need_card(0), Caffe::set_mode(Caffe::GPU); }

struct Opened : SGDSolver<float> {  // these are protected
  using SGDSolver<float>::ApplyUpdate;
  using SGDSolver<float>::GetLearningRate;
};
void apply_update(SGDSolver<float>* solver) { (solver->*&Opened::ApplyUpdate)(); }
float rate(SGDSolver<float>* solver) { return (solver->*&Opened::GetLearningRate)(); }

// Net.before_forward and the like: a function of Python's to be called with each layer's number.
template <int place>
void call(Net<float>* net, bp::object run) {
  net->callbacks_[place].push_back([run](int layer) { run(layer); });
}

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
  bp::def("solver_rank", &Caffe::solver_rank);
  bp::def("set_solver_rank", &Caffe::set_solver_rank);
  bp::def("multiprocess", &Caffe::multiprocess);
  bp::def("set_multiprocess", &Caffe::set_multiprocess);
  bp::def("has_nccl", &has_nccl);
  bp::def("set_threads", &set_threads, bp::arg("count"));
  bp::def("get_threads", &get_threads);

  bp::class_<Timer, shared_ptr<Timer>, boost::noncopyable>("Timer", bp::init<>())
      .def("start", &Timer::Start)
      .def("stop", &Timer::Stop)
      .add_property("ms", &Timer::MilliSeconds);

  bp::scope().attr("set_device") = bp::make_function(&set_device);
  bp::scope().attr("set_mode_gpu") = bp::make_function(&set_mode_gpu);

  const bp::object property(bp::handle<>(bp::borrowed(reinterpret_cast<PyObject*>(&PyProperty_Type))));
  bp::object solver = bp::scope().attr("Solver");
  solver.attr("share_weights") = bp::make_function(&share_weights);
  bp::class_<SolverParameter>("SolverParameter", bp::no_init)
      .add_property("max_iter", &SolverParameter::max_iter)
      .add_property("display", &SolverParameter::display)
      .add_property("layer_wise_reduce", &SolverParameter::layer_wise_reduce)
      .add_property("base_lr", &SolverParameter::base_lr, &SolverParameter::set_base_lr);
  solver.attr("param") =
      property(bp::make_function(&Solver<float>::param, bp::return_internal_reference<>()));
  // Every solver of Caffe is an SGDSolver.
  solver.attr("apply_update") = bp::make_function(&apply_update);
  solver.attr("lr") = property(bp::make_function(&rate));

  bp::object net = bp::scope().attr("Net");
  net.attr("before_forward") = bp::make_function(&call<0>);
  net.attr("after_forward") = bp::make_function(&call<1>);
  net.attr("before_backward") = bp::make_function(&call<2>);
  net.attr("after_backward") = bp::make_function(&call<3>);
#ifndef CPU_ONLY
  bp::object blob = bp::scope().attr("Blob");
  blob.attr("_gpu_data_ptr") = property(bp::make_function(+[](Blob<float>* self) {
    return reinterpret_cast<uintptr_t>(self->mutable_gpu_data());
  }));
  blob.attr("_gpu_diff_ptr") = property(bp::make_function(+[](Blob<float>* self) {
    return reinterpret_cast<uintptr_t>(self->mutable_gpu_diff());
  }));
#endif
}

}  // namespace caffe
