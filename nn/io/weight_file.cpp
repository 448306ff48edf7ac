#include "nn/io/weight_file.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "core/error.h"
#include "nn/io/pytorch_file.h"
#include "nn/io/safetensors.h"
#include "nn/io/safetensors_index.h"

namespace fovea {
namespace {

static_assert(std::endian::native == std::endian::little, "files of weights are little-endian");

// safetensors' dtypes, their bytes, and Fovea's dtypes for those that it has.
struct Known {
  const char* word;
  size_t bytes;
  std::optional<DType> dtype = std::nullopt;
};
const Known known_dtypes[] = {{"F32", 4, DType::float32},
                              {"F64", 8, DType::float64},
                              {"BF16", 2, DType::bfloat16},
                              {"I32", 4, DType::int32},
                              {"I64", 8, DType::int64},
                              {"U8", 1, DType::uint8},
                              {"F16", 2},
                              {"U64", 8},
                              {"U32", 4},
                              {"I16", 2},
                              {"U16", 2},
                              {"I8", 1},
                              {"BOOL", 1},
                              {"F8_E4M3", 1},
                              {"F8_E5M2", 1}};

const Known* find_dtype(std::string_view word) {
  for (const Known& known : known_dtypes)
    if (word == known.word) return &known;
  return nullptr;
}

// IEEE 754 half precision: 1 sign, 5 exponent, 10 fraction bits.
float from_half(uint16_t bits) {
  const float sign = bits >> 15 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return fraction ? std::numeric_limits<float>::quiet_NaN() : sign * HUGE_VALF;
  if (exponent == 0) return sign * std::ldexp(float(fraction), -24);
  return sign * std::ldexp(float(fraction + 1024), exponent - 25);
}

// Calls use(position in row-major order, place in the content in numbers) for each number of an entry.
template <class F>
void for_each_number(const WeightFile::Entry& entry, F&& use) {
  const int64_t count = entry.shape.numel();
  if (entry.strides.empty()) {
    for (int64_t i = 0; i < count; ++i) use(i, i);
    return;
  }
  std::vector<int64_t> index(entry.strides.size(), 0);
  for (int64_t i = 0, place = 0; i < count; ++i) {
    use(i, place);
    for (size_t axis = index.size(); axis-- > 0;) {
      place += entry.strides[axis];
      if (++index[axis] < entry.shape.sizes()[axis]) break;
      place -= index[axis] * entry.strides[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

size_t bytes_of_dtype(std::string_view word) {
  const Known* known = find_dtype(word);
  return known ? known->bytes : 0;
}

const char* dtype_word(DType dtype) {
  for (const Known& known : known_dtypes)
    if (known.dtype == dtype) return known.word;
  fail("[safetensors] dtype {} has no name in the format", dtype);
}

void WeightFile::add(Entry entry) {
  require(index_.emplace(entry.name, entries_.size()).second, "{}: two tensors are named {}", path_,
          entry.name);
  entries_.push_back(std::move(entry));
}

const WeightFile::Entry* WeightFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

Tensor WeightFile::read(const Entry& entry) const {
  const Known* known = find_dtype(entry.dtype);
  require(known && known->dtype, "{}: tensor {} has dtype {}, which Fovea's tensors cannot have", path_,
          entry.name, entry.dtype);
  Tensor tensor(entry.shape, *known->dtype);
  const size_t bytes = known->bytes;
  if (entry.strides.empty() && tensor.bytes() > 0)
    std::memcpy(tensor.raw(), entry.content.data(), size_t(tensor.bytes()));
  else
    for_each_number(entry, [&](int64_t i, int64_t place) {
      std::memcpy(tensor.raw() + size_t(i) * bytes, entry.content.data() + size_t(place) * bytes, bytes);
    });
  return tensor;
}

Tensor WeightFile::read_float32(const Entry& entry) const {
  if (entry.dtype == "F32") return read(entry);
  Tensor result(entry.shape);
  const auto convert = [&]<class T>(auto&& to_float) {
    for_each_number(entry, [&](int64_t i, int64_t place) {
      T value;
      std::memcpy(&value, entry.content.data() + size_t(place) * sizeof value, sizeof value);
      result.data<float>()[i] = to_float(value);
    });
  };
  if (entry.dtype == "F16")
    convert.operator()<uint16_t>(from_half);
  else if (entry.dtype == "BF16")
    convert.operator()<uint16_t>([](uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); });
  else if (entry.dtype == "F64")
    convert.operator()<double>([](double value) { return float(value); });
  else
    fail("{}: tensor {} has dtype {}: weights are F32, F16, BF16 or F64", path_, entry.name, entry.dtype);
  return result;
}

std::unique_ptr<WeightFile> open_weight_file(const std::string& path) {
  if (PyTorchFile::is_one(path)) return std::make_unique<PyTorchFile>(path);
  if (SafetensorsIndex::is_one(path)) return std::make_unique<SafetensorsIndex>(path);
  return std::make_unique<SafetensorsFile>(path);
}

}  // namespace fovea
