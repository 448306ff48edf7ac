// Replaces export.cpp and the files it depends on if ONNX's library is missing (FOVEA_ONNX in
// CMakeLists.txt).
#include "core/error.h"
#include "models/onnx/export.h"

namespace fovea {
namespace {

[[noreturn]] void fail_without_onnx(const std::string& path) {
  fail(
      "{} cannot be written: this build has no ONNX; install libonnx-dev and libprotobuf-dev, and build "
      "Fovea again",
      path);
}

}  // namespace

void export_onnx(const std::string& path, const EfficientNet&, const OnnxOptions&) {
  fail_without_onnx(path);
}
void export_onnx(const std::string& path, const EfficientDet&, const OnnxOptions&,
                 const std::optional<DetectOptions>&) {
  fail_without_onnx(path);
}
void export_onnx(const std::string& path, const EfficientDet&, const RecordedNetwork&, const OnnxOptions&,
                 const std::optional<DetectOptions>&) {
  fail_without_onnx(path);
}
void export_onnx(const std::string& path, const Module&, const OnnxForward&, const OnnxOptions&,
                 const std::map<std::string, std::string>&) {
  fail_without_onnx(path);
}

}  // namespace fovea
