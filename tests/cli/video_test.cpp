// Videos, with programs that only pretend to be ffmpeg and, if it is installed, with ffmpeg itself.
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "models/efficientdet.h"
#include "models/efficientnet.h"
#include "models/weights.h"
#include "tests/support/program.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

// Sets PATH for the programs that are started while it exists.
class Path {
 public:
  explicit Path(const std::string& path) : before_(std::getenv("PATH")) { ::setenv("PATH", path.c_str(), 1); }
  ~Path() { ::setenv("PATH", before_.c_str(), 1); }

 private:
  std::string before_;
};

// A folder with weights and a program `ffmpeg` that does what a shell script says.
struct Videos {
  TemporaryFolder folder;
  Videos() {
    Random random(1);
    save_weights(folder / "efficientdet_d-3.safetensors",
                 EfficientDet(efficientdet_spec("efficientdet_d-3"), 2, random));
    save_weights(folder / "efficientnet_b-3.safetensors",
                 EfficientNet(efficientnet_spec("efficientnet_b-3"), 2, random));
    create_folder(folder / "bin");
    write_file_atomically(folder / "clip.mp4", "a clip");
  }
  void program(const std::string& name, const std::string& script) const {
    write_file_atomically(folder / "bin/" + name, "#!/bin/sh\n" + script);
    fs::permissions(folder / "bin/" + name, fs::perms::owner_all);
  }
  // Three frames of 6 x 4 pixels when it decodes, a copy of what it gets when it encodes; arguments in a
  // file.
  void pretend_ffmpeg(const std::string& at_the_end = "") const {
    program("ffmpeg",
            "echo \"$@\" >> '" + folder.path() +
                "/calls'\n"
                "case \"$*\" in *rawvideo*) for last; do :; done; cat > \"${last#file:}\"; exit;; esac\n"
                "for i in 1 2 3; do printf 'P6\\n6 4\\n255\\n'; head -c 72 /dev/zero; done\n" +
                at_the_end);
    program("ffprobe", "echo 10/1,3\n");
  }
  ProgramResult predict(std::vector<std::string> arguments,
                        const std::string& model = "efficientdet_d-3") const {
    const Path path(folder / "bin:/usr/bin:/bin");
    std::vector<std::string> all{"predict", folder / model + ".safetensors"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_program(all);
  }
};

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("a video becomes a line of JSON a frame, and a video with its boxes") {
  const Videos videos;
  videos.pretend_ffmpeg();
  const std::string clip = videos.folder / "clip.mp4", found = videos.folder / "found.mp4";
  const auto result = videos.predict({clip, "--output", found, "--threshold", "0"});
  CAPTURE(result.errors);
  REQUIRE(result.exit_code == 0);
  const auto lines = lines_of(result.output);
  REQUIRE(lines.size() == 3);
  for (int i = 0; i < 3; ++i) {
    CHECK(lines[size_t(i)]["frame"] == i);
    CHECK(lines[size_t(i)]["time"].get<double>() == Approx(i / 10.0));
    CHECK(lines[size_t(i)]["detections"].is_array());
  }
  CHECK(fs::file_size(found) == 3 * 72);  // raw pixels, since this ffmpeg copies them
  CHECK_FALSE(fs::exists(videos.folder / "found.part.mp4"));
  CHECK_THAT(result.errors, Contains("100%  3 frames") && Contains("3 frames are in " + found));
  const std::string calls = read_file(videos.folder / "calls");
  CHECK_THAT(calls, Contains("-i file:" + clip) && Contains("-s 6x4 -r 10/1"));

  // Only lines; with a classifier; the same from a stream.
  const auto classes = videos.predict({clip}, "efficientnet_b-3");
  CHECK(lines_of(classes.output).at(2)["classes"].size() == 2);
  const std::string command = "PATH='" + videos.folder.path() +
                              "/bin:/usr/bin:/bin' " FOVEA_PROGRAM " predict '" +
                              videos.folder / "efficientdet_d-3.safetensors' - < '" + clip + "' > '" +
                              videos.folder / "lines' 2>/dev/null";
  CHECK(std::system(command.c_str()) == 0);
  const auto streamed = lines_of(read_file(videos.folder / "lines"));
  REQUIRE(streamed.size() == 3);
  CHECK_FALSE(streamed[0].contains("time"));
  CHECK_THAT(read_file(videos.folder / "calls"), Contains("-i pipe:0"));
  const auto camera = videos.predict({"--camera", "--frame-rate", "5"});
  CHECK(lines_of(camera.output).size() == 3);
  CHECK_THAT(read_file(videos.folder / "calls"), Contains("-f v4l2 -i /dev/video0 -map 0:v:0 -r 5"));
}

TEST_CASE("what goes wrong with a video is reported in one sentence, and leaves nothing half-written") {
  const Videos videos;
  const std::string clip = videos.folder / "clip.mp4", found = videos.folder / "found.mp4";
  const auto refuses = [&](const ProgramResult& result, const std::string& message) {
    CAPTURE(message, result.errors);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.errors, Contains(message));
    CHECK_FALSE(fs::exists(found));
    CHECK_FALSE(fs::exists(videos.folder / "found.part.mp4"));
  };
  {
    const Path path(videos.folder / "bin");
    refuses(run_program({"predict", videos.folder / "efficientdet_d-3.safetensors", clip}),
            "videos need the program ffmpeg: install it (Debian package ffmpeg)");
  }
  videos.program("ffmpeg", "echo 'moov atom not found' >&2; exit 1\n");
  refuses(videos.predict({clip}), "clip.mp4 has no readable frame: moov atom not found");
  videos.program("ffmpeg", "kill -9 $$\n");
  refuses(videos.predict({clip}), "has no readable frame: ffmpeg ended with code 137");
  videos.pretend_ffmpeg("echo 'error in packet 4' >&2\n");
  const auto early = videos.predict({clip});
  CHECK(early.exit_code == 0);
  CHECK_THAT(early.errors, Contains("warning: " + clip + ": after 3 frames: error in packet 4"));
  videos.program("ffmpeg",
                 "case \"$*\" in *rawvideo*) echo 'No space left on device' >&2; exit 1;; esac\n"
                 "while :; do printf 'P6\\n600 400\\n255\\n'; head -c 720000 /dev/zero; done\n");
  refuses(videos.predict({clip, "--output", found}), "found.mp4 cannot be written: No space left on device");
  refuses(videos.predict({clip, "--output", clip}), "clip.mp4 is an input of this program");
  refuses(videos.predict({clip, "--output", videos.folder / "folder"}),
          "give a video file such as found.mp4 for a video, and a folder for images");
  refuses(videos.predict({videos.folder / "none.mp4"}), "none.mp4 does not exist");
  refuses(videos.predict({clip, clip}), "clip.mp4 is a video, and 2 paths are given: give a video by itself");
  refuses(videos.predict({videos.folder.path(), "--output", found}),
          "give a video file such as found.mp4 for a video, and a folder for images");
  refuses(videos.predict({}), "give images, folders of images, a video, - for a stream, or --camera");
  CHECK(read_file(clip) == "a clip");
}

TEST_CASE("Ctrl-C ends a camera's video cleanly") {
  const Videos videos;
  videos.pretend_ffmpeg("while :; do printf 'P6\\n6 4\\n255\\n'; head -c 72 /dev/zero; done\n");
  const Path path(videos.folder / "bin:/usr/bin:/bin");
  Program program({"predict", videos.folder / "efficientdet_d-3.safetensors", "--camera", "--output",
                   videos.folder / "found.mp4"});
  while (!fs::exists(videos.folder / "found.part.mp4")) ::usleep(2000);
  ::usleep(200000);
  program.signal(SIGINT);
  const auto result = program.wait();
  CAPTURE(result.errors);
  CHECK(result.exit_code == 0);
  CHECK(fs::file_size(videos.folder / "found.mp4") == lines_of(result.output).size() * 72);
}

TEST_CASE("a real clip is read and written by ffmpeg") {
  if (std::system("command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null") != 0) {
    WARN("there is no ffmpeg: only the stand-in programs were tested");
    return;
  }
  const Videos videos;
  const std::string clip = videos.folder / "real clip.mp4", found = videos.folder / "found.mkv";
  REQUIRE(std::system(("ffmpeg -v error -f lavfi -i testsrc=size=67x45:rate=10 -t 1.2 -pix_fmt yuv444p '" +
                       clip + "'")
                          .c_str()) == 0);
  const auto result = run_program({"predict", videos.folder / "efficientdet_d-3.safetensors", clip,
                                   "--output", found, "--threshold", "0"});
  CAPTURE(result.errors);
  REQUIRE(result.exit_code == 0);
  CHECK(lines_of(result.output).size() == 12);
  const auto again = run_program({"predict", videos.folder / "efficientdet_d-3.safetensors", found});
  CAPTURE(again.errors);
  CHECK(lines_of(again.output).size() == 12);
  const std::string stream = "cat '" + clip + "' | " FOVEA_PROGRAM " predict '" +
                             videos.folder / "efficientdet_d-3.safetensors' - 2>/dev/null | wc -l > '" +
                             videos.folder / "count'";
  CHECK(std::system(stream.c_str()) == 0);
  CHECK(std::stoi(read_file(videos.folder / "count")) == 12);
}
