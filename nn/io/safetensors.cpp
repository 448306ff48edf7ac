#include "nn/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "core/error.h"
#include "nn/io/json.h"

namespace fovea {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

// The format's dtypes and their bytes; those that Fovea has tensors of.
struct Known {
  const char* name;
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

const char* dtype_text(DType dtype) {
  for (const Known& known : known_dtypes)
    if (known.dtype == dtype) return known.name;
  fail("[safetensors] dtype {} has no name in the format", dtype);
}

const Known* find_dtype(const std::string& text) {
  for (const Known& known : known_dtypes)
    if (text == known.name) return &known;
  return nullptr;
}

// One entry of the header, checked by itself.
SafetensorsFile::Entry parse_entry(const std::string& name, const nlohmann::json& json,
                                   const std::string& where) {
  require(json.is_object() && json.contains("dtype") && json["dtype"].is_string() && json.contains("shape") &&
              json["shape"].is_array() && json.contains("data_offsets") && json["data_offsets"].is_array() &&
              json["data_offsets"].size() == 2,
          "{} must have dtype, shape and two data_offsets", where);
  std::vector<int64_t> sizes;
  double product = 1;
  for (const nlohmann::json& size : json["shape"]) {
    require(size.is_number_unsigned() && size.get<uint64_t>() < (uint64_t(1) << 40), "{} has a size {}",
            where, size.dump());
    sizes.push_back(size.get<int64_t>());
    product *= std::max(1.0, double(sizes.back()));
  }
  require(int(sizes.size()) <= Shape::max_rank && product < 1e15,
          "{} has the shape {}: too many axes or too large", where, json["shape"].dump());
  const auto &begin = json["data_offsets"][0], &end = json["data_offsets"][1];
  require(begin.is_number_unsigned() && end.is_number_unsigned(), "{} has data_offsets {}", where,
          json["data_offsets"].dump());
  const SafetensorsFile::Entry entry{name, json["dtype"].get<std::string>(), Shape(sizes),
                                     begin.get<size_t>(), end.get<size_t>()};
  const Known* dtype = find_dtype(entry.dtype);
  require(dtype, "{} has dtype {}, which the format does not have", where, entry.dtype);
  require(entry.end >= entry.begin && entry.end - entry.begin == size_t(entry.shape.numel()) * dtype->bytes,
          "{} lies at bytes {} to {}, which is not the size of {} of {}", where, entry.begin, entry.end,
          entry.dtype, entry.shape);
  return entry;
}

// IEEE 754 half precision: 1 sign, 5 exponent, 10 fraction bits.
float from_half(uint16_t bits) {
  const float sign = bits >> 15 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return fraction ? std::numeric_limits<float>::quiet_NaN() : sign * HUGE_VALF;
  if (exponent == 0) return sign * std::ldexp(float(fraction), -24);
  return sign * std::ldexp(float(fraction + 1024), exponent - 25);
}

}  // namespace

void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<NamedTensor>& tensors) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const NamedTensor& t : tensors) {
    require(!header.contains(t.name), "[write_safetensors] two tensors are named {}", t.name);
    const size_t bytes = size_t(t.tensor.bytes());
    const auto sizes = t.tensor.shape().sizes();
    header[t.name] = {{"dtype", dtype_text(t.tensor.dtype())},
                      {"shape", std::vector<int64_t>(sizes.begin(), sizes.end())},
                      {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the format allows spaces; the numbers are then aligned
  const uint64_t length = text.size();
  std::string start(sizeof length, '\0');
  std::memcpy(start.data(), &length, sizeof length);
  start += text;
  std::vector<std::string_view> parts{start};
  for (const NamedTensor& t : tensors)
    parts.emplace_back(reinterpret_cast<const char*>(t.tensor.raw()), size_t(t.tensor.bytes()));
  write_file_atomically(path, parts);
}

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path), file_(path) {
  parse_header();
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  size_t at = 0;
  for (const Entry& entry : entries_) {
    require(entry.begin == at, "{}: tensor {} starts at byte {} of the data, the one before it ends at {}",
            path, entry.name, entry.begin, at);
    require(entry.end <= data_.size(),
            "{} is cut short: tensor {} ends at byte {} of the data, the file has {}", path, entry.name,
            entry.end, data_.size());
    index_.emplace(entry.name, index_.size());
    at = entry.end;
  }
  require(at == data_.size(), "{} has {} bytes of data, its tensors take {}", path, data_.size(), at);
}

void SafetensorsFile::parse_header() {
  const std::string_view content = file_.content();
  uint64_t length = 0;
  require(content.size() >= sizeof length, "{} is not a safetensors file: it has only {} bytes", path_,
          content.size());
  std::memcpy(&length, content.data(), sizeof length);
  if (length > content.size() - sizeof length || length < 2 || content[sizeof length] != '{') {
    // The two kinds of files that PyTorch itself writes.
    require(
        !content.starts_with("PK\x03\x04") && !content.starts_with("\x80\x02"),
        "{} is not a safetensors file but a pickle of PyTorch's, which may hold programs and is not opened "
        "here. Convert it in Python: safetensors.torch.save_file(torch.load('in.pth', weights_only=True), "
        "'out.safetensors')",
        path_);
    if (const std::string what = found_instead(content); !what.empty())
      fail("{} is not a safetensors file: {}", path_, what);
    require(!content.starts_with('{') || content.find("\"weight_map\"") == content.npos,
            "{} is the index of weights that are split over several files: join them in Python, "
            "safetensors.torch.save_file({{k: v for f in files for k, v in "
            "safetensors.torch.load_file(f).items()}}, "
            "'whole.safetensors')",
            path_);
    fail("{} is not a safetensors file, or is cut short: its header should have {} bytes, the file has {}",
         path_, length, content.size());
  }
  data_ = content.substr(sizeof length + size_t(length));
  const std::string_view text = content.substr(sizeof length, size_t(length));
  const nlohmann::json header = parse_json(text, path_ + ": its header", "JSON");
  for (const auto& [name, json] : header.items()) {
    if (name != "__metadata__") {
      entries_.push_back(parse_entry(name, json, fmt::format("{}: tensor {}", path_, name)));
      continue;
    }
    require(json.is_object(), "{}: __metadata__ must be an object of texts", path_);
    for (const auto& [key, value] : json.items()) {
      require(value.is_string(), "{}: __metadata__ {} must be a text", path_, key);
      metadata_[key] = value.get<std::string>();
    }
  }
}

const SafetensorsFile::Entry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

Tensor SafetensorsFile::read(const Entry& entry) const {
  const Known* known = find_dtype(entry.dtype);
  require(known && known->dtype, "{}: tensor {} is of dtype {}, of which Fovea has no tensors", path_,
          entry.name, entry.dtype);
  Tensor tensor(entry.shape, *known->dtype);
  if (entry.end > entry.begin) std::memcpy(tensor.raw(), data_.data() + entry.begin, entry.end - entry.begin);
  return tensor;
}

Tensor SafetensorsFile::read_float32(const Entry& entry) const {
  if (entry.dtype == "F32") return read(entry);
  Tensor result(entry.shape);
  const auto convert = [&]<class T>(auto&& to_float) {
    const char* from = data_.data() + entry.begin;
    for (float& x : result.span<float>()) {
      T value;
      std::memcpy(&value, from, sizeof value);  // the numbers may lie at any byte
      x = to_float(value);
      from += sizeof value;
    }
  };
  if (entry.dtype == "F16")
    convert.operator()<uint16_t>(from_half);
  else if (entry.dtype == "BF16")
    convert.operator()<uint16_t>([](uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); });
  else if (entry.dtype == "F64")
    convert.operator()<double>([](double value) { return float(value); });
  else
    fail("{}: tensor {} is of dtype {}: weights are F32, F16, BF16 or F64", path_, entry.name, entry.dtype);
  return result;
}

TensorFile read_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  TensorFile result{file.metadata(), {}};
  for (const auto& entry : file.entries()) result.tensors.push_back({entry.name, file.read(entry)});
  return result;
}

}  // namespace fovea
