#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "train/data/image/image.h"

namespace fovea {

// Videos, which the programs ffmpeg and ffprobe decode and encode.
struct VideoRequest {
  std::string input;      // a file, a camera's device, or "-": standard input
  bool camera = false;    // `input` is one
  std::string output;     // a file that has_video_ending(); empty: none is written
  double frame_rate = 0;  // frames a second of a camera or a stream; 0: as they come, written as 25
};

bool has_video_ending(const std::string& path);  // .mp4, .mkv, ...

// Calls `look` for each frame, prints the object that it returns as a line of JSON, with `frame` (from 0) and
// `time` (in seconds, where the rate is known) before, and writes the frame, as `look` leaves it, into the
// output. Ctrl-C ends the video after a frame. Returns the number of frames. Throws Error where there is no
// ffmpeg, no frame can be read, or the output cannot be written, which is then as it was before.
int64_t for_each_frame(const VideoRequest& request,
                       const std::function<nlohmann::ordered_json(Image& frame)>& look);

}  // namespace fovea
