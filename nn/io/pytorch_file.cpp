#include "nn/io/pytorch_file.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "core/error.h"

namespace fovea {
namespace {

using Value = PickleValue;

// The old layout begins with the pickle of this number: 0x1950a86a20f9469cfc6c.
constexpr std::string_view old_magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);
constexpr std::string_view zip_magic = "PK\x03\x04";

// The classes of storages, and the dtypes of their numbers.
constexpr std::pair<std::string_view, const char*> storage_classes[] = {
    {"torch.FloatStorage", "F32"},  {"torch.HalfStorage", "F16"}, {"torch.BFloat16Storage", "BF16"},
    {"torch.DoubleStorage", "F64"}, {"torch.LongStorage", "I64"}, {"torch.IntStorage", "I32"},
    {"torch.ShortStorage", "I16"},  {"torch.CharStorage", "I8"},  {"torch.ByteStorage", "U8"},
    {"torch.BoolStorage", "BOOL"}};

// The globals that a checkpoint may name. Only the first three mean something here; the others occur beside
// the weights in files of well-known trainers, as plain data.
const std::vector<std::string_view>& allowed_globals() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all = {"torch._utils._rebuild_tensor_v2",
                                         "torch._utils._rebuild_tensor",
                                         "torch._utils._rebuild_parameter",
                                         "collections.OrderedDict",
                                         "torch.Size",
                                         "torch.device",
                                         "torch.float32",
                                         "torch.float16",
                                         "torch.bfloat16",
                                         "torch.float64",
                                         "torch.int64",
                                         "argparse.Namespace",
                                         "numpy.core.multiarray.scalar",
                                         "numpy._core.multiarray.scalar",
                                         "numpy.dtype",
                                         "_codecs.encode",
                                         "pathlib.PosixPath"};
    for (const auto& [name, dtype] : storage_classes) all.push_back(name);
    return all;
  }();
  return names;
}

template <class T>
T number_at(std::string_view content, size_t place) {
  T result;
  std::memcpy(&result, content.data() + place, sizeof result);
  return result;
}

// The uncompressed files of a zip archive, by name (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5).
class ZipFiles {
 public:
  ZipFiles(std::string_view content, const std::string& path) : content_(content), path_(path) {
    // The end record is 22 bytes and a comment of at most 65,535.
    const size_t end =
        content.size() < 22 ? std::string_view::npos : content.rfind("PK\x05\x06", content.size() - 22);
    if (end == std::string_view::npos) damaged("the directory at the end of the archive is missing");
    uint64_t count = number_at<uint16_t>(content, end + 10), at = number_at<uint32_t>(content, end + 16);
    // An archive of over 4 GB has a second end record, which a locator before the first one points to.
    if (end >= 20 && content.substr(end - 20, 4) == "PK\x06\x07") {
      const uint64_t second = number_at<uint64_t>(content, end - 20 + 8);
      if (!has(second, 56) || content.substr(second, 4) != "PK\x06\x06")
        damaged("its second end record is missing");
      count = number_at<uint64_t>(content, second + 32);
      at = number_at<uint64_t>(content, second + 48);
    }
    for (uint64_t i = 0; i < count; ++i) at = take_entry(at);
  }

  const std::map<std::string_view, std::string_view>& files() const { return files_; }

 private:
  [[noreturn]] void damaged(const char* what) const { fail("{} is cut short or damaged: {}", path_, what); }
  bool has(uint64_t place, uint64_t bytes) const {
    return place <= content_.size() && bytes <= content_.size() - place;
  }

  // Returns where the next entry of the directory begins.
  uint64_t take_entry(uint64_t at) {
    if (!has(at, 46) || content_.substr(at, 4) != "PK\x01\x02")
      damaged("an entry of its directory is missing");
    const uint16_t flags = number_at<uint16_t>(content_, at + 8),
                   method = number_at<uint16_t>(content_, at + 10);
    uint64_t packed = number_at<uint32_t>(content_, at + 20), size = number_at<uint32_t>(content_, at + 24),
             local = number_at<uint32_t>(content_, at + 42);
    const uint16_t name_size = number_at<uint16_t>(content_, at + 28),
                   extra_size = number_at<uint16_t>(content_, at + 30),
                   comment_size = number_at<uint16_t>(content_, at + 32);
    const uint64_t next = at + 46 + name_size + extra_size + comment_size;
    if (!has(at, next - at)) damaged("an entry of its directory is cut short");
    const std::string_view name = content_.substr(at + 46, name_size);
    read_large_fields(content_.substr(at + 46 + name_size, extra_size), {&size, &packed, &local});
    require(method == 0 && packed == size && !(flags & 1),
            "{}: {} in the archive is compressed or encrypted, which torch.save() does not do: unpack it, or "
            "save "
            "it again",
            path_, name);
    if (!has(local, 30) || content_.substr(local, 4) != zip_magic)
      damaged("the header of one of its files is missing");
    const uint64_t begin =
        local + 30 + number_at<uint16_t>(content_, local + 26) + number_at<uint16_t>(content_, local + 28);
    if (!has(begin, size)) damaged("one of its files extends past the end");
    require(files_.emplace(name, content_.substr(begin, size)).second, "{} holds two files named {}", path_,
            name);
    return next;
  }

  // Fields that are all ones are in extra field 1 instead, in this order, with 64 bits.
  void read_large_fields(std::string_view extra, std::initializer_list<uint64_t*> fields) const {
    while (extra.size() >= 4) {
      const uint16_t id = number_at<uint16_t>(extra, 0);
      const size_t size = std::min<size_t>(number_at<uint16_t>(extra, 2), extra.size() - 4);
      std::string_view content = extra.substr(4, size);
      extra.remove_prefix(4 + size);
      if (id != 1) continue;
      for (uint64_t* field : fields) {
        if (*field != std::numeric_limits<uint32_t>::max() || content.size() < 8) continue;
        *field = number_at<uint64_t>(content, 0);
        content.remove_prefix(8);
      }
    }
  }

  std::string_view content_;
  const std::string& path_;
  std::map<std::string_view, std::string_view> files_;
};

const Value* value_of(const Value::Dict& dict, std::string_view key) {
  for (const auto& [name, value] : dict)
    if (const auto* text = name->as<std::string_view>(); text && *text == key) return value;
  return nullptr;
}

bool is_call_of(const Value& value, std::string_view name) {
  const auto* call = value.as<Value::Call>();
  return call && call->function->as<Value::Global>()->name == name;
}

bool is_tensor(const Value& value) {
  return is_call_of(value, "torch._utils._rebuild_tensor_v2") ||
         is_call_of(value, "torch._utils._rebuild_tensor") ||
         is_call_of(value, "torch._utils._rebuild_parameter");
}

bool has_tensors(const Value::Dict& dict) {
  return std::any_of(dict.begin(), dict.end(), [](const auto& item) { return is_tensor(*item.second); });
}

// A tuple of numbers that are not negative; otherwise nothing.
std::optional<std::vector<int64_t>> numbers(const Value& value) {
  const auto* list = value.as<Value::List>();
  if (!list) return std::nullopt;
  std::vector<int64_t> result;
  for (const Value* item : *list) {
    const auto* number = item->as<int64_t>();
    if (!number || *number < 0) return std::nullopt;
    result.push_back(*number);
  }
  return result;
}

}  // namespace

bool PyTorchFile::is_one(const std::string& path) {
  const MappedFile file(path);
  return file.content().starts_with(zip_magic) || file.content().starts_with("\x80\x02");
}

PyTorchFile::PyTorchFile(const std::string& path) : WeightFile(path) {
  const PickleValue& root = content().starts_with(zip_magic) ? read_zip() : read_old();
  for (const auto& [name, value] : find_state_dict(root)) {
    const auto* text = name->as<std::string_view>();
    if (text && is_tensor(*value)) add(tensor_entry(std::string(*text), *value));
  }
  storages_.clear();
  reader_.reset();
}

const PickleValue& PyTorchFile::read_zip() {
  const ZipFiles zip(content(), path_);
  const auto found = std::find_if(zip.files().begin(), zip.files().end(), [](const auto& file) {
    return file.first == "data.pkl" || file.first.ends_with("/data.pkl");
  });
  require(found != zip.files().end(),
          "{} is a zip archive that torch.save() did not write: it holds no data.pkl", path_);
  const std::string folder(found->first.substr(0, found->first.size() - std::strlen("data.pkl")));
  if (const auto order = zip.files().find(folder + "byteorder"); order != zip.files().end())
    require(order->second == "little", "{} was written on a big-endian machine: save it again on another",
            path_);
  for (const auto& [name, content] : zip.files())
    if (name.starts_with(folder + "data/")) storages_.emplace(name.substr(folder.size() + 5), content);
  reader_ = std::make_unique<PickleReader>(found->second, path_);
  return reader_->read(allowed_globals());
}

const PickleValue& PyTorchFile::read_old() {
  require(content().starts_with(old_magic),
          "{} is a pickle that torch.save() did not write: save the state_dict with it", path_);
  reader_ = std::make_unique<PickleReader>(content(), path_);
  const auto next = [&]() -> const Value& { return reader_->read(allowed_globals()); };
  next();  // the magic number
  const auto* version = next().as<int64_t>();
  require(version && *version == 1001, "{} has a version of PyTorch's old layout that is not 1001", path_);
  if (const auto* system = next().as<Value::Dict>())
    if (const Value* little = value_of(*system, "little_endian"); little && little->as<bool>())
      require(*little->as<bool>(), "{} was written on a big-endian machine: save it again on another", path_);
  const Value& root = next();
  const Value& keys = next();
  const auto* list = keys.as<Value::List>();
  require(list, "{} is cut short or damaged: the list of its storages is missing", path_);
  // The storages follow the pickles, each a count and its numbers. The tensors state their dtype.
  std::map<std::string_view, std::string_view> dtypes;
  for (const Value& value : reader_->values())
    if (const auto* id = value.as<Value::PersistentId>()) {
      const Storage storage = storage_of(*id);
      dtypes.emplace(storage.key, storage.dtype);
    }
  std::string_view rest = content().substr(reader_->position());
  for (const Value* item : *list) {
    const auto* key = item->as<std::string_view>();
    const auto dtype = key ? dtypes.find(*key) : dtypes.end();
    require(dtype != dtypes.end(), "{} is cut short or damaged: it lists a storage that no tensor uses",
            path_);
    const uint64_t bytes = bytes_of_dtype(dtype->second);
    const uint64_t numbers = rest.size() < 8 ? 0 : number_at<uint64_t>(rest, 0);
    require(rest.size() >= 8 && numbers <= (rest.size() - 8) / bytes,
            "{} is cut short: storage {} should have {} numbers, which extend past the end", path_, *key,
            numbers);
    storages_.emplace(*key, rest.substr(8, size_t(numbers * bytes)));
    rest.remove_prefix(8 + size_t(numbers * bytes));
  }
  return root;
}

PyTorchFile::Storage PyTorchFile::storage_of(const Value::PersistentId& id) const {
  // ("storage", class, key, device, numbers), and in old files a view of another storage, or None
  const auto* parts = id.id->as<Value::List>();
  const auto fits = [&] {
    if (!parts || parts->size() < 5) return false;
    const auto* kind = (*parts)[0]->as<std::string_view>();
    const auto* numbers = (*parts)[4]->as<int64_t>();
    return kind && *kind == "storage" && (*parts)[1]->as<Value::Global>() &&
           (*parts)[2]->as<std::string_view>() && numbers && *numbers >= 0 &&
           (parts->size() == 5 || (*parts)[5]->as<Value::None>());
  };
  require(fits(), "{} is damaged, or older than PyTorch 0.4: a storage is described in another way", path_);
  const std::string& name = (*parts)[1]->as<Value::Global>()->name;
  for (const auto& [storage_class, dtype] : storage_classes)
    if (name == storage_class)
      return {dtype, *(*parts)[2]->as<std::string_view>(), uint64_t(*(*parts)[4]->as<int64_t>())};
  fail("{} is damaged: {} is not a class of storages", path_, name);
}

const Value::Dict& PyTorchFile::find_state_dict(const Value& root) {
  static constexpr std::string_view parts[] = {
      "state_dict_ema",   "ema_state_dict", "model_ema", "ema",     "state_dict",
      "model_state_dict", "model",          "net",       "weights", "module"};
  const Value* value = &root;
  std::string where;
  for (int depth = 0; depth < 4 && value; ++depth) {
    const auto* dict = value->as<Value::Dict>();
    if (!dict) break;
    if (has_tensors(*dict)) {
      if (!where.empty()) metadata_["part"] = where;
      return *dict;
    }
    value = nullptr;
    for (const std::string_view part : parts) {
      const Value* inner = value_of(*dict, part);
      if (!inner || !inner->as<Value::Dict>() || inner->as<Value::Dict>()->empty()) continue;
      value = inner;
      where += fmt::format("{}{}", where.empty() ? "" : ".", part);
      break;
    }
  }
  fail(
      "{} holds no tensors under names: what torch.save() was given must be a state_dict, or a dictionary "
      "with "
      "one under a name such as \"state_dict\" or \"model\"",
      path_);
}

WeightFile::Entry PyTorchFile::tensor_entry(const std::string& name, const Value& value) const {
  const auto damaged = [&](const char* what) { fail("{}: tensor {} is damaged: {}", path_, name, what); };
  // _rebuild_parameter(tensor, ...), _rebuild_tensor(storage, offset, sizes, strides), and _v2 with more
  // after them
  const Value* tensor = &value;
  const auto* arguments = tensor->as<Value::Call>()->arguments->as<Value::List>();
  if (is_call_of(*tensor, "torch._utils._rebuild_parameter")) {
    if (arguments->empty() || !is_tensor(*(*arguments)[0])) damaged("a parameter that is not a tensor");
    tensor = (*arguments)[0];
    arguments = tensor->as<Value::Call>()->arguments->as<Value::List>();
  }
  if (arguments->size() < 4 || !(*arguments)[0]->as<Value::PersistentId>() || !(*arguments)[1]->as<int64_t>())
    damaged("it has no storage or no offset");
  const Storage storage = storage_of(*(*arguments)[0]->as<Value::PersistentId>());
  const auto sizes = numbers(*(*arguments)[2]), strides = numbers(*(*arguments)[3]);
  if (!sizes || !strides || sizes->size() != strides->size() || sizes->size() > size_t(Shape::max_rank))
    damaged("its sizes and strides differ in number, or are too many");
  const auto found = storages_.find(storage.key);
  if (found == storages_.end()) damaged("its storage is not in the file");
  const size_t bytes = bytes_of_dtype(storage.dtype);
  const uint64_t available = std::min<uint64_t>(storage.numbers, found->second.size() / bytes);
  const uint64_t offset = uint64_t(*(*arguments)[1]->as<int64_t>());

  // Doubles do not overflow here, and the bounds are below 2^53.
  double count = 1, last = double(offset);
  bool row_major = true;
  for (size_t i = sizes->size(); i-- > 0;) {
    const double size = double((*sizes)[i]), stride = double((*strides)[i]);
    row_major = row_major && ((*sizes)[i] == 1 || stride == count);
    last += std::max(0.0, size - 1) * stride;
    count *= size;
  }
  if (offset > available || (count > 0 && (last >= double(available) || count > double(available))))
    damaged("it extends past the end of its storage");
  return {name, std::string(storage.dtype), Shape(*sizes), found->second.substr(size_t(offset) * bytes),
          row_major ? std::vector<int64_t>{} : *strides};
}

}  // namespace fovea
