#include "train/report/metrics.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "train/report/append_file.h"
#include "train/report/event_file.h"

namespace fovea {
namespace {

constexpr std::string_view header = "step,epoch,seconds,name,value\n";

double wall_clock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// fmt writes the shortest digits that read back to the same number.
std::string line_of(const MetricsRow& row) {
  return fmt::format("{},{},{},{},{}\n", row.step, row.epoch, row.seconds, row.name, row.value);
}

// Takes the text up to the next comma, or all of it.
std::string_view next_field(std::string_view& line) {
  const size_t comma = line.find(',');
  const std::string_view field = line.substr(0, comma);
  line = comma == line.npos ? std::string_view() : line.substr(comma + 1);
  return field;
}

template <class T>
bool parse(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_line(std::string_view line, MetricsRow& row) {
  if (std::count(line.begin(), line.end(), ',') != 4) return false;
  const bool numbers = parse(next_field(line), row.step) && parse(next_field(line), row.epoch) &&
                       parse(next_field(line), row.seconds);
  if (!numbers) return false;
  row.name = next_field(line);
  return !row.name.empty() && parse(line, row.value);
}

std::vector<MetricsRow> rows_up_to(const std::string& path, int64_t step) {
  if (step == 0 || !std::filesystem::exists(path)) return {};
  std::vector<MetricsRow> rows = read_metrics(path);
  std::erase_if(rows, [&](const MetricsRow& row) { return row.step > step; });
  return rows;
}

std::string table_of(const std::vector<MetricsRow>& rows) {
  std::string table(header);
  for (const MetricsRow& row : rows) table += line_of(row);
  return table;
}

constexpr std::string_view events_start = "events.out.tfevents.", events_end = ".fovea";

// Each session gets a new name, since a running TensorBoard would not notice that a file it has read was
// written again. The files of earlier sessions are deleted, or their curves would be drawn twice.
std::string new_event_file(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(events_start) || !name.ends_with(events_end)) continue;
    std::filesystem::remove(entry.path(), error);
    require(!error, "{} cannot be removed: {}", entry.path().string(), error.message());
  }
  return fmt::format("{}/{}{:.6f}{}", folder, events_start, wall_clock(), events_end);
}

}  // namespace

struct MetricsWriter::Files {
  Files(const std::string& folder, const std::string& table)
      : metrics((write_file_atomically(folder + "/metrics.csv", table), folder + "/metrics.csv")),
        events(new_event_file(folder)) {}
  AppendFile metrics;
  EventFile events;
};

MetricsWriter::MetricsWriter(const std::string& folder, int64_t resume_step) {
  create_folder(folder);
  const std::vector<MetricsRow> kept = rows_up_to(folder + "/metrics.csv", resume_step);
  files_ = std::make_unique<Files>(folder, table_of(kept));
  // Times continue as if the training had never paused: TensorBoard's "relative" time is then the time of
  // training.
  const double start = kept.empty() ? 0 : wall_clock() - kept.back().seconds;
  for (const MetricsRow& row : kept)
    files_->events.write(start + row.seconds, row.step, {{row.name, row.value}});
}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::write(int64_t step, double epoch, double seconds, const NamedValues& values) {
  std::string lines;
  for (const auto& [name, value] : values) {
    require(!name.empty() && name.find_first_of(",\"\r\n") == name.npos,
            "[MetricsWriter] '{}' cannot be a name in metrics.csv: use one without commas, quotes and "
            "line ends",
            name);
    lines += line_of({step, epoch, seconds, name, value});
  }
  files_->metrics.append(lines);
  files_->events.write(wall_clock(), step, values);
}

std::vector<MetricsRow> read_metrics(const std::string& path) {
  const std::string content = read_file(path);
  std::string_view rest = content;
  std::vector<MetricsRow> rows;
  for (size_t number = 1; rest.find('\n') != rest.npos; ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    rest.remove_prefix(line.size());
    if (number == 1) {
      require(line == header, "{}, line 1: expected the columns '{}'; the file is not a metrics.csv of Fovea",
              path, header.substr(0, header.size() - 1));
      continue;
    }
    const std::string_view text = line.substr(0, line.size() - 1);
    require(parse_line(text, rows.emplace_back()),
            "{}, line {}: '{}' is not step,epoch,seconds,name,value; correct or remove the line", path,
            number, text);
  }
  return rows;
}

}  // namespace fovea
