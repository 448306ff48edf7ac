#include "examples/ladders/ladder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace ladders {
namespace {

// The lines from a part's first one to the bracket in the first column that closes it, without comments and
// empty lines.
int lines_of(const Code& code) {
  int count = 0;
  for (const std::string& part : code.parts) {
    std::ifstream file(FOVEA_SOURCE_DIR "/" + code.file);
    bool inside = false, found = false;
    for (std::string line; std::getline(file, line);) {
      inside = inside || (!found && line.find(part) != std::string::npos);
      const size_t text = line.find_first_not_of(' ');
      if (!inside || text == std::string::npos || line.compare(text, 2, "//") == 0) continue;
      found = true;
      ++count;
      inside = line[0] != '}';
    }
    if (!found || inside) throw std::runtime_error(code.file + " has no part that begins with " + part);
  }
  return count;
}

// The figures of one rung, over all of its launches.
struct Row {
  std::string name;
  int lines = 0;
  int64_t launches = 0, threads = 0;                              // threads of the smallest launch
  int64_t requests = 0, shared = 0, conflicts = 0, barriers = 0;  // requests to global and to shared memory
  double sectors = 0, of_a_read = 0;  // in all, and of a request that reads the first input
  std::vector<double> times;          // that each input is read

  Row(const Rung& rung, const Ladder& ladder, const std::vector<fovea::cuda::KernelScore>& scores)
      : name(rung.name), launches(int64_t(scores.size())), times(ladder.inputs.size()) {
    for (const Code& code : rung.code) lines += lines_of(code);
    fovea::cuda::AccessScore first;
    for (const fovea::cuda::KernelScore& score : scores) {
      threads = threads ? std::min(threads, score.blocks * score.threads) : score.blocks * score.threads;
      for (const auto& access : {score.reads(), score.writes()}) {
        requests += access.requests;
        sectors += double(access.sectors);
      }
      shared += score.shared_reads.requests + score.shared_writes.requests;
      conflicts += score.shared_reads.conflicts + score.shared_writes.conflicts;
      barriers += score.barriers / score.blocks;
      first += score.reads(ladder.inputs[0].data);
      for (size_t i = 0; i < times.size(); ++i) times[i] += score.reads(ladder.inputs[i].data).times();
    }
    of_a_read = first.sectors_per_request();
  }
  // The bytes of the sectors, as a multiple of what must move.
  double traffic(const Ladder& ladder) const { return sectors * 32 / ladder.least_bytes; }
};

// Of an input's column in the table.
size_t width_of(const Input& input) { return std::max<size_t>(9, input.name.size() + 8); }

void print(const Ladder& ladder, const std::vector<Row>& rows) {
  std::string head;
  for (const Input& input : ladder.inputs)
    head += fmt::format("{:>{}}", "reads " + input.name, width_of(input));
  fmt::print("[simulator] {:<27}{:>6}{:>9}{:>8}{}{:>9}{:>10}{:>9}{:>8}{:>10}{:>9}\n", "rung", "lines",
             "launches", "threads", head, "requests", "sectors/r", "sectors", "shared", "conflicts",
             "barriers");
  for (const Row& row : rows) {
    std::string times;
    for (size_t i = 0; i < row.times.size(); ++i)
      times += fmt::format("{:>{}.2f}", row.times[i], width_of(ladder.inputs[i]));
    fmt::print("[simulator] {:<27}{:>6}{:>9}{:>8}{}{:>9}{:>10.1f}{:>8.2f}x{:>8}{:>10}{:>9}\n", row.name,
               row.lines, row.launches, row.threads, times, row.requests, row.of_a_read, row.traffic(ladder),
               row.shared, row.conflicts, row.barriers);
  }
}

// Three bars for each rung: the times that the first input is read, requests, and sectors.
void write_chart(const std::string& path, const Ladder& ladder, const std::vector<Row>& rows) {
  constexpr int top = 44, pitch = 26, left = 196, panel = 212, bar = 140;
  const int height = top + pitch * int(rows.size()) + 8;
  std::ofstream svg(path);
  svg << fmt::format(
      R"svg(<svg xmlns="http://www.w3.org/2000/svg" width="840" height="{0}" viewBox="0 0 840 {0}" role="img" aria-label="{1}">
<title>{1}</title>
<style>
text{{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1b1f24}}
.head{{font-weight:600}}.page{{fill:#fff}}.reads{{fill:#2563c9}}.requests{{fill:#2b8a3e}}.sectors{{fill:#c4572e}}
@media (prefers-color-scheme:dark){{text{{fill:#e6e8eb}}.page{{fill:#14171b}}
.reads{{fill:#6ea8fe}}.requests{{fill:#69db7c}}.sectors{{fill:#ff922b}}}}
</style>
<rect class="page" width="840" height="{0}"/>
)svg",
      height, ladder.title);
  for (size_t i = 0; i < rows.size(); ++i)
    svg << fmt::format("<text x=\"12\" y=\"{}\">{}</text>\n", top + pitch * int(i) + 13, rows[i].name);
  int x = left;
  const auto draw = [&](const char* kind, const std::string& head, int digits, auto value) {
    double most = 0;
    for (const Row& row : rows) most = std::max(most, value(row));
    svg << fmt::format("<text class=\"head\" x=\"{}\" y=\"24\">{}</text>\n", x, head);
    for (size_t i = 0; i < rows.size(); ++i) {
      const int y = top + pitch * int(i), width = std::max(1, int(std::lround(value(rows[i]) / most * bar)));
      svg << fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"16\" rx=\"2\"/>\n", kind,
                         x, y, width);
      svg << fmt::format("<text x=\"{}\" y=\"{}\">{:.{}f}</text>\n", x + width + 6, y + 13, value(rows[i]),
                         digits);
    }
    x += panel;
  };
  draw("reads", fmt::format("times that {} is read", ladder.inputs[0].name), 2,
       [](const Row& row) { return row.times[0]; });
  draw("requests", "requests to global memory", 0, [](const Row& row) { return double(row.requests); });
  draw("sectors", "sectors / the fewest possible", 2, [&](const Row& row) { return row.traffic(ladder); });
  svg << "</svg>\n";
}

}  // namespace

int run(const Ladder& ladder, int argc, char** argv) {
  std::vector<Row> rows;
  std::vector<float> expected;
  double largest = 0, worst = 0;
  for (const Rung& rung : ladder.rungs) {
    ladder.clear();
    const fovea::cuda::ScoreKernels scoring;
    rung.run();
    rows.emplace_back(rung, ladder, scoring.scores());
    const std::vector<float> values = ladder.result();
    if (expected.empty()) expected = values;
    for (size_t i = 0; i < values.size(); ++i) {
      const double error = std::abs(double(values[i]) - double(expected[i]));
      largest = std::max(largest, std::abs(double(expected[i])));
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  const bool agree = worst <= ladder.tolerance * largest;
  fmt::print("all rungs agree, to {:.2g} of the largest number: {}\n", ladder.tolerance,
             agree ? "yes" : "no");
  if (fovea::cuda::ScoreKernels::possible()) {
    print(ladder, rows);
    if (argc == 3 && std::string(argv[1]) == "--chart") write_chart(argv[2], ladder, rows);
  }
  return agree ? 0 : 1;
}

}  // namespace ladders
