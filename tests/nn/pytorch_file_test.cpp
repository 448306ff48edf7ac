#include "nn/io/pytorch_file.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "core/error.h"
#include "nn/io/safetensors.h"
#include "nn/io/weights.h"
#include "nn/layers.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

// Made by tests/golden/make_pytorch_files.py.
std::string golden(const std::string& name) { return FOVEA_SOURCE_DIR "/tests/golden/pytorch/" + name; }

std::string error_of(const std::string& path) {
  try {
    const PyTorchFile file(path);
    for (const auto& entry : file.entries()) file.read(entry);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string error_of_content(std::string_view content) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file.pth", content);
  return error_of(folder / "file.pth");
}

// An old-layout file: the magic number, the version, the system and then `pickle` for what was saved.
std::string old_file(const std::string& pickle) {
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);
  const std::string version("\x80\x02M\xe9\x03.", 6), system("\x80\x02}.", 4), no_storages("\x80\x02].", 4);
  return magic + version + system + pickle + no_storages;
}

// A state_dict of one tensor "w" of 4 numbers, with these sizes, strides and offset in pickle's code.
std::string tensor_file(const std::string& sizes, const std::string& strides,
                        const std::string& offset = "K\0") {
  std::string pickle = "\x80\x02}X";
  pickle += std::string("\1\0\0\0w", 5) + "ctorch._utils\n_rebuild_tensor_v2\n((";
  pickle += std::string("X\7\0\0\0storage", 12) + "ctorch\nFloatStorage\n" + std::string("X\1\0\0\0000", 6) +
            std::string("X\3\0\0\0cpu", 8) + "K\4tQ";
  pickle += (offset == "K" ? std::string("K\0", 2) : offset) + sizes + strides + "\x89Nt" + "Rs.";
  const std::string file = old_file(pickle);
  std::string with_storage =
      file.substr(0, file.size() - 4) + "\x80\x02]" + std::string("X\1\0\0\0000", 6) + "a.";
  const uint64_t numbers = 4;
  const float values[] = {1, 2, 3, 4};
  with_storage.append(reinterpret_cast<const char*>(&numbers), 8);
  return with_storage.append(reinterpret_cast<const char*>(values), 16);
}

}  // namespace

TEST_CASE("a state_dict of both of PyTorch's layouts has the numbers of the same one in safetensors") {
  const SafetensorsFile expected(golden("state.safetensors"));
  for (const char* name : {"state_zip.pth", "state_old.pth"}) {
    CAPTURE(name);
    const PyTorchFile file(golden(name));
    CHECK(file.metadata().empty());
    REQUIRE(file.entries().size() == expected.entries().size());
    for (const auto& entry : file.entries()) {
      CAPTURE(entry.name);
      const auto* same = expected.find(entry.name);
      REQUIRE(same);
      CHECK(entry.dtype == same->dtype);
      CHECK(entry.shape == same->shape);
      if (entry.dtype == "I64") continue;
      CHECK(file.read_float32(entry).values() == expected.read_float32(*same).values());
      if (entry.dtype != "F16") CHECK(file.read(entry).values() == expected.read(*same).values());
    }
    CHECK(file.find("turned")->strides == std::vector<int64_t>{1, 5});  // gathered, not copied
  }
}

TEST_CASE("from a training checkpoint the averaged weights are read, whatever else it holds") {
  const SafetensorsFile plain(golden("state.safetensors"));
  for (const char* name : {"checkpoint_zip.pth", "checkpoint_old.pth"}) {
    CAPTURE(name);
    const PyTorchFile file(golden(name));
    CHECK(file.metadata().at("part") == "state_dict_ema");
    CHECK(file.entries().size() == plain.entries().size());
    CHECK(file.read(*file.find("fc.bias")).values()[0] ==
          Approx(plain.read(*plain.find("fc.bias")).values()[0] + 1));
  }
  const PyTorchFile parameter(golden("parameter.pth"));
  CHECK(parameter.entries().size() == 1);
  CHECK(parameter.find("a")->shape == Shape{3, 5});
}

TEST_CASE("load_weights() takes a .pth as it takes safetensors, in PyTorch's layouts") {
  struct Net : Module {
    Conv2d conv{*this, "conv", {.in = 3, .out = 4, .kernel = 3}};
    BatchNorm norm{*this, "norm", 4};
    Linear fc{*this, "fc", 4, 2};
  };
  const auto outputs = [](const std::string& path) {
    const Net net;
    load_weights(path, net,
                 {.optional = [](const std::string& name) { return name.find('.') == name.npos; }});
    std::vector<double> all;
    for (const NamedTensor& t : state_dict(net))
      for (const double value : t.tensor.values()) all.push_back(value);
    return all;
  };
  const std::vector<double> expected = outputs(golden("state.safetensors"));
  CHECK(outputs(golden("state_zip.pth")) == expected);
  CHECK(outputs(golden("state_old.pth")) == expected);
}

TEST_CASE("a pickle that names a function is refused by that name, and nothing in it runs") {
  const TemporaryFolder folder;
  const std::string harm = "touch " + (folder / "harm");
  const std::string text = std::string("X") + char(harm.size()) + std::string("\0\0\0", 3) + harm;
  for (const std::string call :
       {"cposix\nsystem\n", "cos\nsystem\n", "cbuiltins\neval\n", "c__builtin__\nexec\n"}) {
    CAPTURE(call);
    CHECK_THAT(error_of_content(old_file("\x80\x02" + call + text + "\x85R.")),
               Contains("which is not among the few classes") && Contains("Nothing in it was run"));
  }
  CHECK_THAT(error_of_content(old_file("\x80\x02\x8c\2os\x8c\6system\x93" + text + "\x85R.")),
             Contains("names os.system"));
  CHECK_FALSE(path_exists(folder / "harm"));
  CHECK_THAT(error_of(golden("module.pth")), Contains("names torch.nn.modules.container.Sequential"));
  // Other instructions that import or call are unknown.
  for (const std::string code : {"(ios\nsystem\n", "(oS", "\x82\1", "\x92"})
    CHECK_THAT(error_of_content(old_file("\x80\x02" + code + ".")), Contains("is the instruction 0x"));
}

TEST_CASE("values that contain themselves, and endless stacks, are read and refused") {
  CHECK_THAT(error_of_content(old_file("\x80\x02]q\1h\1a.")), Contains("holds no tensors under names"));
  CHECK_THAT(error_of_content(old_file(std::string("\x80\x02}q\1X\5\0\0\0model", 15) + "h\1s.")),
             Contains("holds no tensors under names"));
  CHECK_THAT(
      error_of_content(old_file("\x80\x02" + std::string(100000, ']') + std::string(99999, 'a') + ".")),
      Contains("holds no tensors under names"));
  CHECK_THAT(error_of_content(old_file("\x80\x02h\7.")), Contains("never put into the memo"));
  CHECK_THAT(error_of_content(old_file("\x80\x02"
                                       "a.")),
             Contains("nothing is on the stack"));
  CHECK_THAT(error_of_content(old_file("\x80\x02"
                                       "K\1"
                                       "Q.")),
             Contains("a storage is described in another way"));
}

TEST_CASE("a tensor outside of its storage, or of an absurd size, is refused by name") {
  const std::string two_by_two = "K\2K\2\x86", rows = "K\2K\1\x86", huge = "J\xff\xff\xff\x7f";
  CHECK(error_of_content(tensor_file(two_by_two, rows)).empty());
  const auto refused = [](const std::string& content) {
    CHECK_THAT(error_of_content(content), Contains("tensor w is damaged"));
  };
  refused(tensor_file(two_by_two, rows, "K\1"));
  refused(tensor_file(two_by_two, "K\3K\1\x86"));
  refused(tensor_file(huge + huge + "\x86", std::string("K\0K\0\x86", 5)));
  refused(tensor_file(huge + huge + huge + "\x87", huge + huge + huge + "\x87"));
  refused(tensor_file("J\xff\xff\xff\xff\x85", "K\1\x85"));
  refused(tensor_file("K\4\x85", rows));
  refused(tensor_file("K\4\x85", "K\1\x85", "J\xff\xff\xff\xff"));
  refused(tensor_file("(" + std::string(20, 'N') + "t", "K\1\x85"));
}

TEST_CASE("a PyTorch file cut at any byte gives an error in one sentence, never a crash") {
  for (const char* name : {"state_zip.pth", "state_old.pth", "checkpoint_zip.pth"}) {
    std::ifstream stream(golden(name), std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(stream), {}};
    REQUIRE(content.size() > 1000);
    const TemporaryFolder folder;
    for (size_t size = 2; size < content.size(); size += size < 200 ? 1 : 41) {
      CAPTURE(name, size);
      std::ofstream(folder / "cut.pth", std::ios::binary) << content.substr(0, size);
      CHECK_THAT(error_of(folder / "cut.pth"), Contains("cut.pth"));
    }
  }
  CHECK_THAT(error_of_content("PK\x03\x04 and more"),
             Contains("the directory at the end of the archive is missing"));
  CHECK_THAT(error_of_content("\x80\x02]."), Contains("is a pickle that torch.save() did not write"));
}
