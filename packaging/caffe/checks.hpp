// Included before each of Caffe's files: a failed CHECK and LOG(FATAL) throw, and Python gets a ValueError with Caffe's
// words, where glog ends the process, which is the kernel of a notebook. Caffe's own threads and CUDA's files end it still.
#pragma once
#include <glog/logging.h>

#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

namespace caffe {

class Failure {
 public:
  Failure(const char* file, int line) : place_(std::string(file).substr(std::string(file).rfind('/') + 1)) {
    place_ += ":" + std::to_string(line);
  }
  ~Failure() noexcept(false) { throw std::invalid_argument(words_.str() + " (" + place_ + ")"); }
  std::ostream& stream() { return words_; }

 private:
  std::ostringstream words_;
  std::string place_;
};

template <typename Value>
Value not_null(Value value, const char* file, int line, const char* words) {
  if (value == nullptr) Failure(file, line).stream() << "Check failed: '" << words << "' must be non NULL";
  return value;
}

#define CAFFE_COMPARISON(name, operation)                                                                  \
  template <typename Left, typename Right>                                                                 \
  std::unique_ptr<std::string> fails_##name(const Left& left, const Right& right, const char* words) {     \
    if (left operation right) return nullptr;                                                              \
    std::ostringstream text;                                                                               \
    text << "Check failed: " << words << " (" << left << " vs. " << right << ") ";                         \
    return std::unique_ptr<std::string>(new std::string(text.str()));                                      \
  }
CAFFE_COMPARISON(EQ, ==)
CAFFE_COMPARISON(NE, !=)
CAFFE_COMPARISON(LE, <=)
CAFFE_COMPARISON(LT, <)
CAFFE_COMPARISON(GE, >=)
CAFFE_COMPARISON(GT, >)
#undef CAFFE_COMPARISON

}  // namespace caffe

#undef COMPACT_GOOGLE_LOG_FATAL
#define COMPACT_GOOGLE_LOG_FATAL ::caffe::Failure(__FILE__, __LINE__)
#undef CHECK
#define CHECK(condition)              \
  (condition) ? static_cast<void>(0)  \
              : ::google::LogMessageVoidify() & COMPACT_GOOGLE_LOG_FATAL.stream() << "Check failed: " #condition " "
#undef CHECK_OP
#define CHECK_OP(name, operation, left, right)                                                  \
  while (auto failed_ = ::caffe::fails##name(left, right, #left " " #operation " " #right))     \
  COMPACT_GOOGLE_LOG_FATAL.stream() << *failed_
#undef CHECK_NOTNULL
#define CHECK_NOTNULL(value) ::caffe::not_null((value), __FILE__, __LINE__, #value)
