#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "train/data/image/image.h"

namespace fovea {

// A video to read, and where to write it. The programs ffmpeg and ffprobe decode and encode it.
struct VideoRequest {
  std::string input;      // a file, a camera device, or "-" for standard input
  bool camera = false;    // `input` is a camera
  std::string output;     // a file that has_video_ending(), or empty to write none
  double frame_rate = 0;  // frames per second of a camera or stream; 0: as they come, written as 25
};

bool has_video_ending(const std::string& path);  // .mp4, .mkv, ...

// Calls `look` for each frame and prints the object it returns as a line of JSON that begins with `frame`
// (from 0) and `time` (in seconds, where the rate is known). Writes the frame, as `look` leaves it, to the
// output. Ctrl-C ends the video after the current frame. Returns the number of frames. Throws Error if there
// is no ffmpeg, if no frame can be read, or if the output cannot be written; an older output file then stays
// as it was.
int64_t for_each_frame(const VideoRequest& request,
                       const std::function<nlohmann::ordered_json(Image& frame)>& look);

}  // namespace fovea
