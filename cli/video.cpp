#include "cli/video.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>

#include "cli/progress.h"
#include "cli/signals.h"
#include "core/error.h"
#include "core/file.h"
#include "nn/io/json.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// ffmpeg or ffprobe, started without a shell, at the other end of a pipe.
class Program {
 public:
  Program(std::vector<std::string> arguments, bool we_read, bool shares_input = false)
      : name_(arguments[0]), errors_(std::tmpfile()) {
    std::signal(SIGPIPE, SIG_IGN);  // if the program ends early, a write fails instead of ending this process
    int ends[2];
    require(errors_ && ::pipe2(ends, O_CLOEXEC) == 0, "cannot start {}: too many files are open", name_);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    process_ = ::fork();
    if (process_ == 0) {  // only calls that are safe between fork and exec with several threads
      ::setpgid(0, 0);    // Ctrl-C must reach only the parent, which then finishes the video
      sigset_t none;
      sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      std::signal(SIGPIPE, SIG_DFL);
      ::dup2(ends[we_read ? 1 : 0], we_read ? STDOUT_FILENO : STDIN_FILENO);
      ::dup2(::fileno(errors_), STDERR_FILENO);
      if (we_read && !shares_input) ::close(STDIN_FILENO);
      ::execvp(argv[0], argv.data());
      ::_exit(not_found);
    }
    ::close(ends[we_read ? 1 : 0]);
    pipe_ = ::fdopen(ends[we_read ? 0 : 1], we_read ? "r" : "w");
    require(process_ > 0, "cannot start {}: there are too many processes", name_);
  }
  ~Program() {
    if (process_ > 0) ::kill(process_, SIGKILL);
    wait();
    std::fclose(errors_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::FILE* pipe() { return pipe_; }
  // Closes the pipe, waits for the program to end, and returns its last error message, or "" if it printed
  // none.
  std::string finish() {
    const int code = wait();
    require(code != not_found, "videos need the program {}: install it (Debian package ffmpeg)", name_);
    std::rewind(errors_);
    std::string last;
    for (char line[400]; std::fgets(line, sizeof line, errors_);) last = line;
    failed_ = code != 0;
    if (last.empty() && failed_) return fmt::format("{} ended with code {}", name_, code);
    return last.substr(0, last.find('\n'));
  }
  bool failed() const { return failed_; }  // after finish()

 private:
  int wait() {
    if (pipe_) std::fclose(std::exchange(pipe_, nullptr));
    int status = 0;
    if (process_ > 0) ::waitpid(std::exchange(process_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  static constexpr int not_found = 127;
  std::string name_;
  std::FILE *errors_, *pipe_ = nullptr;
  pid_t process_ = -1;
  bool failed_ = false;
};

// The frame rate in ffmpeg's notation, the same in frames per second, and the number of frames; 0 where
// unknown.
struct VideoFacts {
  std::string rate = "";
  double frames_per_second = 0, frames = 0;
};

VideoFacts facts_of(const std::string& path) {
  Program probe({"ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
                 "stream=avg_frame_rate,nb_frames", "-of", "csv=p=0", "file:" + path},
                true);
  double above = 0, below = 0, frames = 0;
  std::fscanf(probe.pipe(), "%lf/%lf,%lf", &above, &below, &frames);
  return above > 0 && below > 0 ? VideoFacts{fmt::format("{}/{}", above, below), above / below, frames}
                                : VideoFacts{};
}

// The command that decodes into consecutive PPM files, each of which contains its own size. "file:" keeps
// ffmpeg from misreading a name with a colon or a dash.
std::vector<std::string> decoding(const VideoRequest& request, const std::string& rate) {
  std::vector<std::string> all{"ffmpeg", "-v", "error", "-nostdin"};
  const auto add = [&](std::initializer_list<std::string> more) { all.insert(all.end(), more); };
  if (request.camera) add({"-f", "v4l2"});
  add({"-i", request.input == "-" ? "pipe:0" : (request.camera ? "" : "file:") + request.input});
  add({"-map", "0:v:0"});
  if (!rate.empty()) add({"-r", rate});
  add({"-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"});
  return all;
}

std::optional<Image> next_frame(std::FILE* pipe) {
  constexpr int longest_side = 16384;
  int width = 0, height = 0;
  if (std::fscanf(pipe, "P6 %d %d 255", &width, &height) != 2 || std::fgetc(pipe) != '\n')
    return std::nullopt;
  require(std::min(width, height) >= 1 && std::max(width, height) <= longest_side,
          "the video has frames of {} x {} pixels: a side must be from 1 to {}", width, height, longest_side);
  Image image(width, height);
  const size_t got = std::fread(image.pixels.data(), 1, image.pixels.size(), pipe);
  return got == image.pixels.size() ? std::optional(std::move(image)) : std::nullopt;
}

// Writes the output, under another name until it is complete.
class VideoWriter {
 public:
  VideoWriter(const std::string& path, const Image& first, const std::string& rate)
      : path_(path),
        part_(fs::path(path).replace_extension(".part" + fs::path(path).extension().string()).string()),
        width_(first.width),
        height_(first.height) {
    require_unprotected(part_);
    const std::string size = fmt::format("{}x{}", width_, height_);
    ffmpeg_.emplace(std::vector<std::string>{"ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt",
                                             "rgb24", "-s", size, "-r", rate, "-i", "pipe:0", "-vf",
                                             "pad=ceil(iw/2)*2:ceil(ih/2)*2",  // yuv420p needs even sides
                                             "-pix_fmt", "yuv420p", "file:" + part_},
                    false);
  }
  ~VideoWriter() {
    std::error_code error;
    fs::remove(part_, error);  // gone already if it was renamed
  }

  void write(const Image& image) {
    require(image.width == width_ && image.height == height_,
            "the frame size changes from {} x {} to {} x {} pixels: {} can have only one", width_, height_,
            image.width, image.height, path_);
    if (std::fwrite(image.pixels.data(), 1, image.pixels.size(), ffmpeg_->pipe()) != image.pixels.size())
      finish();
  }

  void finish() {
    const std::string fault = ffmpeg_->finish();
    require(!ffmpeg_->failed(), "{} cannot be written: {}", path_, fault);
    std::error_code error;
    fs::rename(part_, path_, error);
    require(!error, "{} cannot be written: {}", path_, error.message());
  }

 private:
  std::string path_, part_;
  int width_, height_;
  std::optional<Program> ffmpeg_;
};

}  // namespace

bool has_video_ending(const std::string& path) {
  static const std::set<std::string> endings{".mp4",  ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg",
                                             ".mpeg", ".ts",  ".wmv", ".flv", ".3gp",  ".ogv", ".mjpeg"};
  std::string ending = fs::path(path).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return endings.contains(ending);
}

int64_t for_each_frame(const VideoRequest& request,
                       const std::function<nlohmann::ordered_json(Image& frame)>& look) {
  const bool is_file = request.input != "-" && !request.camera;
  VideoFacts facts = is_file ? facts_of(request.input) : VideoFacts{};
  if (request.frame_rate > 0) facts = {fmt::format("{}", request.frame_rate), request.frame_rate};
  Program reader(decoding(request, facts.rate), true, request.input == "-");
  std::optional<VideoWriter> writer;
  const std::atomic<bool>& stop = stop_requested();
  ProgressLine line;
  int64_t index = 0;
  for (std::optional<Image> frame; !stop && (frame = next_frame(reader.pipe())); ++index) {
    nlohmann::ordered_json text{{"frame", index}};
    if (facts.frames_per_second > 0) text["time"] = double(index) / facts.frames_per_second;
    text.update(look(*frame));
    fmt::print("{}\n", dump_json(text));
    std::fflush(stdout);
    if (!writer && !request.output.empty())
      writer.emplace(request.output, *frame, facts.rate.empty() ? "25" : facts.rate);
    if (writer) writer->write(*frame);
    line.show(facts.frames > 0 ? double(index + 1) / facts.frames : 0, fmt::format("{} frames", index + 1));
  }
  if (!stop) {
    const std::string fault = reader.finish();
    require(index > 0, "{} has no readable frame: {}", request.input,
            fault.empty() ? "ffmpeg found none" : fault);
    if (!fault.empty())
      line.message(fmt::format("warning: {}: after {} frames: {}", request.input, index, fault));
  }
  if (writer) writer->finish();
  line.finish();
  require(!stop || !is_file, "stopped after {} frames of {}", index, request.input);
  return index;
}

}  // namespace fovea
