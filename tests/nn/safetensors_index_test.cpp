#include "nn/io/safetensors_index.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "core/error.h"
#include "nn/io/weights.h"
#include "nn/layers.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

constexpr const char* first = "model-00001-of-00002.safetensors";
constexpr const char* second = "model-00002-of-00002.safetensors";

// A folder with the tensors a and b in the first file, c in the second.
class Shards {
 public:
  Shards() {
    write_safetensors(folder_ / first, {{"format", "pt"}},
                      {{"a", from_values({2}, {1, 2})}, {"b", ones({3})}});
    write_safetensors(folder_ / second, {{"format", "np"}, {"made", "here"}}, {{"c", zeros({1})}});
    write(R"({"metadata": {"total_size": 24}, "weight_map": {
             "a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors",
             "c": "model-00002-of-00002.safetensors"}})");
  }
  std::string operator/(const std::string& name) const { return folder_ / name; }
  std::string path() const { return folder_ / "model.safetensors.index.json"; }
  void write(const std::string& index) const { write_file_atomically(path(), index); }

  std::string error() const {
    try {
      open_weight_file(path());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("weights that are split over files are read by their index") {
  const Shards shards;
  const auto file = open_weight_file(shards.path());
  CHECK(file->files() == std::vector{shards.path(), shards / first, shards / second});
  REQUIRE(file->entries().size() == 3);
  CHECK(file->read(*file->find("a")).values() == std::vector<double>{1, 2});
  CHECK(file->read_float32(*file->find("c")).values() == std::vector<double>{0});
  CHECK(file->find("d") == nullptr);
  CHECK(file->metadata().at("format") == "pt");
  CHECK(file->metadata().at("made") == "here");
  // Download caches hold links to files of other names.
  std::filesystem::rename(shards / first, shards / "blob");
  std::filesystem::create_symlink("blob", shards / first);
  CHECK(open_weight_file(shards.path())->entries().size() == 3);
}

TEST_CASE("a network gets from shards what it gets from one file") {
  const TemporaryFolder folder;
  Random random(1);
  const Linear from(3, 2, random);
  Linear to(3, 2, random);
  write_safetensors(folder / "1.safetensors", {}, {published_weights(from)[0]});
  write_safetensors(folder / "2.safetensors", {}, {published_weights(from)[1]});
  const auto names = state_dict(from);
  write_file_atomically(folder / "index.json",
                        fmt::format(R"({{"weight_map": {{"{}": "1.safetensors", "{}": "2.safetensors"}}}})",
                                    names[0].name, names[1].name));
  load_weights(folder / "index.json", to);
  for (size_t i = 0; i < names.size(); ++i)
    CHECK(state_dict(to)[i].tensor.values() == names[i].tensor.values());
}

TEST_CASE("an index whose files are missing or hold other tensors is refused with file and tensor") {
  const Shards shards;
  const std::string index = read_file(shards.path());
  const auto with = [&](const std::string& old, const std::string& changed) {
    std::string text = index;
    text.replace(text.find(old), old.size(), changed);
    shards.write(text);
    return shards.error();
  };
  CHECK(with("{", "{") == "");
  CHECK_THAT(with("\"c\"", "\"d\""), Contains(std::string(second) + ": tensor c is not in the index"));
  CHECK_THAT(with("\"c\"", "\"d\": \"model-00002-of-00002.safetensors\", \"c\""),
             Contains(std::string(second) + " lacks tensor d, but"));
  CHECK_THAT(with("\"b\": \"model-00001-of-00002", "\"b\": \"model-00002-of-00002"),
             Contains(std::string(first) + ": tensor b lies here, but") &&
                 Contains(std::string("puts it into ") + second));
  CHECK_THAT(with("\"b\"", "\"a\""), Contains("index.json: tensor a is named twice"));
  CHECK_THAT(with("model-00002-of-00002", "model-00003-of-00002"),
             Contains("model-00003-of-00002.safetensors is missing, but") && Contains("puts tensor c"));
  std::filesystem::rename(shards / first, shards / "elsewhere");
  shards.write(index);
  CHECK_THAT(shards.error(), Contains(std::string(first) + " is missing") && Contains("puts tensor a"));
}

TEST_CASE("an index leads to no file but those beside it") {
  const Shards shards;
  const auto error = [&](const std::string& file) {
    shards.write(R"({"weight_map": {"w": )" + file + "}}");
    return shards.error();
  };
  std::filesystem::create_directory(shards / "sub");
  std::filesystem::copy(shards / second, shards / "sub/c.safetensors");
  std::filesystem::create_directory(shards / "folder.safetensors");
  for (const std::string file : {R"("sub/c.safetensors")", R"("../c.safetensors")", R"("/c.safetensors")",
                                 R"("sub\\c.safetensors")", R"("c\u0000.safetensors")", R"("..")", R"("")",
                                 R"("/etc/passwd")", "3", "null", R"(["c.safetensors"])"}) {
    CAPTURE(file);
    CHECK_THAT(error(file), Contains("the file of tensor w is " + file) &&
                                Contains("the name of a file beside the index, without folders"));
  }
  CHECK_THAT(error(R"("folder.safetensors")"), Contains("folder.safetensors is missing"));
}

TEST_CASE("an index that is cut or has another form is refused") {
  const Shards shards;
  const std::string index = read_file(shards.path());
  for (size_t size = 0; size < index.find_last_of('}'); ++size) {
    CAPTURE(size);
    shards.write(index.substr(0, size));
    CHECK_THAT(shards.error(), Contains("index.json"));
  }
  for (const char* map : {"3", "[]", "{}", "null"}) {
    shards.write(std::string(R"({"weight_map": )") + map + "}");
    CHECK_THAT(shards.error(), Contains("is not an index of weights: it must have a weight_map"));
  }
  shards.write(R"({"metadata": {"weight_map": "elsewhere"}})");
  CHECK_THAT(shards.error(), Contains("is not an index of weights"));
  shards.write(R"({"weight_map": )" + std::string(100000, '['));
  CHECK_THAT(shards.error(), Contains("100 deep"));
  shards.write(index);
  write_file_atomically(shards / second,
                        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n");
  CHECK_THAT(shards.error(), Contains(second) && Contains("it is a Git LFS pointer"));
}
