#include "cli/predict/ptx.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "cuda/runtime/error.h"

namespace fovea::cuda {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r"), last = text.find_last_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view() : text.substr(first, last - first + 1);
}

std::vector<std::string> registers_in(std::string_view text) {
  std::vector<std::string> result;
  for (size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at)) {
    size_t end = at + 1;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_'))
      ++end;
    result.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return result;
}

// "@%p1 add.s32 %r1, %r2, 3" -> an instruction. A group of operands in braces is written, or read, as a
// whole.
PtxInstruction instruction_of(std::string_view line) {
  PtxInstruction result;
  if (line.starts_with('@')) {
    const size_t space = line.find_first_of(" \t");
    result.predicated = true;
    result.reads = registers_in(line.substr(0, space));
    line = trimmed(line.substr(space));
  }
  const size_t space = std::min(line.find_first_of(" \t"), line.size());
  result.opcode = std::string(line.substr(0, space));
  const std::string_view operands = trimmed(line.substr(space));
  result.operands = std::string(operands);
  const bool writes_first = !result.is("st.") && !result.is("bra") && !result.is("bar") &&
                            !result.is("ret") && !result.is("red") && !result.is("membar") &&
                            !result.is("fence") && !result.is("cp.async");
  size_t end = 0;
  if (writes_first)
    end = operands.starts_with('{') ? operands.find('}') : std::min(operands.find(','), operands.size());
  result.writes = registers_in(operands.substr(0, end));
  for (std::string& name : registers_in(operands.substr(end))) result.reads.push_back(std::move(name));
  return result;
}

struct Body {
  std::vector<PtxBlock> blocks;
  std::map<std::string, int, std::less<>> label_of;
};

// Cuts the lines of a body at each label and after each branch.
Body cut(std::string_view text) {
  Body body;
  body.blocks.emplace_back();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = trimmed(text.substr(at, end - at));
    at = end + 1;
    if (constexpr std::string_view expected = "// expected "; line.starts_with(expected)) {
      line.remove_prefix(expected.size());
      const size_t kind = line.find(' ');
      PtxInstruction& note = body.blocks.back().instructions.emplace_back();
      note.opcode = "expected_" + std::string(line.substr(0, kind));
      note.operands = std::string(line.substr(kind + 1));
      continue;
    }
    if (const size_t comment = line.find("//"); comment != std::string_view::npos)
      line = trimmed(line.substr(0, comment));
    if (line.ends_with(':')) {
      if (!body.blocks.back().instructions.empty()) body.blocks.emplace_back();
      body.label_of.emplace(line.substr(0, line.size() - 1), int(body.blocks.size()) - 1);
      continue;
    }
    if (!line.ends_with(';') || line.starts_with('.')) continue;  // directives, braces
    body.blocks.back().instructions.push_back(instruction_of(line.substr(0, line.size() - 1)));
    const PtxInstruction& last = body.blocks.back().instructions.back();
    if (last.is("bra") || last.is("ret") || last.is("exit") || last.is("brx")) body.blocks.emplace_back();
  }
  return body;
}

void connect(Body& body, const std::string& symbol) {
  for (size_t i = 0; i < body.blocks.size(); ++i) {
    PtxBlock& block = body.blocks[i];
    const bool empty = block.instructions.empty();
    const PtxInstruction end = empty ? PtxInstruction() : block.instructions.back();
    if (!empty && end.is("bra")) {
      const auto target = body.label_of.find(trimmed(end.operands));
      if (target == body.label_of.end())
        throw CudaError("the PTX of " + symbol + " branches to " + end.operands + ", which is not in it");
      block.next.push_back(target->second);
      if (!end.predicated) continue;
    }
    if (!empty && (end.is("ret") || end.is("exit")) && !end.predicated) continue;
    if (i + 1 < body.blocks.size()) block.next.push_back(int(i) + 1);
  }
}

// For each block, the blocks that every path to it passes through.
std::vector<std::set<int>> dominators(const std::vector<PtxBlock>& blocks) {
  const int n = int(blocks.size());
  std::vector<std::vector<int>> before(blocks.size());
  for (int i = 0; i < n; ++i)
    for (const int next : blocks[size_t(i)].next) before[size_t(next)].push_back(i);
  std::vector<std::set<int>> result(blocks.size());
  std::vector<bool> known(blocks.size());
  result[0] = {0};
  known[0] = true;
  for (bool changed = true; changed;) {
    changed = false;
    for (int i = 1; i < n; ++i) {
      std::set<int> common;
      bool first = true;
      for (const int other : before[size_t(i)]) {
        if (!known[size_t(other)]) continue;
        if (first) {
          common = result[size_t(other)];
        } else {
          std::erase_if(common, [&](int block) { return !result[size_t(other)].contains(block); });
        }
        first = false;
      }
      if (first) continue;
      common.insert(i);
      if (known[size_t(i)] && common == result[size_t(i)]) continue;
      known[size_t(i)] = changed = true;
      result[size_t(i)] = std::move(common);
    }
  }
  return result;
}

std::vector<PtxLoop> loops_of(const std::vector<PtxBlock>& blocks) {
  const std::vector<std::set<int>> dominator = dominators(blocks);
  std::vector<std::vector<int>> before(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i)
    for (const int next : blocks[i].next) before[size_t(next)].push_back(int(i));
  std::map<int, PtxLoop> by_header;
  for (int from = 0; from < int(blocks.size()); ++from)
    for (const int header : blocks[size_t(from)].next) {
      if (!dominator[size_t(from)].contains(header)) continue;
      PtxLoop& loop = by_header[header];
      loop.header = header;
      loop.blocks.insert(header);
      std::vector<int> pending{from};
      while (!pending.empty()) {
        const int block = pending.back();
        pending.pop_back();
        if (!loop.blocks.insert(block).second) continue;
        for (const int other : before[size_t(block)]) pending.push_back(other);
      }
    }
  std::vector<PtxLoop> result;
  for (auto& [header, loop] : by_header) result.push_back(std::move(loop));
  std::stable_sort(result.begin(), result.end(),
                   [](const PtxLoop& a, const PtxLoop& b) { return a.blocks.size() > b.blocks.size(); });
  for (size_t i = 0; i < result.size(); ++i)
    for (size_t outer = 0; outer < i; ++outer)
      if (result[outer].blocks.contains(result[i].header))
        result[i].parent = int(outer);  // the last is the smallest
  return result;
}

}  // namespace

int PtxInstruction::access_bytes() const {
  if (copies_async()) return std::atoi(operands.c_str() + operands.find("],", operands.find("],") + 1) + 2);
  int count = 1, bytes = 0;
  for (size_t at = 0; at < opcode.size();) {
    const size_t end = std::min(opcode.find('.', at), opcode.size());
    const std::string_view word = std::string_view(opcode).substr(at, end - at);
    if (word == "v2" || word == "v4" || word == "v8") {
      count = word[1] - '0';
    } else if (word.size() >= 2 && std::string_view("usfb").find(word[0]) != std::string_view::npos) {
      int bits = 0;
      const auto [stop, error] = std::from_chars(word.data() + 1, word.data() + word.size(), bits);
      if (error == std::errc() && stop == word.data() + word.size()) bytes = bits / 8;
    }
    at = end + 1;
  }
  return count * bytes;
}

int PtxKernel::innermost_loop(int block) const {
  for (int i = int(loops.size()) - 1; i >= 0; --i)
    if (loops[size_t(i)].blocks.contains(block)) return i;
  return -1;
}

int PtxKernel::constant_trips(int index) const {
  const PtxLoop& loop = loops[size_t(index)];
  // Looks for mov.u32 %r, FIRST before the loop; add.s32 %r, %r, STEP and setp.ne.s32 %p, %r, BOUND inside.
  struct Comparison {
    std::string name, opcode;
    int bound;
  };
  std::map<std::string, int> first, step;
  std::vector<Comparison> comparisons;
  for (size_t block = 0; block < blocks.size(); ++block)
    for (const PtxInstruction& i : blocks[block].instructions) {
      const size_t comma = i.operands.rfind(',');
      if (comma == std::string::npos || i.writes.empty()) continue;
      const std::string_view text = trimmed(std::string_view(i.operands).substr(comma + 1));
      int value = 0;
      if (const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
          error != std::errc() || stop != text.data() + text.size())
        continue;
      if (!loop.blocks.contains(int(block))) {
        if (i.is("mov.u32")) first[i.writes[0]] = value;
      } else if (innermost_loop(int(block)) == index && i.reads.size() == 1) {
        if (i.is("add.s32") && i.reads == i.writes) step[i.writes[0]] = value;
        if (i.is("setp")) comparisons.push_back({i.reads[0], i.opcode, value});
      }
    }
  for (const Comparison& c : comparisons) {
    if (!first.contains(c.name) || !step.contains(c.name) || step[c.name] <= 0) continue;
    if (c.opcode.find(".ne") == std::string::npos && c.opcode.find(".lt") == std::string::npos) continue;
    const int trips = (c.bound - first[c.name] + step[c.name] - 1) / step[c.name];
    if (trips >= 1) return trips;
  }
  return 0;
}

std::vector<PtxKernel> parse_ptx(std::string_view text) {
  if (text.find(".version") == std::string_view::npos) throw CudaError("this is not PTX: it has no .version");
  std::vector<PtxKernel> result;
  constexpr std::string_view word = ".entry ";
  for (size_t at = text.find(word); at != std::string_view::npos;) {
    at += word.size();
    const size_t next = text.find(word, at);
    const std::string_view whole = text.substr(at, next == std::string_view::npos ? next : next - at);
    PtxKernel kernel;
    kernel.symbol = std::string(trimmed(whole.substr(0, whole.find_first_of("(\n {"))));
    const size_t open = whole.find("\n{");
    const size_t close = whole.find("\n}", open == std::string_view::npos ? 0 : open);
    if (open == std::string_view::npos || close == std::string_view::npos)
      throw CudaError("the PTX of " + kernel.symbol + " is cut short");
    if (const size_t bound = whole.substr(0, open).find(".maxntid "); bound != std::string_view::npos)
      kernel.max_threads = std::atoi(std::string(whole.substr(bound + 9, 8)).c_str());
    Body body = cut(whole.substr(open + 2, close - open - 2));
    connect(body, kernel.symbol);
    kernel.blocks = std::move(body.blocks);
    kernel.loops = loops_of(kernel.blocks);
    result.push_back(std::move(kernel));
    at = next;
  }
  return result;
}

}  // namespace fovea::cuda
